// Headless Chromium: loads a page twice, each time with an empty cache of its own, and tells what came of it.
// The job on standard input: `chromium` (the program), `url`, `texts` (what each selector's element must come to say),
// and for Vite's page `edit`: {file, from, to, texts}, a change made while the second page is open and connected.

const { readFileSync, writeFileSync } = require("node:fs");
const { chromium } = require("playwright-core");

const { chromium: executablePath, url, texts, edit } = JSON.parse(readFileSync(0, "utf8"));
// Milliseconds; less than the test waits, so that what did not come is told.
const PATIENCE = 20_000;

// Nothing but the page itself is to be fetched.
const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--ignore-certificate-errors",
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

async function load(browser, edit) {
  const context = await browser.newContext({ ignoreHTTPSErrors: true });
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
  const protocol = await page.evaluate(() => performance.getEntriesByType("navigation")[0].nextHopProtocol);
  const responses = await Promise.all(pending.map(async (response) => ({
    path: new URL(response.url()).pathname,
    status: response.status(),
    cache: (await response.allHeaders())["cache-status"] ?? null,
  })));
  const title = await page.title();
  // Counted before the page goes: leaving cuts its event streams.
  const seen = [...troubles];
  await context.close();
  return { title, protocol, responses, sinceEdit: responses.slice(known), troubles: seen };
}

async function main() {
  const browser = await chromium.launch({ executablePath, args: FLAGS, timeout: PATIENCE });
  try {
    const first = await load(browser);
    const second = await load(browser, edit);
    process.stdout.write(JSON.stringify({ first, second }));
  } finally {
    await browser.close();
  }
}

main();
