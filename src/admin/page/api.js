// What is asked of the admin port, and how it answers. The token stays in this tab, and goes nowhere else: a cookie would
// be sent to every port of the host, to the app as well.

const KEPT = "pacecar-token";

/** The admin port said no, or nothing at all (`status` is 0 then). */
export class Refused extends Error {
  constructor(status, detail, retryAfter = null) {
    super(detail);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

export function hasToken() {
  return sessionStorage.getItem(KEPT) !== null;
}

export function keepToken(token) {
  sessionStorage.setItem(KEPT, token);
}

export function dropToken() {
  sessionStorage.removeItem(KEPT);
}

async function answer(path, { method = "GET", body, signal, accept = "application/json" } = {}) {
  // The second field tells a script apart from a person at the address bar, whom the browser asks for the token.
  const headers = { Accept: accept, "X-Requested-With": "fetch" };
  const token = sessionStorage.getItem(KEPT);
  if (token !== null) headers.Authorization = `Bearer ${token}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const request = { method, headers, signal, cache: "no-store", body: body === undefined ? undefined : JSON.stringify(body) };
  let answered;
  try {
    answered = await fetch(path, request);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, "Pacecar does not answer");
  }
  if (answered.ok) return answered;
  const problem = await answered.json().catch(() => ({}));
  const after = Number.parseInt(answered.headers.get("Retry-After") ?? "", 10);
  throw new Refused(answered.status, problem.detail ?? problem.title ?? `status ${answered.status}`, after || null);
}

/** Asks for JSON; `parameters` that are `null` are left out, and a list is repeated. */
export async function ask(path, parameters = {}, options = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    for (const one of [value].flat()) {
      if (one !== null && one !== undefined) query.append(name, one);
    }
  }
  const text = query.toString();
  const answered = await answer(text ? `${path}?${text}` : path, options);
  try {
    return await answered.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, "the answer broke off");
  }
}

export function send(path, body) {
  return ask(path, {}, { method: "POST", body });
}

export function remove(path) {
  return ask(path, {}, { method: "DELETE" });
}

/** Server-sent events, each of them the JSON that it carries, until the other side ends them. */
export async function* events(path, signal) {
  const answered = await answer(path, { signal, accept: "text/event-stream" });
  let text = "";
  for await (const part of parts(answered.body.pipeThrough(new TextDecoderStream()))) {
    text += part;
    for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
      const lines = text.slice(0, end).split("\n");
      text = text.slice(end + 2);
      const data = lines.filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trimStart());
      if (data.length > 0) yield JSON.parse(data.join("\n"));
    }
  }
}

/** Not every browser lets a stream be gone through by itself. */
async function* parts(stream) {
  const reader = stream.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, "the connection broke off");
  } finally {
    reader.cancel().catch(() => {});
  }
}
