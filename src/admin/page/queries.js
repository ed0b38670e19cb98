// The app's database queries: which there are, how endpoints use them, and how to see them.

import { h } from "./dom.js";
import { count, duration, NONE, number, percent, plural } from "./format.js";
import { reasons } from "./compression.js";

export function queries({ dashboard: { queries: all } }, { show }) {
  return h("section", { id: "queries", "aria-labelledby": "queries-title" },
    h("h2", { id: "queries-title" }, "Queries", all.enabled ? h("span", { class: "count" }, count(all.unique_queries)) : null),
    all.enabled ? [h("p", { class: "hint" }, `Of the last hour; what is wrong with them stands among the findings.`), figures(all), table(all, show)]
      : h("div", { class: "panel" },
        h("p", {}, "Here stand the app's database queries: which are slow, which are repeated for each row of another, and how many a request of each endpoint takes."),
        h("p", { class: "hint" }, all.how_to_enable)));
}

function figures(all) {
  const { otlp, json, server_timing: timing } = all.sources;
  const classes = Object.entries(all.histogram_ms).filter(([, times]) => times > 0);
  return h("div", { class: "columns" },
    h("div", { class: "panel" },
      h("h3", {}, "Executions"),
      h("p", { class: "figure" }, h("data", { value: all.total_queries, "data-figure": "queries" }, count(all.total_queries))),
      h("p", { class: "facts" }, all.timing_ms ? `p50 ${duration(all.timing_ms.p50)}, p95 ${duration(all.timing_ms.p95)}, p99 ${duration(all.timing_ms.p99)}` : "None in this time."),
      h("p", { class: "facts" }, `${count(all.slow_queries)} slow, ${count(all.critical_queries)} critical; ${plural(all.n_plus_one_patterns, "pattern")} of N+1.`)),
    h("div", { class: "panel" },
      h("h3", {}, "By milliseconds"),
      classes.length === 0 ? h("p", { class: "empty" }, "None.") : reasons(classes, {})),
    h("div", { class: "panel" },
      h("h3", {}, "Known from"),
      h("ul", { class: "facts" },
        h("li", {}, `${plural(otlp.spans, "span")}, ${count(otlp.db_spans)} of them queries`),
        h("li", {}, plural(json.records, "record")),
        h("li", {}, `Server-Timing of ${plural(timing.responses, "answer")}`),
        all.attribution ? h("li", {}, `Their request is known of ${percent(all.attribution.request + all.attribution.route)}.`) : null),
      h("p", { class: "facts" }, `Missing indexes: ${all.missing_index_analysis}.`)),
    all.endpoints.length > 0 ? h("div", { class: "panel" }, h("h3", {}, "Endpoints with most queries"), endpoints(all.endpoints)) : null);
}

function endpoints(rows) {
  return h("table", {},
    h("thead", {}, h("tr", {}, ["Endpoint", "Requests", "Queries each", "Time"].map((title) => h("th", { scope: "col" }, title)))),
    h("tbody", {}, rows.map((row) => h("tr", { key: `${row.method} ${row.endpoint}` },
      h("th", { scope: "row" }, h("span", { class: "method" }, row.method), " ", h("bdi", {}, row.endpoint)),
      h("td", {}, count(row.requests)),
      h("td", {}, number(row.queries_per_request.avg)),
      h("td", {}, percent(row.database_time_share_percent))))));
}

function table({ top_queries: rows }, show) {
  if (rows.length === 0) return null;
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Queries that took most time" },
    h("table", { class: "queries" },
      h("thead", {}, h("tr", {}, ["Query", "Calls", "Share", "avg", "p95", "max", "Errors", "Endpoint"].map((title) => h("th", { scope: "col" }, title)))),
      h("tbody", {}, rows.map((row) => h("tr", { key: row.query_id },
        h("th", { scope: "row", title: row.query_id }, h("code", {}, row.query || row.tables.join(", ") || row.query_id), aboutIndex(row.index)),
        h("td", {}, h("data", { value: row.calls }, count(row.calls))),
        h("td", {}, percent(row.database_time_share_percent)),
        h("td", {}, duration(row.timing_ms?.avg ?? null)),
        h("td", {}, duration(row.timing_ms?.p95 ?? null)),
        h("td", {}, duration(row.timing_ms?.max ?? null)),
        h("td", { class: row.errors > 0 ? "bad" : null }, count(row.errors)),
        h("td", {}, row.endpoints.length === 0 ? NONE : endpointOf(row.endpoints[0], row.endpoints.length - 1, show)))))));
}

// What the database's planner says of it, unless that is nothing.
function aboutIndex(index) {
  return index === null || index.verdict === "fine" ? null : h("p", { class: "hint" }, index.because);
}

function endpointOf({ method, endpoint }, more, show) {
  return [h("button", { class: "link", on: { click: () => show(`${method} ${endpoint}`) } }, `${method} `, h("bdi", {}, endpoint)), more > 0 ? ` and ${count(more)} more` : ""];
}
