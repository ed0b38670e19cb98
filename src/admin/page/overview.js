// What is seen first: whether all is well, where the traffic is, and the figures that matter with their past.

import { Chart } from "./chart.js";
import { h } from "./dom.js";
import { bytes, bytesPerSecond, clock, count, duration, lasting, percent, perSecond, plural } from "./format.js";

const STATUS = {
  healthy: { name: "Healthy", sign: "✓", said: "Nothing needs you." },
  warning: { name: "Warning", sign: "!", said: "Somebody should look." },
  critical: { name: "Critical", sign: "✕", said: "Somebody should look now." },
};

/** Whether all is well, and why not. */
export function banner({ dashboard, lost }, { goTo }) {
  if (lost) {
    return h("section", { class: "banner lost", "aria-label": "Status" },
      h("span", { class: "sign", "aria-hidden": "true" }, "?"),
      h("div", {},
        h("h2", {}, "No figures"),
        h("p", {}, dashboard ? `${lost.detail}. What is shown is of ${clock(dashboard.at_seconds, "second")}; trying again.` : `${lost.detail}; trying again.`)));
  }
  const { name, sign, said } = STATUS[dashboard.status];
  const reason = ({ status, detail, finding }) => h("li", { class: status },
    finding === null ? detail : h("a", { href: `#${anchor(finding)}`, on: { click: (event) => goTo(event, anchor(finding)) } }, detail));
  return h("section", { class: `banner ${dashboard.status}`, "aria-label": "Status" },
    h("span", { class: "sign", "aria-hidden": "true" }, sign),
    h("div", {},
      h("h2", {}, h("span", { role: "status" }, name)),
      dashboard.reasons.length === 0
        ? h("p", {}, dashboard.overview.requests === 0 ? "No request has come in this time." : said)
        : h("ul", {}, dashboard.reasons.map(reason))));
}

/** Where a finding's card is on the page. */
export function anchor(finding) {
  return `finding-${encodeURIComponent(finding)}`;
}

/** From the clients through Pacecar to the app, with what passes in a second. */
export function path({ dashboard: { last_minute: now, traffic, pacecar, overview } }) {
  const asked = now.lasts_seconds > 0 ? now.upstream_requests / now.lasts_seconds : 0;
  const spared = now.requests > 0 ? Math.max(0, 1 - now.upstream_requests / now.requests) * 100 : null;
  const serves = overview.saturation.serves_at_once;
  const node = (kind, name, facts) => h("div", { class: `node ${kind}` }, h("h3", {}, name), h("ul", {}, facts.filter(Boolean).map((fact) => h("li", {}, fact))));
  const way = (rate, latency, what) => h("div", { class: "way" },
    h("span", { class: "rate" }, h("data", { value: rate }, perSecond(rate))),
    h("span", { class: "arrow", "aria-hidden": "true" }),
    h("span", { class: "time" }, latency === null ? what : `p95 ${duration(latency.p95)}`));
  return h("section", { class: "path", "aria-label": "The way of requests, in the last minute" },
    node("clients", "Clients", [plural(traffic.clients.connections, "connection"), `${count(traffic.clients.in_flight)} in flight`]),
    way(now.requests_per_second, now.latency_ms, "no requests"),
    node("pacecar", pacecar.mode === "observe" ? "Pacecar observes" : "Pacecar", [
      spared === null ? "idle" : `${percent(spared)} answered here`,
      `up ${lasting(pacecar.uptime_seconds)}`,
    ]),
    way(asked, now.upstream_latency_ms, "not asked"),
    node("app", "App", [
      h("code", {}, traffic.app.upstream),
      `${count(traffic.app.in_flight)} in flight${traffic.app.queued > 0 ? `, ${count(traffic.app.queued)} waiting` : ""}`,
      serves === null ? null : `serves ${count(serves)} at once`,
      traffic.app.failures_in_a_row > 0 ? h("span", { class: "bad" }, `${plural(traffic.app.failures_in_a_row, "failure")} in a row`)
        : traffic.app.failures > 0 ? `${plural(traffic.app.failures, "failure")} since the start` : null,
    ]));
}

function tile({ name, note, figure, facts, chart }) {
  return h("section", { class: "tile", key: name, "aria-label": name },
    h("header", {}, h("h3", {}, name, h("sup", {}, h("a", { href: `#note-${note}`, "aria-label": `What ${name.toLowerCase()} means` }, note)))),
    h("p", { class: "figure" }, figure),
    h("p", { class: "facts" }, facts),
    chart ? h("div", { class: "chart", widget: Chart, data: chart }) : null);
}

const charts = new WeakMap();

/** Charts of a series are made once, so that they are drawn again only when there is another. */
function chartsOf(series, markers) {
  const known = charts.get(series);
  if (known?.markers === markers) return known;
  const { points, step_seconds } = series;
  const chart = (label, lines, more) => ({ label, points, step_seconds, markers, lines, ...more });
  const latency = (of) => ({ latency_ms }) => latency_ms && latency_ms[of];
  const made = {
    markers,
    requests: chart("Requests per second", [{ name: "requests", kind: "one", of: (point) => point.requests_per_second, format: perSecond }], { least: 1 }),
    errors: chart("Error rate", [{ name: "errors", kind: "bad", of: (point) => point.error_rate_percent, format: percent }], { least: 1 }),
    latency: chart("Latency", [
      { name: "p99", kind: "three", of: latency("p99"), format: duration },
      { name: "p95", kind: "two", of: latency("p95"), format: duration },
      { name: "p50", kind: "one", of: latency("p50"), format: duration },
    ], { least: 1 }),
    hits: chart("Hit rate", [{ name: "hits", kind: "good", of: (point) => point.cache_hit_rate_percent, format: percent }], { top: 100 }),
    bytes: chart("Bytes saved per second", [
      { name: "app", kind: "good", of: (point) => rate(point.upstream_bytes_saved, point), format: bytesPerSecond },
      { name: "clients", kind: "one", of: (point) => rate(point.client_bytes_saved, point), format: bytesPerSecond },
    ], { binary: true, least: 1024 }),
  };
  charts.set(series, made);
  return made;
}

