// Lines over time, drawn as SVG. A chart is read by pointing at it, by moving through it with the arrow keys, or as the
// table below it.

import { h, patch } from "./dom.js";
import { clock, NONE } from "./format.js";

const HEIGHT = 150;
const MARGIN = { left: 58, right: 12, top: 14, bottom: 22 };
/** The last step has only begun: while it has lasted for less than this share of a step, it is not drawn. */
const BEGUN = 0.2;

/** Whole numbers of these make ticks that are easy to read. */
const DECIMAL = [1, 2, 5].flatMap((digit) => Array.from({ length: 16 }, (_, power) => digit * 10 ** (power - 4))).sort((a, b) => a - b);
const BINARY = Array.from({ length: 48 }, (_, power) => 2 ** power);
const TIMES = [5, 10, 15, 30, 60, 120, 300, 600, 900, 1200, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400];

/** The smallest step of `sizes` that makes at most `most` of them. */
function step(length, most, sizes) {
  return sizes.find((size) => length / size <= most) ?? sizes.at(-1);
}

/** The scale upwards: from 0, or below it where there is less, to a whole step above the most. */
function upwards(values, { top, least: floor = 0, binary }) {
  const most = Math.max(...values, floor);
  const least = Math.min(...values, 0);
  const size = step(Math.max(top ?? most - least, 1e-9), 4, binary ? BINARY : DECIMAL);
  const [from, to] = [Math.floor(least / size) * size, top ?? Math.max(Math.ceil(most / size) * size, size)];
  const ticks = [];
  for (let at = from; at <= to + size / 2; at += size) ticks.push(at);
  return { from, to, ticks };
}

/** Full minutes, hours and so on of the reader's clock. */
function timeTicks(from, to, most) {
  const size = step(to - from, most, TIMES);
  const shift = new Date(to * 1000).getTimezoneOffset() * 60;
  const ticks = [];
  for (let at = Math.ceil((from - shift) / size) * size + shift; at <= to; at += size) ticks.push(at);
  return { size, ticks };
}

/**
 * A chart in an element. Its data: `label`, `points` (each with `at_seconds`, `lasts_seconds` and whatever lines are
 * of), `lines` (`name`, `of` a point, `format`, `kind`), `markers`, `step_seconds`, the `top` of the scale if it is fixed or
 * else the `least` that it is, and whether it is `binary`.
 */
export class Chart {
  constructor(host) {
    this.host = host;
    this.chosen = null;
    this.open = false;
    this.width = 0;
    new ResizeObserver(() => {
      if (Math.abs(host.clientWidth - this.width) >= 1 && this.data) this.draw();
    }).observe(host);
  }

  update(data) {
    if (data === this.data) return;
    const at = this.chosen === null ? null : this.data.points[this.chosen]?.at_seconds;
    this.data = data;
    // What was pointed at moves on with its time.
    const found = data.points.findIndex((point) => point.at_seconds === at);
    this.chosen = found < 0 ? null : found;
    this.draw();
  }

  choose(index) {
    const last = this.data.points.length - 1;
    this.chosen = index === null || last < 0 ? null : Math.min(Math.max(index, 0), last);
    this.draw();
  }

  draw() {
    this.width = this.host.clientWidth || 320;
    const { points, lines, label } = this.data;
    const legend = lines.length > 1 ? h("ul", { class: "legend", "aria-hidden": "true" }, lines.map((line) => h("li", { class: line.kind }, line.name))) : null;
    patch(
      this.host,
      legend,
      points.length === 0 ? h("p", { class: "nothing" }, "Nothing was counted in this time.") : this.plot(),
      h("details", { class: "data", on: { toggle: (event) => this.toggle(event.target.open) } },
        h("summary", {}, `${label} as a table`),
        this.open ? this.table() : null),
    );
  }

  toggle(open) {
    if (open === this.open) return;
    this.open = open;
    this.draw();
  }

