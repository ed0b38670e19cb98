// Serves what Vite has built as plain static servers do: with no word about keeping it, and with the page in place of
// what is not there. Arguments: the folder, and "tags" for an entity tag with each file.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";

const [folder, tags] = process.argv.slice(2);
const TYPES = { ".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css" };

const read = (path) => {
  try {
    return { type: TYPES[extname(path)], body: readFileSync(join(folder, normalize(path))) };
  } catch {
    return null;
  }
};

const http = createServer((request, response) => {
  // A folder cannot be read either, and is the page.
  const file = read(new URL(request.url, "http://localhost").pathname) ?? read("/index.html");
  if (!file) return response.writeHead(404).end();
  const { type, body } = file;
  response.setHeader("Content-Type", type ?? "application/octet-stream");
  if (tags === "tags") {
    const tag = `"${createHash("sha256").update(body).digest("hex").slice(0, 16)}"`;
    response.setHeader("ETag", tag);
    // Compared weakly, RFC 9110 §13.1.2.
    const had = request.headers["if-none-match"]?.split(",").map((had) => had.trim().replace(/^W\//, ""));
    if (had?.includes(tag)) return response.writeHead(304).end();
  }
  response.end(body);
});
http.listen(0, "127.0.0.1", () => console.log(`listening on 127.0.0.1:${http.address().port}`));
