// Vite's dev server on a port that the system chooses.

import { createServer as createHttpServer } from "node:http";
import { createServer } from "vite";

const http = createHttpServer();
const vite = await createServer({ server: { middlewareMode: true, hmr: { server: http } } });
// An edit before the files are watched would go unseen, and the watcher says "ready" before it has looked at them.
const watched = () => Object.values(vite.watcher.getWatched()).flat().includes("greeting.js");
while (!watched()) await new Promise(setImmediate);
http.on("request", vite.middlewares);
http.listen(0, "127.0.0.1", () => console.log(`listening on 127.0.0.1:${http.address().port}`));
