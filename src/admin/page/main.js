// The page: what it knows, where that comes from, and what people do with it. Everything else only shows it.

import { ask, dropToken, events, hasToken, keepToken, Refused, remove, send } from "./api.js";
import { cache } from "./cache.js";
import { compression } from "./compression.js";
import { field, h, patch } from "./dom.js";
import { endpoints } from "./endpoints.js";
import { findings } from "./findings.js";
import { clock } from "./format.js";
import { banner, path, tiles } from "./overview.js";
import { address, endpointOf, read, WINDOWS } from "./place.js";
import { queries } from "./queries.js";
import { slow } from "./slow.js";
import { tasks, wanted } from "./tasks.js";

/** Seconds between two looks at what changes slowly; longer where a step of the charts takes longer anyway. */
const LOOK = { "1m": 5, "5m": 10, "15m": 10, "1h": 15, "6h": 60, "24h": 60 };
/** Seconds between two looks at tasks that the stream does not bring. */
const LOOK_AT_TASKS = 3;
/** Rows of a page of a list, and pages that are asked for at most. */
const [ROWS, PAGES] = [100, 3];
/** Seconds until the next try after one that failed, doubled each time up to the last. */
const [FIRST_TRY, LAST_TRY] = [1, 15];

const model = {
  place: read(),
  dashboard: null,
  series: null,
  markers: [],
  endpoints: null,
  slow: null,
  detail: null,
  /** Why there are no figures. */
  lost: null,
  paused: false,
  /** `null`, or what is said beside the form for the token. */
  login: null,
  copied: null,
  allSlow: false,
  mutedConfig: null,
  said: "",
  /** What could not be done. */
  trouble: null,
  theme: localStorage.getItem("pacecar-theme") ?? "auto",
  explained: { url: "", header: "", answer: null, error: null },
  /** Tasks that were asked for, one of them, which comes before them in the list, and which is to be cancelled perhaps. */
  tasks: { list: null, one: null, before: null, asking: null, trouble: null },
  purging: { scope: "urls", text: "", mode: "soft", tried: null, done: null, error: null },
};

// Showing.

const SECTIONS = [["findings", "Findings"], ["endpoints", "Endpoints"], ["cache", "Cache"], ["compression", "Compression"], ["slow", "Slow requests"], ["queries", "Queries"], ["tasks", "Tasks"]];

let drawing = false;