function rate(amount, { lasts_seconds }) {
  return lasts_seconds > 0 ? amount / lasts_seconds : null;
}

/** The charts that an endpoint has by itself. */
export function endpointCharts(series, markers) {
  const { requests, errors, latency, hits } = chartsOf(series, markers);
  return [latency, requests, errors, hits].map((data) => h("section", { class: "tile", key: data.label, "aria-label": data.label },
    h("header", {}, h("h3", {}, data.label)),
    h("div", { class: "chart", widget: Chart, data })));
}

const NOW = h("small", {}, " last minute");
const NO_SERIES = { points: [], step_seconds: 60 };

/** The figures that matter, of the last minute, with their past and what they come to in the window. */
export function tiles({ dashboard: { overview, last_minute: now, ledger }, series, markers }) {
  const drawn = chartsOf(series ?? NO_SERIES, markers);
  const chart = (name) => (series ? drawn[name] : null);
  const past = overview.window;
  const latency = (of) => duration(now.latency_ms?.[of] ?? null);
  const points = series?.points ?? [];
  const sum = (of) => points.reduce((all, point) => all + point[of], 0);
  return h("div", { class: "tiles" },
    tile({
      name: "Requests", note: 1, chart: chart("requests"),
      figure: [h("data", { value: now.requests_per_second, "data-figure": "requests" }, perSecond(now.requests_per_second)), NOW],
      facts: [h("data", { value: overview.requests, "data-figure": "requests-window" }, count(overview.requests)), ` in ${past}, `, perSecond(overview.requests_per_second)],
    }),
    tile({
      name: "Error rate", note: 2, chart: chart("errors"),
      figure: [h("data", { value: now.error_rate_percent ?? "", class: now.errors > 0 ? "bad" : null }, percent(now.error_rate_percent)), NOW],
      facts: [h("data", { value: overview.errors, "data-figure": "errors-window" }, plural(overview.errors, "error")), ` in ${past}`, overview.error_rate_percent === null ? "" : `, ${percent(overview.error_rate_percent)}`],
    }),
    tile({
      name: "Latency", note: 3, chart: chart("latency"),
      figure: [h("data", { value: now.latency_ms?.p95 ?? "" }, latency("p95")), h("small", {}, " p95, last minute")],
      facts: [`p50 ${latency("p50")}, p99 ${latency("p99")}; in ${past} p95 `, h("data", { value: overview.latency_ms?.p95 ?? "", "data-figure": "p95-window" }, duration(overview.latency_ms?.p95 ?? null))],
    }),
    tile({
      name: "Hit rate", note: 4, chart: chart("hits"),
      figure: [h("data", { value: now.cache_hit_rate_percent ?? "" }, percent(now.cache_hit_rate_percent)), NOW],
      facts: [`in ${past} `, h("data", { value: overview.cache_hit_rate_percent ?? "", "data-figure": "hits-window" }, percent(overview.cache_hit_rate_percent))],
    }),
    tile({
      name: "Bytes saved", note: 5, chart: chart("bytes"),
      figure: [h("data", { value: sum("upstream_bytes_saved"), "data-figure": "bytes-app" }, bytes(sum("upstream_bytes_saved"))), h("small", {}, ` not sent by the app in ${past}`)],
      facts: [h("data", { value: sum("client_bytes_saved"), "data-figure": "bytes-clients" }, bytes(sum("client_bytes_saved"))), ` not sent to clients in ${past}`],
    }),
    ledgerTile(ledger));
}

/** What it brought, and what it cost. */
function ledgerTile({ window: { window, saved, cost, net_seconds }, since_start }) {
  const row = (name, value, kind) => h("tr", { class: kind }, h("th", { scope: "row" }, name), h("td", {}, value));
  const total = since_start.cost.cpu_seconds;
  return h("section", { class: "tile ledger", key: "ledger", "aria-label": "Ledger" },
    h("header", {}, h("h3", {}, "Ledger", h("sup", {}, h("a", { href: "#note-6", "aria-label": "What the ledger means" }, 6)))),
    h("p", { class: "figure" }, h("data", { value: net_seconds, "data-figure": "net-seconds", class: net_seconds < 0 ? "bad" : "good" }, signed(net_seconds)), h("small", {}, ` waiting ${net_seconds < 0 ? "added" : "saved"} in ${window}`)),
    h("table", {},
      h("tbody", {},
        row("Requests the app was spared", count(saved.upstream_requests)),
        row("Its time for them", signed(saved.upstream_seconds), "good"),
        row("Waiting for a turn at it", signed(-cost.queue_seconds)),
        row("Connecting to it", signed(-cost.connect_seconds)),
        row("Coding while clients waited", signed(-cost.coding_seconds)),
        row("Since the start: requests spared", count(since_start.saved.upstream_requests)),
        row("Since the start: CPU time of Pacecar", total === null ? "–" : lasting(total)))));
}

function signed(seconds) {
  const sign = seconds > 0 ? "+" : seconds < 0 ? "−" : "";
  return sign + lasting(Math.abs(seconds));
}
