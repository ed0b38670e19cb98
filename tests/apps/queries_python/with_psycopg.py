"""Flask and psycopg: a shop whose every endpoint that asks badly has a twin that does not."""

import os

import psycopg
from flask import Flask, g, jsonify
from psycopg.rows import dict_row

from serving import serve

app = Flask(__name__)
ITEMS = "SELECT id, product, cents FROM order_items WHERE order_id = %s"
ONE_ITEM = "INSERT INTO order_items (order_id, product, cents) VALUES (%s, %s, %s)"


@app.before_request
def connect():
    g.database = psycopg.connect(os.environ["DATABASE_URL"], row_factory=dict_row)


@app.teardown_request
def disconnect(_):
    g.database.close()


def ask(sql, *values):
    return g.database.execute(sql, values).fetchall()


@app.get("/orders")
def orders():
    found = ask("SELECT id, placed FROM orders ORDER BY placed DESC, id LIMIT 12")
    return jsonify([{**order, "items": ask(ITEMS, order["id"])} for order in found])


@app.get("/orders/joined")
def orders_joined():
    return jsonify(
        ask(
            "SELECT o.id, o.placed, i.product, i.cents FROM order_items i JOIN ("
            "SELECT id, placed FROM orders ORDER BY placed DESC, id LIMIT 12) o ON i.order_id = o.id"
        )
    )


@app.get("/orders/<int:order>/items")
def items(order):
    return jsonify(ask(ITEMS, order))


@app.get("/customers/<int:customer>")
def customer(customer):
    return jsonify(ask("SELECT name, email FROM customers WHERE id = %s", customer))


def setting(name):
    return {row["name"]: row["value"] for row in ask("SELECT name, value FROM settings")}[name]


@app.get("/settings")
def settings():
    return jsonify({name: setting(name) for name in ["theme", "currency", "language", "logo", "footer", "contact"]})


@app.get("/settings/once")
def settings_once():
    return jsonify({row["name"]: row["value"] for row in ask("SELECT name, value FROM settings")})


@app.get("/slow")
def slow():
    return jsonify(ask("SELECT count(*), pg_sleep(0.7)::text FROM settings WHERE name = 'theme'"))


@app.get("/quick")
def quick():
    return jsonify(ask("SELECT count(*) FROM settings WHERE name = 'theme'"))


@app.post("/import")
def imported():
    with g.database.transaction():
        for number in range(12):
            g.database.execute(ONE_ITEM, (number + 1, f"imported {number}", 100))
    return "", 204


@app.post("/import/batch")
def imported_at_once():
    with g.database.transaction(), g.database.cursor() as cursor:
        cursor.executemany(ONE_ITEM, [(number + 1, f"imported {number}", 100) for number in range(12)])
    return "", 204


if __name__ == "__main__":
    serve(app)
