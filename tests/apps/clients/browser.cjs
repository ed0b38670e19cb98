// Headless Chromium: visits a page some times, and tells what came of it.
//
// The job on standard input:
// - `chromium`: the program; `certificate`: a file with one that it is to trust, whoever signed it;
// - `url`, and `keep`: whether all visits are by one browser with what it has kept, or each by one that has nothing;
// - `visits`: a list of {texts, deploy, edit}. `texts`: what each selector's element must come to say. `deploy`: {from,
//   to}, a folder that takes the place of another before the visit. `edit`, for the page of Vite's dev server: {file,
//   from, to, texts}, a change made while the page is open and connected.

const { createHash, X509Certificate } = require("node:crypto");
const { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } = require("node:fs");
const { tmpdir } = require("node:os");
const { join } = require("node:path");
const { chromium } = require("playwright-core");

const { chromium: executablePath, certificate, url, keep, visits } = JSON.parse(readFileSync(0, "utf8"));
// Milliseconds; less than the test waits, so that what did not come is told.
const PATIENCE = 20_000;

const hash = (bytes, form) => createHash("sha256").update(bytes).digest(form);

// A certificate that is trusted: with errors that are merely overlooked, Chromium keeps nothing in its cache.
const key = new X509Certificate(readFileSync(certificate)).publicKey.export({ type: "spki", format: "der" });

// Nothing but the page itself is to be fetched. `shop.test` stands for a host elsewhere: Chromium takes 127.0.0.1 for
// as trustworthy as TLS.
const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--host-resolver-rules=MAP shop.test 127.0.0.1",
  `--ignore-certificate-errors-spki-list=${hash(key, "base64")}`,
];

async function until(page, texts) {
  for (const [selector, text] of Object.entries(texts)) {
    const said = ([selector, text]) => document.querySelector(selector)?.textContent === text;
    await page.waitForFunction(said, [selector, text], { timeout: PATIENCE }).catch(async () => {
      const html = await page.content();
      throw new Error(`${selector} does not come to say ${JSON.stringify(text)}:\n${html}`);
    });
  }
}

// What a response was, its body without its coding, and how it came.
async function tell(response, came) {
  const request = response.request();
  const fields = await response.allHeaders();
  // A stream of events has no end.
  const body = request.resourceType() === "eventsource" ? null : hash(await response.body(), "hex");
  return {
    path: new URL(response.url()).pathname,
    status: response.status(),
    accepted: (await request.allHeaders())["accept-encoding"] ?? null,
    coding: fields["content-encoding"] ?? null,
    cache: fields["cache-status"] ?? null,
    control: fields["cache-control"] ?? null,
    etag: fields.etag ?? null,
    came: came[response.url()] ?? null,
    body,
  };
}

// In the page. How each address came by its transfer size, which is 0 for what the browser had and 300 for what was
// merely confirmed (W3C Resource Timing, "transferSize").
function look() {
  const entries = [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")];
  const how = (entry) => ({ 0: "kept", 300: "confirmed" })[entry.transferSize] ?? "sent";
  const main = document.querySelector("main") ?? document.body;
  const { x, y, width, height } = main.getBoundingClientRect();
  return {
    protocol: entries[0].nextHopProtocol,
    shown: { text: main.innerText, x, y, width, height },
    came: Object.fromEntries(entries.map((entry) => [entry.name, how(entry)])),
  };
}

async function visit(context, { texts, deploy, edit }) {
  if (deploy) {
    rmSync(deploy.to, { recursive: true, force: true });
    cpSync(deploy.from, deploy.to, { recursive: true });
  }
  const page = await context.newPage();
  const troubles = [];
  const pending = [];
  let known = 0;
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && troubles.push(message.text()));
  page.on("pageerror", (error) => troubles.push(String(error)));
  page.on("requestfailed", (request) => troubles.push(`${request.url()} ${request.failure().errorText}`));
  page.on("response", (response) => pending.push(response));
  // Vite's client says so on the console; an edit before would go unnoticed.
  const connected = edit && page.waitForEvent("console", {
    predicate: (message) => message.text() === "[vite] connected.", timeout: PATIENCE,
  });
  await page.goto(url, { timeout: PATIENCE });
  try {
    await until(page, texts);
    if (edit) {
      await connected;
      known = pending.length;
      writeFileSync(edit.file, readFileSync(edit.file, "utf8").replace(edit.from, edit.to));
      await until(page, edit.texts);
    }
  } catch (error) {
    throw new Error([error.message, ...troubles].join("\n"));
  }
  const { protocol, shown, came } = await page.evaluate(look);
  const responses = await Promise.all(pending.map((response) => tell(response, came)));
  const title = await page.title();
  // Counted before the page goes: leaving cuts its event streams.
  const seen = [...troubles];
  await page.close();
  return { title, protocol, shown, responses, sinceEdit: responses.slice(known), troubles: seen };
}

async function main() {
  const options = { executablePath, args: FLAGS, timeout: PATIENCE };
  const profile = mkdtempSync(join(tmpdir(), "chromium-"));
  const kept = keep ? await chromium.launchPersistentContext(profile, options) : null;
  const browser = kept ? null : await chromium.launch(options);
  try {
    const told = [];
    for (const each of visits) {
      const context = kept ?? (await browser.newContext());
      told.push(await visit(context, each));
      if (!kept) await context.close();
    }
    process.stdout.write(JSON.stringify(told));
  } finally {
    await (kept ?? browser).close();
    rmSync(profile, { recursive: true, force: true });
  }
}

main();
