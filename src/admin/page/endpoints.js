// Every endpoint in a row, and one of them by itself.

import { sparkline } from "./chart.js";
import { dialog, head } from "./dialog.js";
import { field, h } from "./dom.js";
import { count, duration, endpointName, lasting, NONE, number, percent, perSecond } from "./format.js";
import { endpointCharts } from "./overview.js";
import { card } from "./findings.js";
import { endpointOf } from "./place.js";
import { requestsTable } from "./slow.js";

/** What a row shows: its name in the address, its title, what it is ordered by, and how it is shown. */
const COLUMNS = [
  { id: "requests", title: "Requests", of: (row) => row.requests, show: count, wide: true },
  { id: "rate", title: "Rate", of: (row) => row.requests_per_second, show: perSecond },
  { id: "errors", title: "Errors", of: (row) => (row.requests > 0 ? (row.errors / row.requests) * 100 : null), show: percent },
  { id: "p50", title: "p50", of: (row) => row.latency_ms?.p50 ?? null, show: duration, wide: true },
  { id: "p95", title: "p95", of: (row) => row.latency_ms?.p95 ?? null, show: duration },
  { id: "p99", title: "p99", of: (row) => row.latency_ms?.p99 ?? null, show: duration, wide: true },
  { id: "time", title: "Share of time", of: (row) => row.time_share_percent, show: percent },
  { id: "hits", title: "Hit rate", of: (row) => row.cache_hit_rate_percent, show: percent },
  { id: "queries", title: "Queries", of: (row) => row.queries_per_request?.avg ?? null, show: number, wide: true },
];

/** Rows that are shown at a time: a table of thousands would be slow, and nobody reads it. */
const ROWS = 100;

/** Those that the filter lets through, in the order of the address; rows without a value come last. */
export function arranged(rows, { filter, method, sort, order }) {
  const wanted = filter.trim().toLowerCase();
  const column = COLUMNS.find(({ id }) => id === sort);
  const of = column ? column.of : (row) => row.endpoint;
  const sign = order === "ascending" ? 1 : -1;
  const compare = (a, b) => {
    const [left, right] = [of(a), of(b)];
    if (left === null || right === null) return (left === null) - (right === null);
    return sign * (typeof left === "string" ? left.localeCompare(right) : left - right);
  };
  return rows
    .filter((row) => (method === "" || row.method === method) && endpointName(row).toLowerCase().includes(wanted))
    .sort((a, b) => compare(a, b) || endpointName(a).localeCompare(endpointName(b)));
}

export function endpoints(model, actions) {
  const { place, endpoints: known } = model;
  const rows = known ? arranged(known.rows, place) : [];
  const methods = known ? [...new Set(known.rows.map((row) => row.method))].sort() : [];
  return h("section", { id: "endpoints", "aria-labelledby": "endpoints-title" },
    h("h2", { id: "endpoints-title" }, "Endpoints", h("span", { class: "count" }, known ? count(known.total) : "")),
    h("div", { class: "filters" },
      field("filter", "Filter", h("input", { id: "filter",  type: "search", value: place.filter, placeholder: "/users", on: { input: (event) => actions.setPlace({ filter: event.target.value }) } })),
      field("method", "Method", h("select", { id: "method",  on: { change: (event) => actions.setPlace({ method: event.target.value }) } },
        h("option", { value: "", selected: place.method === "" }, "all"),
        methods.map((method) => h("option", { key: method, value: method, selected: place.method === method }, method)))),
      known && known.total > known.rows.length ? h("p", { class: "hint" }, `The ${count(known.rows.length)} of ${count(known.total)} that took most of the time.`) : null),
    !known ? h("p", { class: "empty" }, "Loading …")
      : known.rows.length === 0 ? h("p", { class: "empty" }, "No request has come in this time.")
      : rows.length === 0 ? h("p", { class: "empty" }, "No endpoint is called that.")
      : table(rows.slice(0, ROWS), model, actions),
    rows.length > ROWS ? h("p", { class: "hint" }, `${count(rows.length - ROWS)} more: the filter finds them.`) : null,
    detail(model, actions));
}

