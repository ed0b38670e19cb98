// The dashboard in headless Chromium, as people use it. Each scenario does what its name says and throws where the page
// is not as it should be.
//
// The first line of standard input is the job: `chromium`, the program; `base`, the admin port; `scenario`; and what that
// one needs beside. A scenario that wants something done says so in a line, such as {"please": "restart"}, and goes on
// with the next line that comes. The last line is {"done": scenario}, or {"failed": why}.

const assert = require("node:assert/strict");
const { mkdirSync, readFileSync } = require("node:fs");
const { join } = require("node:path");
const { createInterface } = require("node:readline");
const { chromium } = require("playwright-core");

// Milliseconds; less than the test waits, so that what did not come is told.
const PATIENCE = 20_000;
const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const hear = async () => JSON.parse((await lines.next()).value);
const say = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);
const please = async (what) => {
  say({ please: what });
  return hear();
};

/** Everything that must not happen, of all pages together. */
const troubles = [];
/** What the browser itself says of answers that a scenario asks for on purpose. */
const expected = [];

async function open(browser, job, { width = 1440, height = 900, scheme = "light", path = "", ready = ".tiles", context = {} } = {}) {
  const own = await browser.newContext({ viewport: { width, height }, colorScheme: scheme, locale: "en-GB", acceptDownloads: true, ...context });
  const page = await own.newPage();
  page.setDefaultTimeout(PATIENCE);
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type()) && !expected.some((known) => known.test(message.text()))) troubles.push(`${message.type()}: ${message.text()}`);
  });
  page.on("pageerror", (error) => troubles.push(error.stack));
  page.on("request", (request) => {
    const url = request.url();
    if (!url.startsWith(`${job.base}/`) && !url.startsWith(`blob:${job.base}/`)) troubles.push(`a request to ${url}`);
  });
  page.series = [];
  page.on("response", async (response) => {
    if (/performance\/profile\/series/.test(response.url()) && response.ok()) page.series.push(await response.json().catch(() => null));
  });
  await page.goto(`${job.base}/${path}`);
  if (ready) await page.waitForSelector(ready);
  return page;
}

async function json(job, path, options = {}) {
  const headers = { ...(job.token ? { Authorization: `Bearer ${job.token}` } : {}), ...(options.body ? { "Content-Type": "application/json" } : {}) };
  const answered = await fetch(`${job.base}${path}`, { headers, ...options });
  assert.ok(answered.ok, `${path}: ${answered.status} ${await answered.clone().text()}`);
  return answered.json();
}

const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

/** Nothing that keeps somebody out who sees, hears or points in another way. */
async function assertAccessible(page, where) {
  // The page's own policy forbids scripts from elsewhere; this one comes with the browser's debugger.
  await page.evaluate(`${axe}; undefined`);
  const { violations } = await page.evaluate(() => globalThis.axe.run({ resultTypes: ["violations"] }));
  const told = violations.map(({ id, help, nodes }) => `${id}: ${help}\n${nodes.slice(0, 4).map((node) => `  ${node.html.slice(0, 200)} ${node.failureSummary}`).join("\n")}`);
  assert.deepEqual(told, [], `axe, ${where}`);
}

async function assertFits(page, where) {
  const [needs, has] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  assert.ok(needs <= has, `${where}: ${needs} px wide in ${has} px`);
}

/** The raw value of a figure. */
const figure = (page, name) => page.locator(`[data-figure="${name}"]`).getAttribute("value");

async function until(what, is) {
  const end = Date.now() + PATIENCE;
  for (let last; ; await new Promise((resolve) => setTimeout(resolve, 100))) {
    try {
      last = await is();
      if (last) return last;
    } catch (error) {
      last = error;
    }
    if (Date.now() > end) throw new Error(`not within ${PATIENCE} ms: ${what}; at last ${last?.stack ?? last}`);
  }
}

const names = (page) => page.locator("table.endpoints tbody tr button.endpoint").allInnerTexts().then((all) => all.map((name) => name.replace(/\s+/g, " ").trim()));

