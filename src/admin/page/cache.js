// What the cache holds, what it does not and why, how one request would be answered, and how to empty it.

import { field, h } from "./dom.js";
import { bytes, count, lasting, number, percent, plural } from "./format.js";
import { reasons } from "./compression.js";

/** Why an answer was not stored, or the cache took no part, in words. */
const WORDS = {
  "no-store": "the app forbids it",
  private: "the app says it is one person's",
  "no-cache": "the app wants to be asked each time",
  "no-freshness": "the app names no lifetime",
  expired: "its lifetime was over when it came",
  "set-cookie": "it sets a cookie",
  cookie: "the request has a cookie that counts",
  authorization: "the request has Authorization",
  status: "its status cannot be stored",
  "vary-star": "it varies by everything",
  "vary-unkeyed": "it varies by a field that is not told apart",
  "too-large": "larger than cache.max_object_bytes",
  unframed: "its end cannot be told",
  truncated: "it broke off",
  "no-room": "no memory for it",
  "lock-timeout": "it took longer than cache.lock_timeout",
  purged: "it was purged while it came",
  method: "its method changes something, or is not known",
  body: "the request has a body",
  upgrade: "the connection becomes another",
  disabled: "caching is switched off",
  "request-no-store": "the client forbids it",
  conditional: "the client asks about a copy of its own",
  range: "a part was asked for",
  "only-if-cached": "the client wants nothing from the app",
  "unkeyed-field": "a field of the request is not told apart",
  observe: "everything only passes through",
  async: "the client wants to be answered later",
  "hit-for-miss": "the last answer could not be stored",
  head: "HEAD, and nothing is stored",
};

const REASONS = 8;

export function cache(model, actions) {
  const { cache: all } = model.dashboard;
  return h("section", { id: "cache", "aria-labelledby": "cache-title" },
    h("h2", { id: "cache-title" }, "Cache"),
    h("p", { class: "hint" }, "Since the start."),
    h("div", { class: "columns" }, fill(all), uncached(all), sizing(all)),
    h("div", { class: "columns" }, explain(model, actions), purge(model, actions)));
}

function meter(name, value, most, show) {
  const share = most > 0 ? value / most : 0;
  return h("div", { class: "meter" },
    h("span", {}, name), h("span", {}, `${show(value)} of ${show(most)}`),
    h("progress", { max: 1, value: share, class: share > 0.9 ? "full" : null, "aria-label": `${name}: ${show(value)} of ${show(most)}` }));
}

function fill(all) {
  const outcome = (name) => h("tr", { key: name }, h("th", { scope: "row" }, name), h("td", {}, h("data", { value: all[name], "data-figure": `cache-${name}` }, count(all[name]))));
  const evicted = Object.entries(all.evictions);
  return h("div", { class: "panel" },
    h("h3", {}, "Responses"),
    h("p", { class: "figure" }, percent(all.hit_rate_percent), h("small", {}, " hits")),
    meter("Memory", all.bytes, all.max_bytes, bytes),
    meter("Responses", all.entries, all.max_entries, count),
    h("table", {}, h("tbody", {}, ["hits", "misses", "stale", "revalidated", "bypassed", "collapsed"].map(outcome))),
    h("p", { class: "facts" }, `Gone: ${evicted.map(([why, times]) => `${count(times)} ${why}`).join(", ")}.`,
      all.verified.same + all.verified.wrong > 0 ? ` ${count(all.verified.same + all.verified.wrong)} hits were compared with the app: ${percent(all.verified.wrong_percent)} wrong.` : ""),
    all.keyed.hits + all.keyed.misses + all.keyed.entries > 0 ? [
      h("h3", {}, "The app's own values"),
      meter("Memory", all.keyed.bytes, all.keyed.max_bytes, bytes),
      meter("Values", all.keyed.entries, all.keyed.max_entries, count),
      h("p", { class: "facts" }, `${percent(all.keyed.hit_rate_percent)} of ${plural(all.keyed.hits + all.keyed.misses, "question")} found theirs.`),
    ] : null);
}

function uncached(all) {
  const both = [...Object.entries(all.stores.rejected), ...Object.entries(all.bypasses)];
  const added = new Map();
  for (const [reason, times] of both) added.set(reason, (added.get(reason) ?? 0) + times);
  const top = [...added].filter(([, times]) => times > 0).sort((a, b) => b[1] - a[1]);
  return h("div", { class: "panel" },
    h("h3", {}, "Why not cached"),
    top.length === 0 ? h("p", { class: "empty" }, "There was no reason yet.") : reasons(top.slice(0, REASONS), WORDS),
    top.length > REASONS ? h("p", { class: "hint" }, `and ${plural(top.length - REASONS, "more reason")}, in the JSON`) : null);
}

function sizing({ sizing: sizes, max_bytes: now }) {
  if (!sizes) {
    return h("div", { class: "panel" }, h("h3", {}, "Another size"),
      h("p", { class: "empty" }, "What the hit rate would be with half, twice and four times the memory. It is simulated once enough requests have come."));
  }
  return h("div", { class: "panel" },
    h("h3", {}, "Another size"),
    h("table", { class: "reasons" }, h("tbody", {}, sizes.sizes.map((size) => h("tr", { key: size.factor },
      h("th", { scope: "row" }, bytes(size.max_bytes), size.max_bytes === now ? h("small", {}, "as it is") : null),
      h("td", {}, h("progress", { max: 100, value: size.hit_rate_percent, "aria-label": `${number(size.factor)} times the size: ${percent(size.hit_rate_percent)} hits` })),
      h("td", {}, percent(size.hit_rate_percent)))))),
    h("p", { class: "facts" }, sizes.evicts ? `Responses leave the store since cache.${sizes.evicts} is reached.` : "No bound makes responses leave the store."));
}

