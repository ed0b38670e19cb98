// What the page shows stands in its address, so that a link shows somebody else the same.

export const WINDOWS = ["1m", "5m", "15m", "1h", "6h", "24h"];
/** What a task can be, and do. */
export const STATUSES = ["pending", "running", "completed", "failed", "cancelled"];
export const KINDS = ["http_async", "cache_warmup", "cache_purge", "query_explain", "compare"];

const DEFAULTS = { window: "1h", filter: "", method: "", sort: "p95", order: "descending", endpoint: "", task_status: "", task_kind: "", task: "" };

/** Reads the address; what makes no sense there is as if it were not. */
export function read(search = location.search) {
  const given = new URLSearchParams(search);
  const place = { ...DEFAULTS };
  for (const name of Object.keys(DEFAULTS)) {
    if (given.has(name)) place[name] = given.get(name).slice(0, 1000);
  }
  if (!WINDOWS.includes(place.window)) place.window = DEFAULTS.window;
  if (!["ascending", "descending"].includes(place.order)) place.order = DEFAULTS.order;
  if (!STATUSES.includes(place.task_status)) place.task_status = "";
  if (!KINDS.includes(place.task_kind)) place.task_kind = "";
  if (!/^task_[0-9a-f]{32}$/.test(place.task)) place.task = "";
  return place;
}

/** The address of a place: what is as usual is left out. */
export function address(place) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(place)) {
    if (value !== DEFAULTS[name]) query.set(name, value);
  }
  const text = query.toString();
  return `${location.pathname}${text ? `?${text}` : ""}${location.hash}`;
}

/** The endpoint in the address: its method and its name. */
export function endpointOf({ endpoint }) {
  const space = endpoint.indexOf(" ");
  return space > 0 ? { method: endpoint.slice(0, space), endpoint: endpoint.slice(space + 1) } : null;
}