const scenarios = {
  /** Every figure is what the JSON says; nobody asks the sidecar meanwhile. */
  async figures(browser, job) {
    const page = await open(browser, job);
    const { overview, cache, compression, ledger } = await json(job, "/performance/dashboard");
    for (const [name, value] of [
      ["requests-window", overview.requests], ["errors-window", overview.errors], ["p95-window", overview.latency_ms.p95],
      ["hits-window", overview.cache_hit_rate_percent], ["net-seconds", ledger.window.net_seconds],
      ["cache-hits", cache.hits], ["cache-misses", cache.misses], ["cache-bypassed", cache.bypassed], ["coding-saved", compression.bytes_saved],
    ]) {
      await until(`${name} is ${value}`, async () => Number(await figure(page, name)) === value);
    }
    assert.ok(overview.requests > 50 && overview.errors > 0 && compression.bytes_saved > 0, "there is something to see");

    // Charts: the table below each is what it is drawn from.
    const series = await until("a series", () => page.series.at(-1));
    assert.equal(series.points.reduce((all, point) => all + point.requests, 0), overview.requests);
    assert.equal(Number(await figure(page, "bytes-app")), series.points.reduce((all, point) => all + point.upstream_bytes_saved, 0));
    assert.equal(Number(await figure(page, "bytes-clients")), compression.bytes_saved);
    const of = {
      "Requests per second": [(point) => point.requests_per_second],
      "Error rate": [(point) => point.error_rate_percent],
      Latency: ["p99", "p95", "p50"].map((name) => (point) => point.latency_ms && point.latency_ms[name]),
      "Hit rate": [(point) => point.cache_hit_rate_percent],
      "Bytes saved per second": [(point) => point.upstream_bytes_saved / point.lasts_seconds, (point) => point.client_bytes_saved / point.lasts_seconds],
    };
    for (const [label, columns] of Object.entries(of)) {
      await page.getByText(`${label} as a table`).click();
      const region = page.getByRole("region", { name: `${label}: table` });
      await until(`the table of ${label}`, async () => {
        const shown = await region.locator("tbody tr").evaluateAll((rows) => rows.map((row) => [...row.querySelectorAll("td")].map((cell) => cell.querySelector("data")?.value ?? null)));
        const newest = page.series.at(-1).points.map((point) => columns.map((column) => (column(point) === null ? null : String(column(point)))));
        assert.deepEqual(shown, newest);
        return true;
      });
    }
    const drawn = await page.locator(".tile .chart .line .stroke, .tile .chart .line .single").count();
    assert.ok(drawn >= 7, `${drawn} lines`);

    // Endpoints, cache and single requests.
    const slowest = await json(job, "/performance/profile/slowest?limit=100");
    const rows = await page.locator("table.endpoints tbody tr").count();
    assert.equal(rows, slowest.endpoints_total);
    await page.getByRole("button", { name: `Show all ${slowest.requests.length}` }).click();
    assert.equal(await page.locator("#slow tbody tr").count(), slowest.requests.length);
    const took = await page.locator("#slow tbody tr data").evaluateAll((all) => all.map((data) => Number(data.value)));
    assert.deepEqual(took, slowest.requests.map((request) => request.duration_ms));
    const reasons = await page.locator("#cache .reasons").first().innerText();
    for (const [reason, times] of Object.entries({ ...cache.stores.rejected, ...cache.bypasses })) {
      if (times > 0) assert.ok(reasons.includes(reason), `${reason} in ${reasons}`);
    }
    assert.match(await page.locator("#queries").innerText(), /slow/);
    assert.match(await page.locator("#tasks").innerText(), /background/);
  },

  /** Points, scales, gaps and marks are where they belong. */
  async charts(browser, job) {
    const page = await open(browser, job);
    const told = await page.evaluate(async () => {
      const { Chart } = await import(new URL("page/chart.js", location).href);
      const values = [10, 20, null, 40, 30, 0];
      const points = values.map((value, index) => ({ at_seconds: 1_700_000_100 + index * 60, lasts_seconds: index === 5 ? 30 : 60, value }));
      const host = document.createElement("div");
      host.style.width = "500px";
      document.body.append(host);
      const markers = [{ at_seconds: 1_700_000_190, kind: "deploy", label: "v2" }, { at_seconds: 1_600_000_000, kind: "reload", label: "old" }];
      const chart = new Chart(host);
      const data = { label: "Test", step_seconds: 60, points, markers, lines: [{ name: "line", kind: "one", of: (point) => point.value, format: String }] };
      chart.update(data);
      const place = (text) => text.slice(1).split("L").map((pair) => pair.split(" ").map(Number));
      const strokes = [...host.querySelectorAll(".stroke")].map((path) => place(path.getAttribute("d")));
      const ticks = [...host.querySelectorAll(".tick")].map((tick) => [Number(tick.querySelector("text").textContent), Number(tick.querySelector("line").getAttribute("y1"))]);
      const marks = [...host.querySelectorAll(".marker line")].map((line) => Number(line.getAttribute("x1")));
      chart.update({ ...data, points: [] });
      const nothing = host.innerText;
      host.remove();
      return { strokes, ticks, marks, nothing };
    });
    assert.deepEqual(told.strokes.map((run) => run.length), [2, 3], "a line ends where nothing is known");
    const scale = new Map(told.ticks);
    const at = (value) => scale.get(0) + ((scale.get(20) - scale.get(0)) * value) / 20;
    const drawn = told.strokes.flat();
    [10, 20, 40, 30, 0].forEach((value, index) => assert.ok(Math.abs(drawn[index][1] - at(value)) < 0.1, `${value} at ${drawn[index]}, ${JSON.stringify(told.ticks)}`));
    const step = drawn[1][0] - drawn[0][0];
    assert.ok(Math.abs(drawn[2][0] - drawn[1][0] - 2 * step) < 0.2, "time is even");
    assert.ok(Math.abs(drawn[4][0] - drawn[3][0] - 0.75 * step) < 0.2, "a step that is not over is shorter");
    assert.equal(told.marks.length, 1, "of its time only");
    assert.ok(Math.abs(told.marks[0] - drawn[1][0]) < 0.2, "90 seconds after the beginning");
    assert.match(told.nothing, /Nothing was counted/);

    // With the keyboard alone.
    const surface = page.getByRole("group", { name: /^Requests per second: chart/ });
    await surface.focus();
    await page.keyboard.press("End");
    assert.match(await page.locator(".tip").innerText(), /requests .*\/s/);
    await page.keyboard.press("Escape");
    await page.locator(".tip").waitFor({ state: "detached" });
    await surface.hover();
    assert.match(await page.locator(".tip").innerText(), /requests/);
  },

  /** Order, filter, window and endpoint stand in the address and come back from it. */
  async places(browser, job) {
    const page = await open(browser, job);
    const { endpoints } = await json(job, "/performance/profile/slowest?limit=100");
    const of = { Requests: (row) => row.requests, p95: (row) => row.latency_ms?.p95 ?? null, "Share of time": (row) => row.time_share_percent, "Hit rate": (row) => row.cache_hit_rate_percent };
    await until("the endpoints", async () => (await names(page)).length === endpoints.length);
    for (const [title, value] of Object.entries(of)) {
      const heading = page.locator("table.endpoints").getByRole("columnheader", { name: title, exact: true });
      for (const order of ["descending", "ascending"]) {
        // What it is ordered by at first need not be asked for.
        if ((await heading.getAttribute("aria-sort")) !== order) await heading.getByRole("button").click();
        await until(`${title} ${order}`, async () => (await heading.getAttribute("aria-sort")) === order);
        const shown = (await names(page)).map((name) => value(endpoints.find((row) => `${row.method} ${row.endpoint}` === name)));
        const known = shown.filter((one) => one !== null);
        assert.deepEqual(shown.slice(0, known.length), known, `${title} ${order}: what is not known comes last`);
        assert.deepEqual(known, [...known].sort((a, b) => (order === "ascending" ? a - b : b - a)), `${title} ${order}`);
      }
    }
    await page.getByLabel("Filter", { exact: true }).fill("PROD");
    await until("the filter", async () => (await names(page)).every((name) => name.includes("/products")) && (await names(page)).length === 2);
    await page.getByLabel("Method", { exact: true }).selectOption("GET");
    await page.getByRole("button", { name: "15m", exact: true }).click();
    await until("the window", () => page.url().includes("window=15m"));
    const [address, shown] = [page.url(), await until("rows", async () => (await names(page)).length > 0 && names(page))];
    assert.match(address, /filter=PROD/);
    assert.match(address, /method=GET/);

    const again = await open(browser, job, { path: address.slice(job.base.length + 1) });
    await until("the same place", async () => JSON.stringify(await names(again)) === JSON.stringify(shown));
    assert.equal(await again.getByLabel("Filter", { exact: true }).inputValue(), "PROD");
    assert.equal(await again.getByRole("button", { name: "15m", exact: true }).getAttribute("aria-pressed"), "true");
    await again.getByLabel("Filter", { exact: true }).fill("nothing is called that");
    await again.getByText("No endpoint is called that.").waitFor();

    await again.getByLabel("Filter", { exact: true }).fill("");
    await again.getByRole("button", { name: "GET /products/{id}" }).click();
    const dialog = again.getByRole("dialog");
    await dialog.getByRole("heading", { name: "GET /products/{id}" }).waitFor();
    await until("its charts", async () => (await dialog.locator(".chart .stroke, .chart .single").count()) >= 4);
    const own = endpoints.find((row) => row.endpoint === "/products/{id}");
    assert.equal(Number(await dialog.locator("tbody tr").first().locator("data").nth(3).getAttribute("value")), own.latency_ms.p95);
    const series = again.series.findLast((series) => series?.endpoint === "/products/{id}");
    assert.equal(series.points.reduce((all, point) => all + point.requests, 0), own.requests);
    await assertAccessible(again, "one endpoint");
    await assertFits(again, "one endpoint");
    const linked = await open(browser, job, { path: again.url().slice(job.base.length + 1) });
    await linked.getByRole("dialog").getByText("Clients see").waitFor();
    await linked.keyboard.press("Escape");
    await linked.getByRole("dialog").waitFor({ state: "detached" });
    await until("its address", () => !linked.url().includes("endpoint="));

    expected.push(/404/);
    const unknown = await open(browser, job, { path: "?endpoint=GET+/never&window=nonsense&sort=nonsense&order=7" });
    await unknown.getByRole("dialog").getByText(/GET \/never/).first().waitFor();
    await until("that it is not known", async () => /never/.test(await unknown.getByRole("dialog").locator(".empty").first().innerText()));
  },

  /** What is explained and purged is the cache's own word. */
  async cache(browser, job) {
    const page = await open(browser, job);
    await page.getByLabel("URL", { exact: true }).fill(`http://${job.front}/products`);
    await page.getByRole("button", { name: "Explain" }).click();
    await page.getByText("A hit").waitFor();
    assert.match(await page.locator("#cache .answer").first().innerText(), /Cache-Status: pacecar; hit/);
    await page.getByLabel("URL", { exact: true }).fill("/never-asked");
    await page.getByLabel("Header fields").fill(`Host: ${job.front}\n\n Cookie: session=1 `);
    await page.getByRole("button", { name: "Explain" }).click();
    await page.getByText("A miss").waitFor();
    expected.push(/400/);
    await page.getByLabel("URL", { exact: true }).fill("ftp://x");
    await page.getByRole("button", { name: "Explain" }).click();
    await page.locator("#cache .error").filter({ hasText: "ftp://x" }).waitFor();

    const entries = async () => (await json(job, "/performance/cache/stats")).entries;
    const before = await entries();
    assert.ok(before > 3, `${before} entries`);
    await page.getByLabel("What", { exact: true }).selectOption("prefix");
    await page.getByLabel("How", { exact: true }).selectOption("hard");
    await page.getByLabel(/^Beginning of host/).fill("/products/");
    await page.getByRole("button", { name: "What would go?" }).click();
    const [, matched] = /(\d+) responses?, /.exec(await page.locator("#cache .answer").last().innerText());
    assert.ok(Number(matched) > 0 && Number(matched) < before, matched);
    assert.equal(await entries(), before, "to ask is not to purge");
    // What was asked is no longer what the form says.
    await page.getByLabel(/^Beginning of host/).fill("/products");
    await page.getByRole("button", { name: /^Purge/ }).waitFor({ state: "detached" });
    await page.getByLabel(/^Beginning of host/).fill("/products/");
    await page.getByRole("button", { name: "What would go?" }).click();
    await page.getByRole("button", { name: `Purge ${matched} response` }).click();
    await page.getByText(/^Purged: /).waitFor();
    assert.equal(await entries(), before - Number(matched));

    await page.getByLabel("What", { exact: true }).selectOption("pattern");
    await page.getByLabel(/^Regular expression/).fill("(");
    await page.getByRole("button", { name: "What would go?" }).click();
    await page.locator("#cache .error").filter({ hasText: "pattern" }).waitFor();
    await page.getByLabel("What", { exact: true }).selectOption("all");
    await page.getByRole("button", { name: "What would go?" }).click();
    await page.getByRole("button", { name: /^Purge/ }).click();
    await page.getByText(/^Purged: /).waitFor();
    assert.equal(await entries(), 0);
    // A purge of everything is marked on the charts at the next look.
    await page.getByRole("button", { name: "1m", exact: true }).click();
    await page.locator(".marker.purge").first().waitFor();
    await json(job, "/performance/markers", { method: "POST", body: JSON.stringify({ label: "v2 <b>" }) });
    await page.locator(".marker.deploy").first().waitFor();
  },

  /** Cards say what the insights say; one is copied, muted and unmuted. */
  async findings(browser, job) {
    const page = await open(browser, job, { context: { permissions: ["clipboard-read", "clipboard-write"] } });
    const { findings } = await json(job, "/performance/profile/insights");
    assert.ok(findings.length > 1, JSON.stringify(findings));
    const cards = page.locator("#findings article");
    await until("the cards", async () => (await cards.count()) === findings.length);
    for (const [index, finding] of findings.entries()) {
      // Time goes on, and with it the figures.
      const words = (text) => text.replace(/the last (\S+ )?(second|minute|hour)s?/g, "the last time").replace(/[\d.,]+/g, "#");
      const text = words(await cards.nth(index).innerText());
      for (const part of [finding.title, finding.because, finding.do.sentence ?? ""]) assert.ok(text.includes(words(part)), `${part} in ${text}`);
    }
    const config = findings.find((finding) => finding.do.config);
    assert.ok(config, "one has lines to paste");
    const card = page.getByRole("article", { name: config.title });
    await card.getByRole("button", { name: "Copy" }).click();
    await card.getByRole("button", { name: "Copied" }).waitFor();
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), config.do.config);

    const { status, reasons } = await json(job, "/performance/dashboard");
    assert.equal(status, "critical", JSON.stringify(reasons));
    const [gravest] = findings;
    await page.locator(".banner.critical a").first().click();
    await until("the card has the focus", () => page.evaluate((title) => document.activeElement?.getAttribute("aria-label") === title, gravest.title));
    await page.getByRole("button", { name: `Mute: ${gravest.title}` }).click();
    await page.getByRole("article", { name: gravest.title, exact: true }).waitFor({ state: "detached" });
    await until("the banner", async () => !(await page.locator(".banner").innerText()).includes(gravest.title));
    await page.getByText("1 muted").click();
    const lines = await page.locator(".muted pre").innerText();
    assert.ok(lines.startsWith("[advice]\nmute = [") && lines.includes(gravest.id), lines);
    assert.equal((await json(job, "/performance/profile/insights")).muted, 1);
    await page.getByRole("button", { name: `Unmute: ${gravest.title}` }).click();
    await page.getByRole("article", { name: gravest.title, exact: true }).waitFor();
    assert.equal((await json(job, "/performance/profile/insights")).muted, 0);

    // What is refused is said, and changes nothing.
    expected.push(/503/);
    await page.route("**/insights/mute", (route) => route.fulfill({ status: 503, json: { detail: "no room just now" } }));
    await page.getByRole("button", { name: `Mute: ${gravest.title}` }).click();
    await page.getByRole("alert").filter({ hasText: "That was not done: no room just now" }).waitFor();
    await page.unroute("**/insights/mute");

    const download = page.waitForEvent("download");
    await page.getByRole("button", { name: "Save JSON" }).click();
    const saved = await download;
    assert.match(saved.suggestedFilename(), /^pacecar-1h-.*\.json$/);
    const known = JSON.parse(readFileSync(await saved.path(), "utf8"));
    assert.deepEqual(known.dashboard.insights.findings.map((one) => one.id), findings.map((one) => one.id));
    assert.ok(known.series.points.length > 0 && known.endpoints.length > 0);
  },

  /** It stops while nobody looks, and comes back by itself when the sidecar does. */
  async coming_back(browser, job) {
    const page = await open(browser, job, { path: "?window=1m" });
    const streams = { begun: 0, ended: 0 };
    const isStream = (request) => request.url().includes("/performance/stream");
    page.on("request", (request) => { if (isStream(request)) streams.begun += 1; });
    page.on("requestfailed", (request) => { if (isStream(request)) streams.ended += 1; });
    page.on("requestfinished", (request) => { if (isStream(request)) streams.ended += 1; });
    const hide = (hidden) => page.evaluate((hidden) => {
      Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    }, hidden);
    await hide(true);
    await until("the stream ends", () => streams.ended === 1);
    await hide(false);
    await until("another begins", () => streams.begun === 1);
    await page.getByRole("button", { name: "Live: pause" }).click();
    await until("the stream ends", () => streams.ended === 2);
    await page.getByRole("button", { name: "Paused: go on" }).click();
    await until("another begins", () => streams.begun === 2);
    await page.getByRole("button", { name: "Live: pause" }).waitFor();

    expected.push(/ERR_CONNECTION|ERR_INCOMPLETE|ERR_EMPTY_RESPONSE|503/);
    await please("stop");
    await page.getByText("No figures").waitFor();
    await page.getByRole("button", { name: /^Reconnecting/ }).waitFor();
    assert.match(await page.locator(".banner").innerText(), /What is shown is of /);
    await assertAccessible(page, "without the sidecar");
    await please("start");
    await page.getByRole("button", { name: "Live: pause" }).waitFor();
    await page.locator(".banner.healthy").waitFor();
    assert.match(await page.locator(".banner").innerText(), /No request has come/);
  },

  /** Before the first request there is nothing, and it says so. */
  async empty(browser, job) {
    for (const [width, scheme] of [[1440, "light"], [768, "dark"], [390, "light"]]) {
      const page = await open(browser, job, { width, scheme });
      for (const text of ["No request has come in this time.", "Findings come with the traffic", "No request was kept", "There was no reason yet", "No body was coded yet"]) {
        await page.getByText(text).first().waitFor();
      }
      await assertAccessible(page, `empty, ${width} px, ${scheme}`);
      await assertFits(page, `empty, ${width} px`);
    }
  },

  /** Whatever clients, apps and operators call things, it is text. */
  async hostile(browser, job) {
    const markup = "<svg/onload=alert(1)>";
    await json(job, "/performance/markers", { method: "POST", body: JSON.stringify({ label: markup }) });
    for (const width of [1440, 390]) {
      const page = await open(browser, job, { width });
      await page.evaluate(() => { globalThis.alert = () => { globalThis.hurt = true; }; });
      await until("the rows", async () => (await page.locator("#slow tbody tr").count()) === job.paths.length);
      const shown = (await page.locator("#slow tbody th bdi").allInnerTexts()).join("\n");
      for (const path of job.paths) assert.ok(shown.includes(path), `${path.slice(0, 100)} in ${shown.slice(0, 3000)}`);
      for (const row of await page.locator("table.endpoints button.endpoint").all()) {
        await row.click();
        await page.getByRole("dialog").locator("h2 bdi").waitFor();
        await assertFits(page, "a hostile endpoint");
        await page.getByRole("dialog").getByRole("button", { name: "Close" }).click();
        await page.getByRole("dialog").waitFor({ state: "detached" });
      }
      await page.getByLabel("URL", { exact: true }).fill(`http://${job.front}/tagged`);
      await page.getByRole("button", { name: "Explain" }).click();
      await page.locator("#cache .answer").filter({ hasText: `tags ${markup}` }).waitFor();
      expected.push(/400/);
      await page.getByLabel("Header fields").fill(markup);
      await page.getByRole("button", { name: "Explain" }).click();
      await page.locator("#cache .error").filter({ hasText: markup }).waitFor();
      await page.getByText("Requests per second as a table").click();
      await page.getByText(`deploy: ${markup}`).first().waitFor();
      const { scripts, images, hurt, listeners } = await page.evaluate(() => ({
        scripts: document.scripts.length,
        images: [...document.images].map((image) => image.getAttribute("src")),
        listeners: document.querySelectorAll("[onerror], [onmouseover], [onload], [onclick], [style*=url]").length,
        hurt: globalThis.hurt ?? false,
      }));
      assert.deepEqual({ scripts, images, hurt, listeners }, { scripts: 1, images: ["page/icon.svg"], hurt: false, listeners: 0 });
      await assertAccessible(page, `hostile paths, ${width} px`);
      await assertFits(page, `hostile paths, ${width} px`);
    }
  },

  /** A task moves on while somebody looks, is found by what it is, and is cancelled by whoever means it. */
  async tasks(browser, job) {
    const page = await open(browser, job);
    await page.locator("#tasks").getByText("Nothing has run in the background yet").waitFor();
    const begun = await json(job, "/performance/tasks", { method: "POST", body: JSON.stringify({ kind: "cache_warmup", urls: job.urls, concurrency: 1, rate: 100 }) });
    const row = page.locator(`#tasks tr[data-task="${begun.id}"]`);
    const text = () => row.innerText();
    await until("that it runs", async () => /running/.test(await text()));
    const bar = () => row.getByRole("progressbar").evaluate((bar) => bar.value);
    const before = await bar();
    await please("let the first one through");
    await until("the bar moves", async () => (await bar()) > before);
    assert.ok((await bar()) < 100, "the second one is held");

    // Found by what it is, and the address says so.
    await page.locator("#task-status").selectOption("completed");
    await page.getByText("No task is like that.").waitFor();
    await page.locator("#task-status").selectOption("running");
    await page.locator("#task-kind").selectOption("cache_warmup");
    await row.waitFor();
    await until("the address", () => page.url().includes("task_status=running&task_kind=cache_warmup"));

    // By itself, with its way.
    await row.getByRole("button", { name: begun.name, exact: true }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByText(begun.id).waitFor();
    assert.deepEqual(await dialog.locator("tbody tr td:nth-child(2)").allInnerTexts(), ["pending", "running"]);
    await assertAccessible(page, "one task");
    const picture = async (of, name) => {
      if (job.pictures) await of.screenshot({ path: join(job.pictures, `${name}.png`) });
    };
    await picture(page, "task");
    const linked = await open(browser, job, { width: 390, scheme: "dark", path: page.url().slice(job.base.length + 1) });
    await linked.getByRole("dialog").getByText(begun.id).waitFor();
    await assertAccessible(linked, "one task, 390 px");
    await assertFits(linked, "one task, 390 px");
    await picture(linked, "task-390");
    await linked.keyboard.press("Escape");
    await linked.locator(`#tasks tr[data-task="${begun.id}"]`).waitFor();
    await assertAccessible(linked, "tasks, 390 px");
    await assertFits(linked, "tasks, 390 px");
    await picture(linked.locator("#tasks"), "tasks-390");
    await linked.context().close();

    // Asked first: to keep it is what comes under the finger.
    await dialog.getByRole("button", { name: /^Cancel/ }).click();
    await dialog.getByRole("button", { name: /^Keep/ }).click();
    assert.equal((await json(job, `/performance/tasks/${begun.id}`)).status, "running");
    await page.keyboard.press("Escape");
    await dialog.waitFor({ state: "detached" });
    await page.locator("#task-status").selectOption("");
    await row.getByRole("button", { name: /^Cancel/ }).click();
    await picture(page.locator("#tasks"), "tasks");
    await row.getByRole("button", { name: /^Really cancel/ }).click();
    await until("that it is cancelled", async () => /cancelled/.test(await text()));
    assert.equal(await row.getByRole("button", { name: /cancel/i }).count(), 0, "what has ended is not cancelled");
    const ended = await json(job, `/performance/tasks/${begun.id}`);
    assert.deepEqual([ended.status, ended.history.at(-1).by], ["cancelled", "admin"]);
    // What cannot be shown is said.
    expected.push(/404/);
    const unknown = await open(browser, job, { path: "?task=task_00000000000040008000000000000000&task_status=done" });
    await unknown.getByRole("dialog").getByText("there is no task with this id").waitFor();
  },

  /** The token opens it, in this tab alone. */
  async login(browser, job) {
    expected.push(/401/);
    const page = await open(browser, job, { ready: "form" });
    await assertAccessible(page, "login");
    assert.equal(await page.locator(".tiles").count(), 0);
    await page.getByLabel("Token").fill("not-the-token-at-all");
    await page.getByRole("button", { name: "Log in" }).click();
    await page.getByText("That is not the token.").waitFor();
    await page.getByLabel("Token").fill(job.token);
    await page.keyboard.press("Enter");
    await page.waitForSelector(".tiles");
    const kept = await page.evaluate(() => [document.cookie, JSON.stringify(localStorage), location.href]);
    assert.ok(kept.every((place) => !place.includes(job.token)), kept.join());
    // A write needs it too.
    await page.getByLabel("What", { exact: true }).selectOption("all");
    await page.getByRole("button", { name: "What would go?" }).click();
    await page.getByRole("button", { name: /^Purge/ }).waitFor();
    await page.reload();
    await page.waitForSelector(".tiles");
    await page.getByRole("button", { name: "Log out" }).click();
    await page.getByLabel("Token").waitFor();
    await page.reload();
    await page.getByLabel("Token").waitFor();
    assert.equal(await page.locator(".tiles").count(), 0);
  },

  /** Everything is legible and reachable on every width, in both schemes. */
  async widths(browser, job) {
    for (const width of [1440, 768, 390]) {
      for (const scheme of ["light", "dark"]) {
        const page = await open(browser, job, { width, scheme });
        await until("the charts", async () => (await page.locator(".tile .chart .stroke, .tile .chart .single").count()) >= 5);
        await until("the rows", async () => (await names(page)).length > 3);
        await assertAccessible(page, `${width} px, ${scheme}`);
        await assertFits(page, `${width} px`);
        await page.keyboard.press("Tab");
        assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to the figures");
        if (job.pictures) {
          mkdirSync(job.pictures, { recursive: true });
          await page.evaluate(() => document.activeElement.blur());
          await page.screenshot({ path: join(job.pictures, `${width}-${scheme}.png`), fullPage: true });
        }
        await page.context().close();
      }
    }
    // The reader's choice beats the system's.
    const page = await open(browser, job);
    const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const light = await ground();
    await page.getByRole("button", { name: /change to light/ }).click();
    await page.getByRole("button", { name: /change to dark/ }).click();
    await until("dark", async () => (await ground()) !== light);
    await page.reload();
    await page.waitForSelector(".tiles");
    assert.notEqual(await ground(), light);
  },
};

(async () => {
  const job = await hear();
  const browser = await chromium.launch({ executablePath: job.chromium, args: FLAGS });
  try {
    await scenarios[job.scenario](browser, job);
    assert.deepEqual(troubles, []);
    say({ done: job.scenario });
  } catch (error) {
    const pages = browser.contexts().flatMap((context) => context.pages());
    const shown = await pages.at(-1)?.locator("body").innerText({ timeout: 1000 }).catch(() => "");
    say({ failed: `${error.stack}\ntroubles: ${troubles.join("\n")}\nshown: ${shown?.slice(0, 2000)}` });
  } finally {
    await browser.close();
    process.exit();
  }
})();
