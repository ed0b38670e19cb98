// Work in the background: what waits and runs, how far it is, and what came of it.

import { dialog, head } from "./dialog.js";
import { field, h } from "./dom.js";
import { bytes, clock, count, duration, lasting, NONE, percent, plural } from "./format.js";
import { KINDS, STATUSES } from "./place.js";

/** What each kind does, in words. */
const DOES = {
  http_async: "a client's request, answered later",
  cache_warmup: "fetches pages into the cache",
  cache_purge: "drops pages from the cache",
  query_explain: "asks the database for its plan",
  compare: "compares how long two pages take",
};

/** What a restart does with a task that has not ended. */
const AFTER_RESTART = { repeat: "is begun again", once: "is begun if it was not", fail: "fails" };

/** What has to be asked for; `null` where the figures of every second have it: the newest tasks of any kind. */
export function wanted({ place, tasks: { before } }) {
  const [status, kind] = [place.task_status || null, place.task_kind || null];
  return status || kind || before !== null ? { status, kind, before, limit: 20 } : null;
}

export function tasks(model, actions) {
  const { dashboard, place } = model;
  const { stats } = dashboard.tasks;
  const known = STATUSES.reduce((all, status) => all + stats[status], 0);
  return h("section", { id: "tasks", "aria-labelledby": "tasks-title" },
    h("h2", { id: "tasks-title" }, "Tasks", h("span", { class: "count" }, known > 0 ? count(known) : "")),
    stats.store.state === "off" ? h("p", { class: "error", role: "status" }, `Tasks are off until the next start: ${stats.store.why}`) : null,
    known === 0 ? beginning() : [h("p", { class: "hint" }, figures(stats)), filters(place, actions), list(model, actions)],
    place.task ? dialog("task", "task-title", (close) => detail(model, actions, close), () => actions.showTask("")) : null);
}

/** How the first one is begun. */
function beginning() {
  return h("div", { class: "panel" },
    h("p", {}, "Nothing has run in the background yet. Here stands how far each task is, how long it took, and what came of it."),
    h("ul", { class: "facts" },
      h("li", {}, "On a route with ", h("code", {}, "async = true"), ", a client that sends ", h("code", {}, "Prefer: respond-async"), " need not wait: it fetches a slow answer later."),
      h("li", {}, h("code", {}, "pacecar task"), " warms the cache up, purges it by a pattern, explains a query, or compares two pages; so does ", h("code", {}, "POST /performance/tasks"), ".")));
}

function figures(stats) {
  const told = [
    `${count(stats.running)} of at most ${count(stats.max_concurrent)} run, ${count(stats.pending)} of at most ${count(stats.queue_capacity)} wait.`,
    `${count(stats.completed)} completed, ${count(stats.failed)} failed, ${count(stats.cancelled)} cancelled`
      + (stats.avg_queue_ms === null ? "." : `: they waited ${duration(stats.avg_queue_ms)}${stats.avg_execution_ms === null ? "" : ` and ran ${duration(stats.avg_execution_ms)}`} on average.`),
    stats.result_bytes > 0 ? `Their results take ${bytes(stats.result_bytes)}.` : null,
    stats.results_dropped > 0 ? `${plural(stats.results_dropped, "result")} had to go before the time, since there was no room.` : null,
    stats.store.state === "memory" ? "A restart loses them: tasks.store names a file that keeps them." : null,
    stats.store.state === "file" ? `They are kept in a file of ${bytes(stats.store.bytes)}.` : null,
  ];
  return told.filter(Boolean).join(" ");
}

function filters({ task_status: status, task_kind: kind }, { setTasks }) {
  const choice = (id, label, name, chosen, words) => field(id, label,
    h("select", { id, on: { change: (event) => setTasks({ [name]: event.target.value }) } },
      h("option", { value: "", selected: chosen === "" }, "all"),
      words.map((word) => h("option", { key: word, value: word, selected: chosen === word }, word))));
  return h("div", { class: "filters" },
    choice("task-status", "Status", "task_status", status, STATUSES),
    choice("task-kind", "Kind", "task_kind", kind, KINDS));
}

function list(model, actions) {
  const { dashboard, tasks: { list: asked, before, trouble } } = model;
  const page = wanted(model) ? asked : dashboard.tasks;
  if (!page) return h("p", { class: "empty" }, trouble ?? "Loading …");
  return [
    page.tasks.length === 0 ? h("p", { class: "empty" }, "No task is like that.") : table(page.tasks, model, actions),
    h("p", { class: "more" },
      before === null ? null : h("button", { on: { click: actions.newestTasks } }, "Newest"), " ",
      page.next === null ? null : h("button", { on: { click: () => actions.olderTasks(page.next) } }, "Older"),
      page.total > page.tasks.length ? h("span", { class: "hint" }, ` ${count(page.tasks.length)} of ${count(page.total)}`) : null),
  ];
}

const TITLES = ["Task", "Status", "Progress", "Took", "Age", ""];