/** Shows what is known, once for everything that changed at this moment. */
function render() {
  if (drawing) return;
  drawing = true;
  queueMicrotask(() => {
    drawing = false;
    const focused = document.activeElement;
    patch(document.getElementById("app"), view());
    // A row that moved takes the focus along.
    if (focused !== document.activeElement && focused?.isConnected) focused.focus({ preventScroll: true });
    document.title = title();
    if (model.theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = model.theme;
  });
}

function title() {
  if (model.lost) return "? Pacecar";
  return { warning: "! Pacecar", critical: "✕ Pacecar" }[model.dashboard?.status] ?? "Pacecar";
}

function view() {
  if (model.login !== null) return login();
  if (!model.dashboard) {
    return h("main", { class: "alone", key: "alone" }, h("h1", {}, "Pacecar"), model.lost ? banner(model, actions) : h("p", {}, "Loading the figures …"));
  }
  return h("div", { class: `page${model.lost ? " old" : ""}`, key: "page" },
    h("a", { class: "skip", href: "#main" }, "Skip to the figures"),
    header(),
    h("main", { id: "main", tabindex: "-1" },
      h("h1", { class: "unseen" }, "Pacecar"),
      banner(model, actions),
      path(model),
      h("section", { "aria-label": "Figures" }, tiles(model)),
      findings(model, actions),
      endpoints(model, actions),
      cache(model, actions),
      compression(model),
      slow(model, actions),
      queries(model, actions),
      tasks(model, actions),
      notes()),
    footer(),
    h("div", { class: "trouble", role: "alert" }, model.trouble),
    h("div", { class: "unseen", "aria-live": "polite" }, model.said));
}

function header() {
  const state = model.paused ? "Paused" : model.lost ? "Reconnecting" : "Live";
  const themes = ["auto", "light", "dark"];
  const nextTheme = themes[(themes.indexOf(model.theme) + 1) % themes.length];
  return h("header", { class: "top" },
    h("a", { class: "brand", href: address({ window: model.place.window }).split("#")[0], on: { click: (event) => { event.preventDefault(); scrollTo(0, 0); } } }, h("img", { src: "page/icon.svg", alt: "", width: 24, height: 24 }), "Pacecar"),
    h("nav", { "aria-label": "Sections" }, SECTIONS.map(([id, name]) => h("a", { href: `#${id}` }, name))),
    h("div", { class: "controls" },
      h("div", { class: "windows", role: "group", "aria-label": "Window" }, WINDOWS.map((name) => h("button", { key: name, "aria-pressed": String(model.place.window === name), on: { click: () => actions.setPlace({ window: name }) } }, name))),
      h("button", { class: `live ${state.toLowerCase()}`, "aria-pressed": String(model.paused), "aria-label": `${state}: ${model.paused ? "go on" : "pause"}`, on: { click: actions.pause } }, state),
      h("button", { "aria-label": `Colours: ${model.theme}; change to ${nextTheme}`, title: `Colours: ${model.theme}`, on: { click: () => actions.setTheme(nextTheme) } }, { auto: "◐", light: "☀", dark: "☾" }[model.theme]),
      h("button", { on: { click: actions.save } }, "Save JSON"),
      hasToken() ? h("button", { on: { click: actions.leave } }, "Log out") : null));
}

function footer() {
  const { pacecar, at_seconds } = model.dashboard;
  return h("footer", { class: "bottom" },
    h("span", {}, `Pacecar ${pacecar.version}, ${clock(at_seconds, "second")}`),
    h("a", { href: "openapi.json" }, "OpenAPI"), h("a", { href: "metrics" }, "Metrics"), h("a", { href: `performance/dashboard?window=${model.place.window}` }, "JSON"));
}

const NOTES = [
  "Requests that ended, however they ended, a second. The large figure is of the last minute, which begins at a full one and so is up to two minutes long; charts and the line below are of the chosen window, which begins at a full minute, five minutes or hour.",
  "The share of requests that were answered with a status of 500 or above, by the app or in its place.",
  "From the first byte of a request to the last of its answer, as its client sees it; aborted requests, tunnels and event streams are left out. 95 of 100 requests took no longer than p95. A percentile is within 1 % of the true one.",
  "Of the requests that the cache could take part in, those that it answered without the app. Requests that only pass through, such as those with a cookie that counts, are left out.",
  "App: body bytes of answers that the app did not have to send. Clients: body bytes that were not sent to them since bodies were coded here.",
  "What waiting clients were spared: for each request answered here, what the app took on average for others of its endpoint. What waiting Pacecar cost is subtracted.",
  "Marks on the charts: the start, configurations that were taken up, purges of everything, and deploys that were told with POST /performance/markers.",
];

function notes() {
  return h("section", { id: "notes", "aria-labelledby": "notes-title" },
    h("h2", { id: "notes-title" }, "What the figures mean"),
    h("ol", {}, NOTES.map((note, index) => h("li", { id: `note-${index + 1}` }, note))));
}

function login() {
  return h("main", { class: "alone", key: "login" },
    h("h1", {}, h("img", { src: "page/icon.svg", alt: "", width: 32, height: 32 }), "Pacecar"),
    h("form", { class: "panel", on: { submit: (event) => { event.preventDefault(); actions.enter(new FormData(event.target).get("token")); } } },
      h("p", {}, "The admin port asks for its token: the line in the file that ", h("code", {}, "admin.token_file"), " names."),
      h("input", { type: "text", name: "username", autocomplete: "username", value: "admin", readOnly: true, class: "unseen", tabindex: "-1", "aria-label": "User" }),
      field("token", "Token", h("input", { id: "token", type: "password", name: "token", autocomplete: "current-password", required: true, autofocus: true, "aria-describedby": model.login ? "login-error" : null })),
      h("p", { class: "error", id: "login-error", role: "alert" }, model.login),
      h("button", { type: "submit" }, "Log in")));
}

// Knowing.

let streaming = null;
let looking = null;
let watching = null;

/** Asks anew for everything, unless nobody looks. */
function begin() {
  stop();
  if (document.hidden || model.paused || model.login !== null) return;
  streaming = new AbortController();
  looking = new AbortController();
  stream(streaming.signal);
  look(looking.signal);
  watchNow();
}

function stop() {
  streaming?.abort();
  looking?.abort();
  watching?.abort();
}

function wait(seconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, seconds * 1000);
    signal.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
  });
}

