// Something by itself, over everything else.

import { h, patch } from "./dom.js";

/**
 * A dialog that is open for as long as it is described. `content` is given what closes it, and `closed` is called once it
 * is.
 */
export function dialog(key, titleId, content, closed) {
  return h("dialog", { class: "detail", key, "aria-labelledby": titleId, widget: Dialog, data: { content, closed } });
}

/** What its content begins with: the title, and the button that closes it. */
export function head(titleId, title, close) {
  return h("header", {},
    h("h2", { id: titleId }, title),
    h("button", { class: "close", "aria-label": "Close", on: { click: close } }, "✕"));
}

class Dialog {
  constructor(host) {
    this.host = host;
    host.addEventListener("close", () => this.closed?.());
    host.addEventListener("click", (event) => {
      // Beside the content is outside of it.
      if (event.target === host) host.close();
    });
  }

  update({ content, closed }) {
    this.closed = closed;
    patch(this.host, content(() => this.host.close()));
    // It is not on the page yet when it is filled first.
    queueMicrotask(() => {
      if (this.host.isConnected && !this.host.open) this.host.showModal();
    });
  }
}
