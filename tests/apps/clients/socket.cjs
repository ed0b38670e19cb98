// A WebSocket that a test speaks through, one JSON object a line: it says {text}, {binary} (hexadecimal), {ping} or
// {close, reason}, and hears {open} (the subprotocol), {text}, {binary}, {pong}, {close, reason} or {error}.

const { createInterface } = require("node:readline");
const { WebSocket } = require("ws");

const [url, protocol] = process.argv.slice(2);
const socket = new WebSocket(url, protocol ? [protocol] : [], { maxPayload: 16 << 20 });
const tell = (heard) => process.stdout.write(JSON.stringify(heard) + "\n");

socket.on("open", () => tell({ open: socket.protocol }));
socket.on("message", (data, isBinary) =>
  tell(isBinary ? { binary: data.toString("hex") } : { text: data.toString() }));
socket.on("pong", (data) => tell({ pong: data.toString() }));
socket.on("error", ({ message }) => tell({ error: message }));
socket.on("close", (code, reason) => {
  tell({ close: code, reason: reason.toString() });
  process.stdin.destroy();
});

createInterface({ input: process.stdin }).on("line", (line) => {
  const { text, binary, ping, close, reason } = JSON.parse(line);
  if (text !== undefined) socket.send(text);
  if (binary !== undefined) socket.send(Buffer.from(binary, "hex"));
  if (ping !== undefined) socket.ping(ping);
  if (close !== undefined) socket.close(close, reason);
});
