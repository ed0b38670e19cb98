// The app's database queries.

import { h } from "./dom.js";

export function queries({ dashboard: { queries: all } }) {
  return h("section", { id: "queries", "aria-labelledby": "queries-title" },
    h("h2", { id: "queries-title" }, "Queries"),
    h("div", { class: "panel" },
      h("p", {}, "Here stand the app's database queries: which are slow, which are repeated for each row of another, which miss an index, and how many a request of each endpoint takes."),
      all.enabled ? null : h("p", { class: "hint" }, all.how_to_enable)));
}