function table(rows, { place }, { setPlace, show }) {
  const by = (id) => () => {
    const again = place.sort === id && place.order === "descending";
    setPlace({ sort: id, order: again || (id === "endpoint" && place.sort !== id) ? "ascending" : "descending" });
  };
  const heading = ({ id, title, wide }) => h("th", { scope: "col", key: id, class: wide ? "wide" : null, "aria-sort": place.sort === id ? place.order : null },
    h("button", { on: { click: by(id) } }, title, h("span", { "aria-hidden": "true", class: "order" }, place.sort === id ? (place.order === "ascending" ? "▲" : "▼") : "")));
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Table of endpoints" },
    h("table", { class: "endpoints" },
      h("thead", {}, h("tr", {}, heading({ id: "endpoint", title: "Endpoint" }), COLUMNS.map(heading), h("th", { scope: "col" }, "Trend of p95"))),
      h("tbody", {}, rows.map((row) => {
        const name = endpointName(row);
        return h("tr", { key: name },
          h("th", { scope: "row" }, h("button", { class: "endpoint", on: { click: () => show(name) } }, methodOf(row), " ", h("bdi", {}, row.endpoint))),
          COLUMNS.map(({ id, of, show: shown, wide }) => h("td", { key: id, class: wide ? "wide" : null }, cell(of(row), shown))),
          h("td", {}, row.trend ? sparkline(row.trend.p95_ms, `p95 of ${name}`) : NONE));
      }))));
}

function methodOf({ method }) {
  return h("span", { class: "method" }, method);
}

function cell(value, show) {
  return value === null ? NONE : h("data", { value }, show(value));
}

/** The endpoint in the address, over everything else. */
function detail(model, actions) {
  const endpoint = endpointOf(model.place);
  return endpoint ? dialog("detail", "detail-title", (close) => content(model, actions, endpoint, close), () => actions.show("")) : null;
}

function content(model, actions, endpoint, close) {
  const { endpoints: known, dashboard, detail: series, markers, slow } = model;
  const name = endpointName(endpoint);
  const row = known?.rows.find((row) => endpointName(row) === name);
  const own = ({ endpoint: of }) => of && endpointName(of) === name;
  const findings = dashboard.insights.findings.filter(own);
  const requests = (slow ?? []).filter((request) => endpointName(request) === name);
  return h("div", { class: "inside" },
    head("detail-title", [methodOf(endpoint), " ", h("bdi", {}, endpoint.endpoint)], close),
    series?.missing ? h("p", { class: "empty" }, series.missing) : null,
    row ? figures(row) : null,
    series?.points ? h("div", { class: "tiles" }, endpointCharts(series, markers)) : null,
    h("h3", {}, "Findings"),
    findings.length === 0 ? h("p", { class: "empty" }, "None about this endpoint.") : h("div", { class: "cards" }, findings.map((finding) => card(finding, model, actions))),
    h("h3", {}, "Its slowest requests"),
    requests.length === 0 ? h("p", { class: "empty" }, "None of the slowest requests is of this endpoint.") : requestsTable(requests, `Slowest requests of ${name}`));
}

function figures(row) {
  const fact = (name, value) => h("div", {}, h("dt", {}, name), h("dd", {}, value));
  const { queries_per_request: queries, trend } = row;
  return [
    h("dl", { class: "facts" },
      fact("Requests", count(row.requests)), fact("Rate", perSecond(row.requests_per_second)), fact("Errors", count(row.errors)),
      fact("Aborted", count(row.aborted)), fact("Streamed", count(row.streamed)), fact("Share of time", percent(row.time_share_percent)),
      fact("App's share of its time", percent(row.upstream_share_percent)), fact("Hit rate", percent(row.cache_hit_rate_percent)),
      fact("Queries a request", queries ? `${number(queries.avg)}, at most ${count(queries.max)}` : NONE),
      trend ? fact("Steps of the charts", lasting(trend.step_seconds)) : null),
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Durations" }, durations(row)),
  ];
}

const MEASURES = ["min", "avg", "p50", "p95", "p99", "max", "stdev"];

function durations({ latency_ms: latency, upstream_latency_ms: upstream }) {
  const line = (name, of) => h("tr", {}, h("th", { scope: "row" }, name), MEASURES.map((measure) => h("td", {}, cell(of?.[measure] ?? null, duration))));
  return h("table", {},
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Duration"), MEASURES.map((measure) => h("th", { scope: "col" }, measure)))),
    h("tbody", {}, line("Clients see", latency), line("The app takes", upstream)));
}
