// What coding bodies saved, what it cost, and what was sent as it is.

import { h } from "./dom.js";
import { bytes, count, lasting, percent, plural } from "./format.js";

/** Reasons for which a body is sent as it is, in words. */
const SKIPS = {
  off: "coding is switched off",
  route: "its route says so",
  status: "its status has no such body",
  coded: "the app had coded it",
  "no-transform": "the app forbids it",
  "content-range": "a part of a body",
  type: "its type gains nothing",
  "too-small": "too small to gain",
  private: "secrets could be guessed",
  http10: "the client speaks HTTP/1.0",
  range: "a part was asked for",
  "not-accepted": "the client takes none",
  unacceptable: "the client takes nothing that there is",
  "not-smaller": "it came out no smaller",
  "no-room": "no memory for it",
  busy: "all encoders were busy",
  failed: "the encoder failed",
};

export function compression({ dashboard: { compression: all } }) {
  const used = ([, of]) => of.responses > 0;
  const codings = Object.entries(all.by_coding).filter(used);
  const types = Object.entries(all.by_type).filter(used);
  const skipped = Object.entries(all.responses_skipped).filter(([, times]) => times > 0).sort((a, b) => b[1] - a[1]);
  return h("section", { id: "compression", "aria-labelledby": "compression-title" },
    h("h2", { id: "compression-title" }, "Compression"),
    h("p", { class: "hint" }, "Since the start."),
    h("div", { class: "columns" },
      h("div", { class: "panel" },
        h("h3", {}, "Saved"),
        h("p", { class: "figure" }, h("data", { value: all.bytes_saved, "data-figure": "coding-saved" }, bytes(all.bytes_saved))),
        h("p", { class: "facts" }, all.responses_compressed === 0
          ? "No body was coded yet."
          : `${plural(all.responses_compressed, "answer")} sent with ${percent(all.average_ratio_percent)} of their bytes, for ${lasting(all.cpu_seconds)} of CPU time.`),
        codings.length > 0 ? sizes("By coding", "Coding", codings) : null),
      types.length > 0 ? h("div", { class: "panel" }, sizes("By type", "Type", types)) : null,
      h("div", { class: "panel" },
        h("h3", {}, "Sent as they are"),
        skipped.length === 0 ? h("p", { class: "empty" }, "None.") : reasons(skipped, SKIPS))));
}

function sizes(title, heading, rows) {
  return [
    h("h3", {}, title),
    h("table", {},
      h("thead", {}, h("tr", {}, [heading, "Answers", "Before", "After", "Ratio"].map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, rows.map(([name, of]) => h("tr", { key: name },
        h("th", { scope: "row" }, name), h("td", {}, count(of.responses)), h("td", {}, bytes(of.input_bytes)), h("td", {}, bytes(of.output_bytes)), h("td", {}, percent(of.average_ratio_percent)))))),
  ];
}

/** Words with how often they were, the most frequent first, as bars. */
export function reasons(counts, words) {
  const most = Math.max(...counts.map(([, times]) => times), 1);
  return h("table", { class: "reasons" }, h("tbody", {}, counts.map(([reason, times]) => h("tr", { key: reason },
    h("th", { scope: "row" }, h("code", {}, reason), words[reason] ? h("small", {}, words[reason]) : null),
    h("td", {}, h("progress", { max: most, value: times, "aria-label": `${reason}: ${count(times)}` })),
    h("td", {}, count(times))))));
}