/** The figures of every second, for as long as there are any. */
async function stream(signal) {
  let next = FIRST_TRY;
  while (!signal.aborted) {
    try {
      for await (const figures of events(`performance/stream?window=${model.place.window}`, signal)) {
        if (signal.aborted) return;
        takeUp(figures);
        next = FIRST_TRY;
      }
      if (!signal.aborted) lose(new Refused(0, "Pacecar has stopped"));
    } catch (error) {
      if (signal.aborted) return;
      if (!failed(error)) return;
      if (error.retryAfter) next = error.retryAfter;
    }
    await wait(next, signal);
    next = Math.min(next * 2, LAST_TRY);
  }
}

function takeUp(figures) {
  const before = model.dashboard;
  if (before && before.status !== figures.status) model.said = `Status: ${figures.status}`;
  // Another process, whose past is its own.
  const restarted = before && figures.pacecar.uptime_seconds < before.pacecar.uptime_seconds;
  const back = model.lost !== null;
  model.dashboard = figures;
  model.lost = null;
  render();
  if (restarted || back) lookNow();
}

function lose(error) {
  model.lost = { detail: error.message };
  render();
}

/** What became of a try. False: somebody has to log in before the next one. */
function failed(error) {
  if (!(error instanceof Refused)) throw error;
  if (error.status === 401 || (error.status === 429 && !model.dashboard && hasToken())) {
    const guessed = hasToken();
    dropToken();
    stop();
    model.dashboard = null;
    model.login = error.status === 429 ? error.message : guessed ? "That is not the token." : "";
    render();
    return false;
  }
  lose(error);
  return true;
}

/** What changes slowly: charts, endpoints, single requests and markers. */
async function look(signal) {
  while (!signal.aborted) {
    let pause = LOOK[model.place.window];
    try {
      await lookOnce(signal);
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof Refused)) throw error;
      // The stream says what is wrong; here only the pace is kept.
      pause = error.retryAfter ?? pause;
    }
    await wait(pause, signal);
  }
}

async function lookOnce(signal) {
  const { window } = model.place;
  const options = { signal };
  const page = (offset) => ask("performance/profile/slowest", { window, by: "total_time", limit: ROWS, offset }, options);
  const [series, first, markers] = await Promise.all([
    ask("performance/profile/series", { window }, options),
    page(0),
    ask("performance/markers", { limit: 100 }, options),
    lookAtDetail(signal),
  ]);
  const pages = Math.min(Math.ceil(first.endpoints_total / ROWS), PAGES);
  const more = await Promise.all(Array.from({ length: Math.max(0, pages - 1) }, (_, index) => page((index + 1) * ROWS)));
  if (signal.aborted || window !== model.place.window) return;
  const rows = [first, ...more].flatMap((part) => part.endpoints);
  // The same again is not another: charts that did not change are not drawn again.
  if (!same(model.markers, markers.markers)) model.markers = markers.markers;
  Object.assign(model, { series, slow: first.requests, endpoints: { rows, total: first.endpoints_total } });
  render();
}

