// What should be done, as cards: why, what exactly, and what it is worth.

import { h } from "./dom.js";
import { bytes, count, duration, endpointName, lasting, number, plural } from "./format.js";
import { anchor } from "./overview.js";

const SIGNS = { critical: "✕", warning: "!", info: "i" };

/** All of them, and what is muted. */
export function findings(model, actions) {
  const { insights } = model.dashboard;
  const { looked_at: at } = insights;
  return h("section", { id: "findings", "aria-labelledby": "findings-title" },
    h("h2", { id: "findings-title" }, "Findings", h("span", { class: "count" }, count(insights.findings.length))),
    insights.findings.length === 0
      ? h("p", { class: "empty" }, at.requests === 0
        ? "No request has come in the last hour. Findings come with the traffic."
        : `There is nothing to advise, by ${plural(at.requests, "request")} of the last ${lasting(at.lasts_seconds)}.`)
      : h("div", { class: "cards" }, insights.findings.map((finding) => card(finding, model, actions))),
    muted(insights, model, actions));
}

/** One of them. */
export function card(finding, model, { copy, mute, show, goTo }) {
  const { id, severity, confidence, title, because, worth, evidence, endpoint } = finding;
  return h("article", { class: `finding ${severity}`, key: id, id: anchor(id), tabindex: "-1", "aria-label": title },
    h("header", {},
      h("span", { class: `sign ${severity}` }, h("span", { "aria-hidden": "true" }, SIGNS[severity]), h("span", { class: "said" }, severity)),
      h("h3", {}, title)),
    h("p", {}, h("b", {}, "Because "), because),
    h("div", { class: "do" }, h("b", {}, "Do "), remedy(finding, model, copy)),
    gains(worth),
    h("footer", {},
      endpoint ? h("button", { class: "link", on: { click: () => show(endpointName(endpoint)) } }, "Show the endpoint") : null,
      h("details", { class: "evidence" }, h("summary", {}, `Evidence (${confidence})`),
        h("dl", {}, Object.entries(evidence).map(([name, value]) => h("div", { key: name }, h("dt", {}, name.replaceAll("_", " ")), h("dd", {}, typeof value === "number" ? number(value) : String(value)))))),
      h("button", { class: "link", on: { click: () => mute(id, true) }, "aria-label": `Mute: ${title}` }, "Mute")));
}

function remedy({ id, do: { config, sentence } }, { copied }, copy) {
  if (sentence !== undefined) return sentence;
  return h("div", { class: "snippet" },
    h("p", {}, "Paste into ", h("code", {}, "proxy.toml"), "; it is taken up at once:"),
    h("pre", { tabindex: "0", role: "group", "aria-label": "Lines for proxy.toml" }, config),
    h("button", { on: { click: () => copy(id, config) } }, copied === id ? "Copied" : "Copy"));
}

function gains(worth) {
  const said = [
    [worth.upstream_requests_per_minute, (value) => `${number(value)} requests a minute less for the app`],
    [worth.upstream_seconds_per_minute, (value) => `${lasting(value)} of its time a minute`],
    [worth.bytes_per_minute, (value) => `${bytes(value)} a minute less to send`],
    [worth.milliseconds_per_request, (value) => `${duration(value)} sooner for each request`],
  ].filter(([value]) => value !== null);
  return said.length === 0 ? null : h("ul", { class: "worth", "aria-label": "Worth" }, said.map(([value, text]) => h("li", {}, text(value))));
}

function muted({ muted, muted_findings: list }, { mutedConfig, copied }, { mute, copy }) {
  if (muted === 0) return null;
  return h("details", { class: "muted" },
    h("summary", {}, `${count(muted)} muted`),
    h("ul", {}, list.map(({ id, title, severity, by }) => h("li", { key: id },
      h("span", { class: `sign ${severity}`, "aria-label": severity }, SIGNS[severity]), ` ${title} `,
      by === "config"
        ? h("span", { class: "hint" }, "muted by advice.mute in proxy.toml")
        : h("button", { class: "link", on: { click: () => mute(id, false) }, "aria-label": `Unmute: ${title}` }, "Unmute")))),
    mutedConfig
      ? h("div", { class: "snippet" },
        h("p", {}, "Muted here, they come back when Pacecar is started again. With these lines in ", h("code", {}, "proxy.toml"), " they do not:"),
        h("pre", { tabindex: "0", role: "group", "aria-label": "Lines for proxy.toml" }, mutedConfig),
        h("button", { on: { click: () => copy("muted", mutedConfig) } }, copied === "muted" ? "Copied" : "Copy"))
      : null);
}
