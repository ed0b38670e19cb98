"""Flask and SQLAlchemy: a shop whose every endpoint that asks badly has a twin that does not."""

import os
from datetime import date

from flask import Flask, g, jsonify
from sqlalchemy import ForeignKey, create_engine, insert, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship, selectinload

from serving import serve


class Base(DeclarativeBase):
    pass


class Customer(Base):
    __tablename__ = "customers"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    email: Mapped[str]


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey("customers.id"))
    placed: Mapped[date]
    items: Mapped[list["Item"]] = relationship()


class Item(Base):
    __tablename__ = "order_items"
    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"))
    product: Mapped[str]
    cents: Mapped[int]


class Setting(Base):
    __tablename__ = "settings"
    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]


app = Flask(__name__)
engine = create_engine(os.environ["DATABASE_URL"].replace("postgresql:", "postgresql+psycopg:"))


@app.before_request
def begin():
    g.database = Session(engine)


@app.teardown_request
def end(_):
    g.database.close()


def shown(items):
    return [{"product": item.product, "cents": item.cents} for item in items]


def last_orders(*options):
    found = g.database.scalars(select(Order).options(*options).order_by(Order.placed.desc(), Order.id).limit(12))
    return jsonify([{"id": order.id, "items": shown(order.items)} for order in found])


@app.get("/orders")
def orders():
    return last_orders()


@app.get("/orders/joined")
def orders_joined():
    return last_orders(selectinload(Order.items))


@app.get("/orders/<int:order>/items")
def items(order):
    return jsonify(shown(g.database.scalars(select(Item).where(Item.order_id == order))))


@app.get("/customers/<int:customer>")
def customer(customer):
    return jsonify(g.database.get_one(Customer, customer).name)


def all_settings():
    return {setting.name: setting.value for setting in g.database.scalars(select(Setting))}


@app.get("/settings")
def settings():
    return jsonify({name: all_settings()[name] for name in ["theme", "currency", "language", "logo", "footer", "contact"]})


@app.get("/settings/once")
def settings_once():
    return jsonify(all_settings())


@app.get("/slow")
def slow():
    counted = text("SELECT count(*), pg_sleep(0.7)::text FROM settings WHERE name = 'theme'")
    return jsonify(g.database.execute(counted).scalar())


@app.get("/quick")
def quick():
    return jsonify(g.database.execute(text("SELECT count(*) FROM settings WHERE name = 'theme'")).scalar())


ROWS = [{"order_id": number + 1, "product": f"imported {number}", "cents": 100} for number in range(12)]


@app.post("/import")
def imported():
    for row in ROWS:
        g.database.add(Item(**row))
        g.database.flush()
    g.database.commit()
    return "", 204


@app.post("/import/batch")
def imported_at_once():
    g.database.execute(insert(Item), ROWS)
    g.database.commit()
    return "", 204


if __name__ == "__main__":
    serve(app)