function same(a, b) {
  return JSON.stringify(a) === JSON.stringify(b);
}

async function lookAtDetail(signal) {
  const endpoint = endpointOf(model.place);
  if (!endpoint) return;
  try {
    const series = await ask("performance/profile/series", { window: model.place.window, ...endpoint }, { signal });
    if (!signal.aborted && endpointOf(model.place)?.endpoint === endpoint.endpoint) model.detail = series;
  } catch (error) {
    if (!(error instanceof Refused) || error.status === 401) throw error;
    model.detail = { missing: error.message };
  }
  render();
}

function lookNow() {
  looking?.abort();
  if (document.hidden || model.paused || model.login !== null) return;
  looking = new AbortController();
  look(looking.signal);
}

/** Tasks, where the stream does not bring them. */
async function watch(signal) {
  while (!signal.aborted) {
    let pause = LOOK_AT_TASKS;
    try {
      await watchOnce(signal);
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof Refused)) throw error;
      model.tasks.trouble = error.message;
      render();
      pause = error.retryAfter ?? pause;
    }
    await wait(pause, signal);
  }
}

async function watchOnce(signal) {
  const [query, { task }] = [wanted(model), model.place];
  const options = { signal };
  const [list, one] = await Promise.all([
    query && ask("performance/tasks", query, options),
    task && ask(`performance/tasks/${task}`, {}, options).catch(missing),
  ]);
  if (signal.aborted || (!query && !task)) return;
  Object.assign(model.tasks, { trouble: null }, query ? { list } : {}, task ? { one } : {});
  render();
}

/** A task may have been forgotten, or never have been. */
function missing(error) {
  if (error instanceof Refused && error.status === 404) return { missing: error.message };
  throw error;
}

function watchNow() {
  watching?.abort();
  if (document.hidden || model.paused || model.login !== null) return;
  watching = new AbortController();
  watch(watching.signal);
}

// Doing.

