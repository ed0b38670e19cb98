// Figures as people read them. What is not known is a dash.

export const NONE = "–";

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

/** Three digits that say something, and all of them before the point. */
export function number(value) {
  if (value === null || value === undefined) return NONE;
  const size = Math.abs(value);
  if (size >= 100 || Number.isInteger(value)) return whole.format(value);
  return trimmed(value, size >= 10 ? 1 : size >= 1 ? 2 : 3);
}

function trimmed(value, digits) {
  const text = value.toFixed(digits);
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}

export function count(value) {
  return value === null || value === undefined ? NONE : whole.format(value);
}

export function plural(value, one, many = `${one}s`) {
  return `${count(value)} ${value === 1 ? one : many}`;
}

export function percent(value) {
  return value === null || value === undefined ? NONE : `${trimmed(value, Math.abs(value) >= 99.95 ? 0 : 1)} %`;
}

export function perSecond(value) {
  return value === null || value === undefined ? NONE : `${number(value)}/s`;
}

/** Of milliseconds. */
export function duration(ms) {
  if (ms === null || ms === undefined) return NONE;
  const size = Math.abs(ms);
  if (size < 1) return `${trimmed(ms, size < 0.1 ? 3 : 2)} ms`;
  if (size < 1000) return `${number(ms)} ms`;
  if (size < 60_000) return `${trimmed(ms / 1000, size < 10_000 ? 2 : 1)} s`;
  return lasting(ms / 1000);
}

/** Of seconds: the two largest units. */
export function lasting(seconds) {
  if (seconds === null || seconds === undefined) return NONE;
  const units = [["d", 86_400], ["h", 3600], ["min", 60], ["s", 1]];
  const at = units.findIndex(([, size]) => Math.abs(seconds) >= size);
  if (seconds === 0) return "0 s";
  if (at < 0) return duration(seconds * 1000);
  if (at === 3) return `${trimmed(seconds, seconds < 10 ? 1 : 0)} s`;
  const [[large, size], [small, smaller]] = units.slice(at, at + 2);
  const rest = Math.floor((seconds % size) / smaller);
  return `${Math.trunc(seconds / size)} ${large}${rest ? ` ${rest} ${small}` : ""}`;
}

export function bytes(value) {
  if (value === null || value === undefined) return NONE;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let [size, unit] = [value, 0];
  while (Math.abs(size) >= 1023.5 && unit < units.length - 1) [size, unit] = [size / 1024, unit + 1];
  return `${number(unit === 0 ? Math.round(size) : size)} ${units[unit]}`;
}

export function bytesPerSecond(value) {
  return value === null || value === undefined ? NONE : `${bytes(value)}/s`;
}

const clocks = {
  minute: new Intl.DateTimeFormat("en", { hour: "2-digit", minute: "2-digit", hourCycle: "h23" }),
  second: new Intl.DateTimeFormat("en", { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" }),
  moment: new Intl.DateTimeFormat("en", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" }),
  day: new Intl.DateTimeFormat("en", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23" }),
};

/** Of seconds since 1970, on the reader's clock: to the `minute` or `second`, or with the `day`; `moment` is both. */
export function clock(seconds, to = "minute") {
  return clocks[to].format(new Date(seconds * 1000));
}

/** An endpoint as people say it. */
export function endpointName({ method, endpoint }) {
  return `${method} ${endpoint}`;
}