  scales() {
    const { points, lines, step_seconds } = this.data;
    const last = points.at(-1);
    const [from, to] = [points[0].at_seconds, Math.max(last.at_seconds + last.lasts_seconds, points[0].at_seconds + step_seconds)];
    const drawn = last.lasts_seconds < step_seconds * BEGUN && points.length > 1 ? points.slice(0, -1) : points;
    const values = drawn.flatMap((point) => lines.map((line) => line.of(point))).filter((value) => value !== null);
    const up = upwards(values, this.data);
    const [width, height] = [this.width - MARGIN.left - MARGIN.right, HEIGHT - MARGIN.top - MARGIN.bottom];
    const x = (seconds) => MARGIN.left + ((seconds - from) / (to - from)) * width;
    const y = (value) => MARGIN.top + height - ((value - up.from) / (up.to - up.from)) * height;
    return { from, to, drawn, up, x, y, middle: (point) => x(point.at_seconds + point.lasts_seconds / 2) };
  }

  plot() {
    const scales = this.scales();
    const point = this.chosen === null ? null : this.data.points[this.chosen];
    const keys = { ArrowLeft: -1, ArrowRight: 1 };
    const on = {
      pointermove: (event) => this.choose(this.nearest(event, scales)),
      pointerdown: (event) => this.choose(this.nearest(event, scales)),
      pointerleave: () => this.choose(null),
      blur: () => this.choose(null),
      keydown: (event) => {
        const { length } = this.data.points;
        if (event.key in keys) this.choose((this.chosen ?? length - (keys[event.key] > 0 ? 1 : 0)) + keys[event.key]);
        else if (event.key === "Home") this.choose(0);
        else if (event.key === "End") this.choose(length - 1);
        else if (event.key === "Escape") this.choose(null);
        else return;
        event.preventDefault();
      },
    };
    return h("div", { class: "plot" },
      h("div", { class: "surface", tabindex: "0", role: "group", "aria-label": `${this.data.label}: chart. Arrow keys read it step by step.`, on }, this.svg(scales, point)),
      point ? this.tip(scales, point) : null);
  }

  nearest(event, { x, from, to }) {
    const box = event.currentTarget.getBoundingClientRect();
    const seconds = from + ((event.clientX - box.left - x(from)) / (x(to) - x(from))) * (to - from);
    const { points } = this.data;
    const after = points.findIndex((point) => point.at_seconds + point.lasts_seconds > seconds);
    return after < 0 ? points.length - 1 : after;
  }

  svg(scales, chosen) {
    const { lines, markers } = this.data;
    const { up, x, y, from, to, middle, drawn } = scales;
    const [left, right, bottom] = [x(from), x(to), y(up.from)];
    const times = timeTicks(from, to, Math.max(2, Math.floor((right - left) / 60)));
    const clockOf = (at) => clock(at, times.size < 60 ? "second" : "minute");
    const shown = (markers ?? []).filter((marker) => marker.at_seconds >= from && marker.at_seconds <= to);
    return h("svg", { width: this.width, height: HEIGHT, viewBox: `0 0 ${this.width} ${HEIGHT}`, "aria-hidden": "true" },
      up.ticks.map((value) => h("g", { class: "tick" },
        h("line", { x1: left, x2: right, y1: y(value), y2: y(value) }),
        h("text", { x: left - 8, y: y(value) + 4, "text-anchor": "end" }, lines[0].format(value)))),
      times.ticks.map((at) => h("g", { class: "time" },
        h("line", { x1: x(at), x2: x(at), y1: bottom, y2: bottom + 4 }),
        x(at) > left + 14 && x(at) < right - 14 ? h("text", { x: x(at), y: bottom + 17, "text-anchor": "middle" }, clockOf(at)) : null)),
      shown.map((marker) => h("g", { class: `marker ${marker.kind}` },
        h("line", { x1: x(marker.at_seconds), x2: x(marker.at_seconds), y1: MARGIN.top, y2: bottom }),
        h("path", { d: `M${x(marker.at_seconds) - 5} ${MARGIN.top - 9}h10l-5 8z` }))),
      lines.map((line, index) => h("g", { class: `line ${line.kind}` }, runs(drawn, line.of).map((run) => drawRun(run, line, { middle, y, bottom, filled: index === 0 && lines.length === 1 })))),
      chosen ? h("g", { class: "chosen" },
        h("line", { x1: middle(chosen), x2: middle(chosen), y1: MARGIN.top, y2: bottom }),
        lines.filter((line) => line.of(chosen) !== null).map((line) => h("circle", { class: line.kind, cx: middle(chosen), cy: Math.min(bottom, Math.max(MARGIN.top, y(line.of(chosen)))), r: 4 }))) : null);
  }

