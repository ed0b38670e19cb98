// Node.js and pg: a shop whose every endpoint that asks badly has a twin that does not.

const http = require("node:http");
const { Pool } = require("pg");

const database = new Pool({ connectionString: process.env.DATABASE_URL });
const ask = async (sql, values) => (await database.query(sql, values)).rows;

const ORDERS = "SELECT id, placed FROM orders ORDER BY placed DESC, id LIMIT 12";
const ITEMS = "SELECT id, product, cents FROM order_items WHERE order_id = $1";
const NEW_ITEM = "INSERT INTO order_items (order_id, product, cents) VALUES";
const rows = Array.from({ length: 12 }, (_, number) => [number + 1, `imported ${number}`, 100]);

const settings = async () => Object.fromEntries((await ask("SELECT name, value FROM settings")).map(({ name, value }) => [name, value]));

const routes = {
  "GET /orders": async () => {
    const orders = await ask(ORDERS);
    for (const order of orders) order.items = await ask(ITEMS, [order.id]);
    return orders;
  },
  // All at once is as many queries.
  "GET /orders/parallel": async () => {
    const orders = await ask(ORDERS);
    return Promise.all(orders.map(async (order) => ({ ...order, items: await ask(ITEMS, [order.id]) })));
  },
  "GET /orders/joined": async () => {
    const orders = await ask(ORDERS);
    return ask("SELECT order_id, product, cents FROM order_items WHERE order_id = ANY($1)", [orders.map(({ id }) => id)]);
  },
  "GET /orders/:id/items": async (id) => ask(ITEMS, [id]),
  "GET /customers/:id": async (id) => ask("SELECT name, email FROM customers WHERE id = $1", [id]),
  "GET /settings": async () => {
    const shown = {};
    for (const name of ["theme", "currency", "language", "logo", "footer", "contact"]) shown[name] = (await settings())[name];
    return shown;
  },
  "GET /settings/once": settings,
  "GET /slow": async () => ask("SELECT count(*), pg_sleep(0.7)::text FROM settings WHERE name = 'theme'"),
  "GET /quick": async () => ask("SELECT count(*) FROM settings WHERE name = 'theme'"),
  "POST /import": async () => {
    for (const row of rows) await ask(`${NEW_ITEM} ($1, $2, $3)`, row);
  },
  "POST /import/batch": async () => {
    const places = rows.map((_, at) => `($${3 * at + 1}, $${3 * at + 2}, $${3 * at + 3})`);
    await ask(`${NEW_ITEM} ${places.join(", ")}`, rows.flat());
  },
};

const server = http.createServer(async (request, response) => {
  const path = request.url.split("?")[0];
  const id = /\/(\d+)/.exec(path)?.[1];
  const answer = routes[`${request.method} ${path.replace(/\/\d+/, "/:id")}`];
  if (!answer) {
    response.writeHead(404).end();
    return;
  }
  try {
    const body = JSON.stringify((await answer(id)) ?? null);
    response.writeHead(200, { "Content-Type": "application/json" }).end(body);
  } catch (error) {
    console.error(error);
    response.writeHead(500).end();
  }
});
process.on("SIGTERM", () => process.exit());
server.listen(0, "127.0.0.1", () => console.log(`listening on 127.0.0.1:${server.address().port}`));
