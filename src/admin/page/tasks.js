// Work in the background.

import { h } from "./dom.js";

export function tasks() {
  return h("section", { id: "tasks", "aria-labelledby": "tasks-title" },
    h("h2", { id: "tasks-title" }, "Tasks"),
    h("div", { class: "panel" },
      h("p", {}, "Here stands what runs in the background: its progress, how long it took, and what came of it. Slow endpoints can answer later this way, and the cache be warmed up."),
      h("p", { class: "hint" }, "This version has no kind of task: there is nothing to switch on yet.")));
}
