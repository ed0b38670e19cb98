// Single requests that took long, and what they waited for.

import { bar } from "./chart.js";
import { h } from "./dom.js";
import { bytes, clock, count, duration, endpointName, NONE } from "./format.js";

/** The parts of a request, in the order in which they come. */
const PARTS = [
  ["queue", "waiting for a turn"],
  ["connect", "connecting"],
  ["first_byte", "the app"],
  ["compression", "coding"],
  ["body", "body"],
];

/** As many are shown until somebody wants all of them. */
const FEW = 12;

export function slow({ slow: requests, place, allSlow }, { showAllSlow }) {
  const few = requests && !allSlow && requests.length > FEW;
  return h("section", { id: "slow", "aria-labelledby": "slow-title" },
    h("h2", { id: "slow-title" }, "Slowest requests", h("span", { class: "count" }, requests ? count(requests.length) : "")),
    !requests ? h("p", { class: "empty" }, "Loading …")
      : requests.length === 0 ? h("p", { class: "empty" }, "No request was kept in this time.")
      : [
        h("ul", { class: "legend", "aria-hidden": "true" }, PARTS.map(([part, name]) => h("li", { class: part }, name))),
        requestsTable(few ? requests.slice(0, FEW) : requests, `Slowest requests of ${place.window}`),
        few ? h("p", { class: "more" }, h("button", { on: { click: showAllSlow } }, `Show all ${count(requests.length)}`)) : null,
      ]);
}

const TITLES = ["Request", "Took", "Breakdown", "Status", "Cache", "Ended", "Sent", "In flight", "Queries"];

/** What is left out where there is little room. */
const wide = (index) => (index > 5 ? "wide" : null);

export function requestsTable(requests, label) {
  const longest = Math.max(...requests.map((request) => request.duration_ms), 1e-6);
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label },
    h("table", { class: "slow" },
      h("thead", {}, h("tr", {}, TITLES.map((title, index) => h("th", { scope: "col", class: wide(index) }, title)))),
      h("tbody", {}, requests.map((request) => row(request, longest)))));
}

function row(request, longest) {
  const { breakdown_ms: breakdown, duration_ms: took } = request;
  const parts = PARTS.map(([part, name]) => ({ kind: part, share: breakdown[part] / longest, name: `${name}: ${duration(breakdown[part])}` }));
  const said = parts.filter((part) => part.share > 0).map((part) => part.name).join(", ");
  return h("tr", {},
    h("th", { scope: "row" }, h("span", { class: "method" }, request.method), " ", h("bdi", {}, request.path ?? request.endpoint),
      request.path && request.path !== request.endpoint ? h("small", {}, ` ${endpointName(request)}`) : null,
      request.trace_id ? h("small", { class: "trace" }, `trace ${request.trace_id}`) : null),
    h("td", {}, h("data", { value: took }, duration(took))),
    h("td", { class: "breakdown" }, bar(parts, said || "no part of it took time")),
    h("td", { class: request.status >= 500 ? "bad" : null }, String(request.status)),
    h("td", {}, request.cache),
    h("td", {}, clock(request.ended_seconds, "second")),
    h("td", { class: wide(6) }, bytes(request.bytes)),
    h("td", { class: wide(7) }, request.in_flight === null ? NONE : count(request.in_flight)),
    h("td", { class: wide(8) }, request.queries === null ? NONE : count(request.queries)));
}