/** What is left out where there is little room. */
const wide = (index) => (index === 4 ? "wide" : null);

function table(rows, model, actions) {
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Table of tasks" },
    h("table", { class: "tasks" },
      h("thead", {}, h("tr", {}, TITLES.map((title, index) => title === "" ? h("td", { key: "do" }) : h("th", { scope: "col", key: title, class: wide(index) }, title)))),
      h("tbody", {}, rows.map((task) => h("tr", { key: task.id, "data-task": task.id },
        h("th", { scope: "row" }, h("button", { class: "endpoint", on: { click: () => actions.showTask(task.id) } }, h("bdi", {}, task.name)), h("small", {}, task.kind)),
        h("td", { class: task.error ? "bad" : null }, task.status, task.error ? h("small", {}, ` ${task.error.reason}`) : null),
        h("td", { class: "progress" }, progress(task)),
        h("td", {}, took(task, model.dashboard.at_seconds)),
        h("td", { class: wide(4) }, lasting(Math.max(0, model.dashboard.at_seconds - since(task.created_at)))),
        h("td", {}, cancelling(task, model, actions)))))));
}

function progress({ name, progress: value, progress_source: source, status }) {
  // What is guessed of one that runs is not said as if it were known.
  const said = `${source === "estimated" && status === "running" && value > 0 ? "about " : ""}${percent(value)}`;
  return [h("progress", { max: 100, value, "aria-label": `${name}: ${said}` }), h("small", { "aria-hidden": "true" }, ` ${said}`)];
}

/** Until now, of one that runs. */
function took({ execution_ms: ran, started_at: started, status }, now) {
  return duration(status === "running" ? Math.max(0, now - since(started)) * 1000 : ran);
}

/** Seconds since 1970. */
function since(moment) {
  return Date.parse(moment) / 1000;
}

/** Whoever cancels is asked first. What is under the finger then is to keep it. */
function cancelling({ id, name, status }, { tasks: { asking } }, { askCancel, cancelTask }) {
  if (status !== "pending" && status !== "running") return null;
  if (asking !== id) return h("button", { class: "link", "aria-label": `Cancel ${name}`, on: { click: () => askCancel(id) } }, "Cancel");
  return [
    h("button", { class: "link", "aria-label": `Keep ${name}`, on: { click: () => askCancel(null) } }, "Keep it"), " ",
    h("button", { class: "link bad", "aria-label": `Really cancel ${name}`, on: { click: () => cancelTask(id) } }, "Really cancel"),
  ];
}

/** The task in the address. */
function detail(model, actions, close) {
  const { place, dashboard, tasks: { one } } = model;
  if (one === null || one.missing || one.id !== place.task) {
    return h("div", { class: "inside" }, head("task-title", "Task", close), h("p", { class: "empty" }, one?.missing ?? "Loading …"));
  }
  const fact = (name, value) => h("div", { key: name }, h("dt", {}, name), h("dd", {}, value));
  const at = (moment) => (moment === null ? NONE : clock(since(moment), "moment"));
  const waited = one.queue_ms ?? Math.max(0, dashboard.at_seconds - since(one.created_at)) * 1000;
  return h("div", { class: "inside" },
    head("task-title", h("bdi", {}, one.name), close),
    h("p", { class: "hint" }, h("code", {}, one.id), `, ${one.kind}: ${DOES[one.kind] ?? ""}`),
    h("div", { class: "panel progress" }, h("b", {}, one.status), " ", progress(one), " ", cancelling(one, model, actions)),
    one.error ? h("p", { class: "error" }, h("b", {}, one.error.reason), one.error.detail ? `: ${one.error.detail}` : "") : null,
    h("dl", { class: "facts" },
      fact("Submitted", at(one.created_at)), fact("Begun", at(one.started_at)), fact("Ended", at(one.finished_at)),
      fact("Waited", duration(waited)), fact("Ran", took(one, dashboard.at_seconds)), fact("May run for", lasting(one.timeout_s)),
      fact("Begun so often", count(one.attempt)), fact("After a restart it", AFTER_RESTART[one.after_restart] ?? one.after_restart),
      fact("Result", one.result ? `${one.result.status}, ${bytes(one.result.body_bytes)}` : NONE),
      Object.entries(one.metadata).map(([name, value]) => fact(name, value))),
    one.result && one.kind !== "http_async" ? h("p", {}, h("a", { href: `performance/tasks/${one.id}/result` }, "The result as JSON")) : null,
    h("h3", {}, "Its way"),
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Its way" },
      h("table", {},
        h("thead", {}, h("tr", {}, ["When", "To", "By", "Why"].map((title) => h("th", { scope: "col" }, title)))),
        h("tbody", {}, one.history.map((step) => h("tr", {},
          h("th", { scope: "row" }, at(step.at)), h("td", {}, step.to), h("td", {}, step.by),
          h("td", { class: "why" }, step.reason === null ? NONE : `${step.reason}${step.detail ? `: ${step.detail}` : ""}`)))))));
}
