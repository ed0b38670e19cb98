// Fetches JSON, follows an event stream and talks over a WebSocket; what came of it stands in the page.

const show = (id, text) => (document.getElementById(id).textContent += text);

const prices = await (await fetch("/prices.json")).json();
show("prices", `${prices.length} prices`);

// The second event is asked for once the first has come, so that a stream held back somewhere is never complete.
const topic = crypto.getRandomValues(new Uint32Array(1))[0];
const events = new EventSource(`/events/${topic}`);
events.onmessage = async ({ data }) => {
  show("events", `[${data}]`);
  if (data === "open") await fetch(`/tell/${topic}`, { method: "POST", body: "asked for" });
};

const socket = new WebSocket(`${location.origin.replace("http", "ws")}/echo`);
socket.onopen = () => socket.send("hello");
socket.onmessage = ({ data }) => {
  show("socket", `[${data}]`);
  socket.send("leave");
};
socket.onclose = ({ code, reason }) => show("socket", `[${code} ${reason}]`);
