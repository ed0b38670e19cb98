// A small Express app: compressed JSON, a session, an event stream, uploads, and a WebSocket that echoes.

const { createHash } = require("node:crypto");
const { EventEmitter } = require("node:events");
const path = require("node:path");
const { Readable } = require("node:stream");
const compression = require("compression");
const express = require("express");
const { WebSocketServer } = require("ws");

const app = express();
app.disable("x-powered-by");
app.use(compression());

// For everybody, for a minute.
const shared = (request, response, next) => {
  response.set("Cache-Control", "public, max-age=60");
  next();
};

app.use(express.static(path.join(__dirname, "public"), { maxAge: "1m" }));

app.get("/prices.json", shared, (request, response) => {
  response.json(Array.from({ length: 200 }, (_, id) => ({ id, cents: 499 + 100 * id })));
});

app.get("/old", (request, response) => response.redirect("/number/last"));

app.get("/number/:number", (request, response) => response.type("text").send(request.params.number));

app.delete("/number/:number", (request, response) => response.sendStatus(204));

// Whose session it is; no Cache-Control, and no Vary: the app relies on nobody storing this.
const sessions = new Map();
app.post("/session", express.urlencoded(), (request, response) => {
  const id = String(sessions.size + 1);
  sessions.set(id, request.body.name);
  response.cookie("session", id, { httpOnly: true }).redirect(303, "/session");
});
app.get("/session", (request, response) => {
  const id = /(?:^|; )session=(\d+)/.exec(request.get("cookie") ?? "")?.[1];
  response.set("Cache-Control", "max-age=60").json({ name: sessions.get(id) ?? null });
});

app.post("/form", express.urlencoded(), (request, response) => response.json(request.body));

// Says what came, without keeping it.
app.post("/upload", async (request, response) => {
  const hash = createHash("sha256");
  let bytes = 0;
  for await (const piece of request) {
    hash.update(piece);
    bytes += piece.length;
  }
  response.json({ bytes, sha256: hash.digest("hex") });
});

// In pieces whose number nobody knows in advance.
app.get("/stream", (request, response) => {
  const pieces = Array.from({ length: 64 }, (_, piece) => Buffer.alloc(4099, piece));
  Readable.from(pieces).pipe(response.type("application/octet-stream"));
});

// An event for each POST to /tell/:topic, and one at once that says the stream is open.
const told = new EventEmitter();
app.get("/events/:topic", (request, response) => {
  const event = (data) => {
    response.write(`data: ${data}\n\n`);
    response.flush();
  };
  response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-cache" });
  event("open");
  told.on(request.params.topic, event);
  response.on("close", () => told.off(request.params.topic, event));
});
app.post("/tell/:topic", express.text(), (request, response) => {
  told.emit(request.params.topic, request.body);
  response.sendStatus(202);
});

const server = app.listen(0, "127.0.0.1", () => console.log(`listening on 127.0.0.1:${server.address().port}`));

new WebSocketServer({ server, path: "/echo" }).on("connection", (socket) => {
  socket.on("message", (data, isBinary) => {
    if (!isBinary && data.toString() === "leave") socket.close(4001, "as you say");
    else socket.send(data, { binary: isBinary });
  });
});