function explain({ explained }, { setExplain, askExplain }) {
  const { url, header, answer, error } = explained;
  return h("div", { class: "panel" },
    h("h3", {}, "Explain a request"),
    h("form", { on: { submit: (event) => { event.preventDefault(); askExplain(); } } },
      field("explain-url", "URL", h("input", { id: "explain-url", type: "text", required: true, value: url, placeholder: "localhost:8080/products", spellcheck: "false", autocapitalize: "off", on: { input: (event) => setExplain({ url: event.target.value }) } })),
      field("explain-header", "Header fields, one a line", h("textarea", { id: "explain-header", rows: 2, value: header, placeholder: "Accept-Encoding: br", spellcheck: "false", on: { input: (event) => setExplain({ header: event.target.value }) } })),
      h("button", { type: "submit" }, "Explain")),
    h("div", { "aria-live": "polite" },
      error ? h("p", { class: "error" }, error) : null,
      answer ? explanation(answer) : null));
}

function explanation({ key, route, decision, stored, last_not_stored: why, to_be_cached: todo, other_keys: others }) {
  return h("div", { class: "answer" },
    h("p", {}, h("b", {}, { hit: "A hit", stale: "A stale answer", revalidate: "The app would be asked whether it is still right", miss: "A miss", bypass: "The cache would take no part" }[decision.would] ?? decision.would),
      decision.reason ? [": ", h("code", {}, decision.reason)] : null),
    h("p", {}, h("code", {}, `Cache-Status: ${decision.cache_status}`)),
    h("p", { class: "hint" }, `Key: ${key.scheme} `, h("bdi", {}, `${key.host}${key.target}`), route ? `; route ${route}` : "; no route matches"),
    why ? h("p", {}, "The last answer was not stored: ", h("code", {}, why), WORDS[why] ? `, ${WORDS[why]}` : "") : null,
    todo.length > 0 ? [h("p", {}, "To be cached:"), h("ul", {}, todo.map((what) => h("li", {}, what)))] : null,
    stored.map((one) => h("p", { class: one.selected ? "selected" : null },
      `Stored: ${one.status}, ${one.freshness}, ${lasting(one.age_seconds)} old, `,
      one.ttl_seconds >= 0 ? `${lasting(one.ttl_seconds)} left` : `over for ${lasting(-one.ttl_seconds)}`,
      `, ${bytes(one.body_bytes)}`, one.tags.length > 0 ? `, tags ${one.tags.join(", ")}` : "", one.selected ? " (would be sent)" : "")),
    others.length > 0 ? h("p", { class: "hint" }, "Stored under other keys: ", others.map((other) => h("bdi", {}, `${other.scheme}://${other.host}${other.target} `))) : null);
}

const SCOPES = [
  ["urls", "URLs, one a line", "localhost:8080/products"],
  ["tags", "Tags, one a line", "products"],
  ["prefix", "Beginning of host and path, or of a path", "/api/"],
  ["pattern", "Regular expression for host and path", "/users/[0-9]+$"],
  ["all", "Everything", ""],
];

function purge({ purging }, { setPurge, tryPurge, doPurge }) {
  const { scope, text, mode, tried, done, error } = purging;
  const [, label, example] = SCOPES.find(([name]) => name === scope);
  const set = (name) => (event) => setPurge({ [name]: event.target.value });
  return h("div", { class: "panel" },
    h("h3", {}, "Purge"),
    h("form", { on: { submit: (event) => { event.preventDefault(); tryPurge(); } } },
      h("div", { class: "filters" },
        field("purge-what", "What", h("select", { id: "purge-what", on: { change: set("scope") } }, SCOPES.map(([name]) => h("option", { key: name, value: name, selected: scope === name }, name)))),
        field("purge-how", "How", h("select", { id: "purge-how", on: { change: set("mode") } },
          h("option", { value: "soft", selected: mode === "soft" }, "soft: ask the app before the next use"),
          h("option", { value: "hard", selected: mode === "hard" }, "hard: forget it")))),
      scope === "all" ? null : field("purge-text", label, h("textarea", { id: "purge-text", rows: 2, required: true, value: text, placeholder: example, spellcheck: "false", on: { input: set("text") } })),
      h("button", { type: "submit" }, "What would go?")),
    h("div", { "aria-live": "polite" },
      error ? h("p", { class: "error" }, error) : null,
      tried ? h("div", { class: "answer" },
        h("p", {}, `${plural(tried.matched, "response")}, ${bytes(tried.bytes)}, would go.`),
        h("button", { class: "danger", on: { click: doPurge } }, `Purge ${plural(tried.matched, "response")}`)) : null,
      done ? h("p", { class: "answer" }, `Purged: ${plural(done.matched, "response")}, ${bytes(done.bytes)}, in ${number(done.took_ms)} ms.`) : null));
}
