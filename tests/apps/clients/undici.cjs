// Node's undici: as fetch, or as a pool of one connection with pipelining. The job is described in job.py.

const { createHash } = require("node:crypto");
const { createReadStream, readFileSync } = require("node:fs");
const { Agent, Pool, fetch } = require("undici");

const asked = JSON.parse(readFileSync(0, "utf8"));
const connect = asked.ca ? { ca: readFileSync(asked.ca) } : {};
let connections = 0;

function payload(form, send) {
  if (form) return [new URLSearchParams(form).toString(), { "content-type": "application/x-www-form-urlencoded" }];
  if (send === "whole") return [readFileSync(asked.upload), {}];
  if (send === "chunked") return [createReadStream(asked.upload, { highWaterMark: 50021 }), {}];
  return [undefined, {}];
}

function told(status, url, fields, body) {
  const sha256 = createHash("sha256").update(body).digest("hex");
  const { pathname, search } = new URL(url);
  return { status, version: null, path: pathname + search, fields, bytes: body.length, sha256 };
}

async function fetched(dispatcher, { method, fields, form, send, follow }, url) {
  const [body, more] = payload(form, send);
  const redirect = follow ? "follow" : "manual";
  const headers = { ...fields, ...more };
  const answer = await fetch(url, { method, headers, body, redirect, dispatcher, duplex: "half" });
  const bytes = Buffer.from(await answer.arrayBuffer());
  return told(answer.status, answer.url, [...answer.headers], bytes);
}

async function pooled(dispatcher, { method, fields, form, send }, url) {
  const [body, more] = payload(form, send);
  const answer = await dispatcher.request({
    method, path: url.slice(asked.base.length), headers: { ...fields, ...more }, body,
    // Whoever pipelines says what may be sent before the last answer has come.
    idempotent: body === undefined, blocking: false,
  });
  const bytes = Buffer.from(await answer.body.arrayBuffer());
  const list = Object.entries(answer.headers).flatMap(([name, value]) => [value].flat().map((one) => [name, one]));
  return told(answer.statusCode, url, list, bytes);
}

async function main() {
  const pipelining = asked.protocol === "pipelining";
  const dispatcher = pipelining
    ? new Pool(asked.base, { connections: 1, pipelining: 10 })
    : new Agent({ allowH2: asked.protocol === "h2", connect });
  dispatcher.on("connect", () => connections++);
  const ask = pipelining ? pooled : fetched;
  const answers = {};
  for (const asking of asked.cases) {
    const urls = Array.from({ length: asking.times }, (_, n) => asked.base + asking.path.replace("{n}", n));
    answers[asking.name] = [];
    if (pipelining && asking.times > 2) {
      answers[asking.name] = await Promise.all(urls.map((url) => ask(dispatcher, asking, url)));
    } else {
      for (const url of urls) answers[asking.name].push(await ask(dispatcher, asking, url));
    }
  }
  await dispatcher.close();
  process.stdout.write(JSON.stringify({ answers, connections }));
}

main();