  tip({ middle }, point) {
    const { lines, markers } = this.data;
    const end = point.at_seconds + point.lasts_seconds;
    const happened = (markers ?? []).filter((marker) => marker.at_seconds >= point.at_seconds && marker.at_seconds < end);
    const right = middle(point) > this.width / 2;
    const place = right ? { left: "auto", right: `${this.width - middle(point) + 10}px` } : { left: `${middle(point) + 10}px`, right: "auto" };
    return h("div", { class: "tip", role: "status", key: "tip", widget: Tip, data: { place, content: [
      h("strong", {}, stepName(point, this.data.step_seconds)),
      lines.map((line) => h("div", { class: line.kind }, `${line.name} `, h("b", {}, shownOf(line, point)))),
      happened.map((marker) => h("div", { class: "happened" }, `${markerName(marker)} at ${clock(marker.at_seconds, "second")}`)),
    ] } });
  }

  table() {
    const { points, lines, markers, label, step_seconds } = this.data;
    return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `${label}: table` },
      h("table", {},
        h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "From"), lines.map((line) => h("th", { scope: "col" }, line.name)))),
        h("tbody", {}, points.map((point) => h("tr", { key: point.at_seconds },
          h("th", { scope: "row" }, stepName(point, step_seconds)),
          lines.map((line) => h("td", {}, line.of(point) === null ? NONE : h("data", { value: line.of(point) }, line.format(line.of(point))))))))),
      markers?.length ? h("ul", {}, markers.map((marker) => h("li", {}, `${clock(marker.at_seconds, "day")}: ${markerName(marker)}`))) : null);
  }
}

class Tip {
  constructor(host) {
    this.host = host;
  }

  update({ place, content }) {
    Object.assign(this.host.style, place);
    patch(this.host, content);
  }
}

export function markerName({ kind, label }) {
  return label === "start" || label === kind ? label : `${kind}: ${label}`;
}

function stepName(point, step) {
  return clock(point.at_seconds, step < 60 ? "second" : "minute");
}

function shownOf(line, point) {
  const value = line.of(point);
  return value === null ? NONE : line.format(value);
}

/** Points in a row that have a value: a line ends where nothing is known. */
function runs(points, of) {
  const found = [];
  let last = null;
  for (const point of points) {
    if (of(point) === null) {
      last = null;
    } else if (last) {
      last.push(point);
    } else {
      found.push((last = [point]));
    }
  }
  return found;
}

function drawRun(run, line, { middle, y, bottom, filled }) {
  const at = (point) => `${middle(point).toFixed(1)} ${y(line.of(point)).toFixed(1)}`;
  if (run.length === 1) return h("circle", { cx: middle(run[0]), cy: y(line.of(run[0])), r: 2.5, class: "single" });
  const path = `M${run.map(at).join("L")}`;
  const area = `${path}L${middle(run.at(-1)).toFixed(1)} ${bottom}L${middle(run[0]).toFixed(1)} ${bottom}Z`;
  return [filled ? h("path", { class: "area", d: area }) : null, h("path", { class: "stroke", d: path })];
}

/** A chart without words, for a row of a table. */
export function sparkline(values, label) {
  const [width, height] = [96, 24];
  const most = Math.max(...values.filter((value) => value !== null), 0) || 1;
  const x = (index) => (values.length < 2 ? width / 2 : 2 + (index / (values.length - 1)) * (width - 4));
  const y = (value) => height - 3 - (value / most) * (height - 6);
  const points = values.map((value, index) => ({ value, index }));
  const middle = (point) => x(point.index);
  const drawn = runs(points, (point) => point.value).map((run) => drawRun(run, { of: (point) => point.value }, { middle, y, bottom: height, filled: false }));
  return h("svg", { class: "sparkline", width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label }, drawn);
}

/** How much of a whole: `parts` with their `share` from 0 to 1, their `kind` and `name`. */
export function bar(parts, label) {
  let from = 0;
  const drawn = parts.filter((part) => part.share > 0).map((part) => {
    const x = from;
    from += part.share * 100;
    return h("rect", { class: part.kind, x, y: 0, width: part.share * 100, height: 10 }, h("title", {}, part.name));
  });
  return h("svg", { class: "bar", viewBox: "0 0 100 10", preserveAspectRatio: "none", role: "img", "aria-label": label }, drawn);
}