const actions = {
  /** Goes to a place of the page, which is in the address from then on. */
  setPlace(changes) {
    const before = model.place;
    model.place = { ...before, ...changes };
    history.replaceState(null, "", address(model.place));
    if (model.place.window !== before.window) {
      Object.assign(model, { series: null, endpoints: null, slow: null, detail: null });
      begin();
    }
    render();
  },

  /** Shows one endpoint by itself, or none. */
  show(endpoint) {
    if (endpoint === model.place.endpoint) return;
    model.detail = null;
    actions.setPlace({ endpoint });
    if (endpoint) lookAtDetail(looking?.signal ?? new AbortController().signal).catch(() => {});
  },

  /** Which tasks are shown, from the newest on. */
  setTasks(changes) {
    Object.assign(model.tasks, { list: null, before: null });
    actions.setPlace(changes);
    watchNow();
  },

  newestTasks() {
    actions.setTasks({});
  },

  olderTasks(next) {
    Object.assign(model.tasks, { list: null, before: next });
    watchNow();
    render();
  },

  /** Shows one task by itself, or none. */
  showTask(task) {
    if (task === model.place.task) return;
    Object.assign(model.tasks, { one: null, asking: null });
    actions.setPlace({ task });
    watchNow();
  },

  askCancel(task) {
    model.tasks.asking = task;
    render();
  },

  async cancelTask(task) {
    model.tasks.asking = null;
    const cancelled = await attempt(() => remove(`performance/tasks/${task}`));
    if (cancelled) {
      model.said = cancelled.upstream_may_continue ? "Cancelled; the app may go on with it" : "Cancelled";
      if (model.place.task === task) model.tasks.one = cancelled;
    }
    watchNow();
    render();
  },

  goTo(event, id) {
    event.preventDefault();
    const found = document.getElementById(id);
    found?.scrollIntoView({ block: "center" });
    found?.focus({ preventScroll: true });
  },

  showAllSlow() {
    model.allSlow = true;
    render();
  },

  pause() {
    model.paused = !model.paused;
    model.said = model.paused ? "Paused" : "Live";
    begin();
    render();
  },

  setTheme(theme) {
    model.theme = theme;
    if (theme === "auto") localStorage.removeItem("pacecar-theme");
    else localStorage.setItem("pacecar-theme", theme);
    render();
  },

  /** Everything that the page knows, as a file. */
  save() {
    const { dashboard, series, endpoints, slow, markers, place } = model;
    const known = { window: place.window, dashboard, series, endpoints: endpoints?.rows ?? [], slowest_requests: slow ?? [], markers };
    const file = URL.createObjectURL(new Blob([JSON.stringify(known, null, 2)], { type: "application/json" }));
    const stamp = new Date(dashboard.at_seconds * 1000).toISOString().slice(0, 19).replaceAll(":", "-");
    const link = Object.assign(document.createElement("a"), { href: file, download: `pacecar-${place.window}-${stamp}.json` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(file), 10_000);
  },

  async copy(id, text) {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // Without TLS a browser has no clipboard for pages: an area that is selected has.
      const area = Object.assign(document.createElement("textarea"), { value: text });
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    model.copied = id;
    model.said = "Copied";
    render();
    setTimeout(() => {
      if (model.copied === id) model.copied = null;
      render();
    }, 2000);
  },

  async mute(finding, mute) {
    const told = await attempt(() => send("performance/profile/insights/mute", { finding, mute }));
    if (!told) return;
    model.mutedConfig = told.muted.length > 0 ? told.config : null;
    model.said = mute ? "Muted" : "Unmuted";
    try {
      model.dashboard = { ...model.dashboard, insights: await ask("performance/profile/insights") };
    } catch {
      // The next second brings it.
    }
    render();
  },

  setExplain(changes) {
    Object.assign(model.explained, changes);
    render();
  },

  async askExplain() {
    const { url, header } = model.explained;
    const fields = header.split("\n").map((line) => line.trim()).filter(Boolean);
    try {
      const answer = await ask("performance/cache/explain", { url, header: fields });
      Object.assign(model.explained, { answer, error: null });
    } catch (error) {
      Object.assign(model.explained, { answer: null, error: error.message });
    }
    render();
  },

  /** Whatever is changed in the form, what was tried no longer holds. */
  setPurge(changes) {
    Object.assign(model.purging, { tried: null, done: null, error: null }, changes);
    render();
  },

  async tryPurge() {
    await purge(true, (tried) => ({ tried, done: null }));
  },

  async doPurge() {
    await purge(false, (done) => ({ tried: null, done }));
  },

  enter(token) {
    keepToken(token);
    model.login = null;
    begin();
    render();
  },

  leave() {
    dropToken();
    stop();
    Object.assign(model, { dashboard: null, series: null, endpoints: null, slow: null, detail: null, login: "" });
    Object.assign(model.tasks, { list: null, one: null });
    render();
  },
};

async function purge(dryRun, taken) {
  const { scope, text, mode } = model.purging;
  const lines = text.split("\n").map((line) => line.trim()).filter(Boolean);
  const what = { urls: { urls: lines }, tags: { tags: lines }, prefix: { prefix: text.trim() }, pattern: { pattern: text.trim() }, all: {} }[scope];
  try {
    const answer = await send("performance/cache/clear", { ...what, mode, dry_run: dryRun });
    Object.assign(model.purging, { error: null }, taken(answer));
    if (!dryRun) lookNow();
  } catch (error) {
    Object.assign(model.purging, { tried: null, done: null, error: error.message });
  }
  render();
}

/** Does it, or says why not. */
async function attempt(what) {
  try {
    return await what();
  } catch (error) {
    model.trouble = `That was not done: ${error.message}`;
    render();
    setTimeout(() => {
      model.trouble = null;
      render();
    }, 8000);
    return null;
  }
}

document.addEventListener("visibilitychange", begin);
addEventListener("popstate", () => {
  model.place = read();
  begin();
  render();
});
begin();
render();
