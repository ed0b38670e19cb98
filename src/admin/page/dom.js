// What is on the page is described anew with every figure that comes, and only what differs is changed: so focus,
// selection and scrolling stay where they are. Text becomes text nodes and attributes, never markup.

const SVG = "http://www.w3.org/2000/svg";
/** What is set as a property: as an attribute it would only be the beginning. */
const PROPERTIES = new Set(["value", "checked", "disabled", "open", "hidden", "selected", "readOnly"]);

/**
 * Describes an element. Attributes that are `null` or `false` are left out; `on` holds listeners by their events, `key`
 * tells children apart that change places, and `widget` with `data` is a class that draws the inside itself.
 */
export function h(tag, attributes, ...children) {
  return { tag, attributes: attributes ?? {}, children: flat(children) };
}

function flat(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
}

/** A control with its label; the control has this id. */
export function field(id, label, control) {
  return h("div", { class: "field" }, h("label", { for: id }, label), control);
}

/** Makes these the children of `host`. */
export function patch(host, ...children) {
  patchChildren(host, flat(children));
}

function patchChildren(host, children) {
  const known = new Map();
  for (const node of host.childNodes) {
    if (node.pacecar?.key !== undefined) known.set(node.pacecar.key, node);
  }
  const wanted = new Set(children.map((child) => child.attributes?.key));
  const isWanted = (node) => node.pacecar?.key !== undefined && wanted.has(node.pacecar.key);
  let at = host.firstChild;
  for (const child of children) {
    const own = known.get(child.attributes?.key);
    // What is moved loses its focus, and a dialog its place over everything: what stands before it rather goes.
    while (own && at !== own && at && !isWanted(at)) at = drop(at);
    let node = own ?? at;
    if (!node || !isFor(node, child)) {
      node = create(child, host);
      host.insertBefore(node, at);
    } else if (node !== at) {
      host.insertBefore(node, at);
    } else {
      at = at.nextSibling;
    }
    fill(node, child);
  }
  while (at) at = drop(at);
}

function drop(node) {
  const next = node.nextSibling;
  node.remove();
  return next;
}

function isFor(node, child) {
  if (typeof child !== "object") return node.nodeType === Node.TEXT_NODE;
  return node.pacecar?.tag === child.tag && node.pacecar.key === child.attributes.key;
}

function create(child, host) {
  if (typeof child !== "object") return document.createTextNode("");
  const inSvg = child.tag === "svg" || (host.namespaceURI === SVG && host.tagName !== "foreignObject");
  const node = inSvg ? document.createElementNS(SVG, child.tag) : document.createElement(child.tag);
  node.pacecar = { tag: child.tag, key: child.attributes.key, attributes: {}, on: {}, widget: null };
  return node;
}

function fill(node, child) {
  if (typeof child !== "object") {
    const text = String(child);
    if (node.data !== text) node.data = text;
    return;
  }
  const { attributes } = child;
  const before = node.pacecar.attributes;
  for (const name of Object.keys(before)) {
    if (!(name in attributes)) change(node, name, null);
  }
  for (const [name, value] of Object.entries(attributes)) {
    if (before[name] !== value) change(node, name, value);
  }
  node.pacecar.attributes = attributes;
  if (attributes.widget) {
    node.pacecar.widget ??= new attributes.widget(node);
    node.pacecar.widget.update(attributes.data);
  } else {
    patchChildren(node, child.children);
  }
}

function change(node, name, value) {
  if (["key", "widget", "data"].includes(name)) return;
  if (name === "on") return listen(node, value ?? {});
  if (PROPERTIES.has(name)) {
    node[name] = value ?? false;
  } else if (value === null || value === undefined || value === false) {
    node.removeAttribute(name);
  } else {
    node.setAttribute(name, value === true ? "" : String(value));
  }
}

/** One listener for each event stays, and calls what is described now. */
function listen(node, on) {
  for (const event of Object.keys(on)) {
    if (!(event in node.pacecar.on)) node.addEventListener(event, (happened) => node.pacecar.on[event]?.(happened));
  }
  node.pacecar.on = { ...Object.fromEntries(Object.keys(node.pacecar.on).map((event) => [event, null])), ...on };
}
