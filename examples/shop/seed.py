"""Fills the shop with rows, inside the server: `python seed.py [--customers N]`, at any release.

Every customer gets five orders and every order three lines, so 20 000 customers make 400 000 more rows. It may be run
again: it goes on behind the customers that are there.
"""

from __future__ import annotations

import argparse
import os
import time

import sqlalchemy as sa

ORDERS_OF_A_CUSTOMER = 5
LINES_OF_AN_ORDER = 3
CUSTOMERS = {"postgresql": 20_000, "sqlite": 500}

customers = sa.table("customers", *map(sa.column, ("id", "email", "name", "phone")))
orders = sa.table("orders", *map(sa.column, ("id", "customer_id", "status", "total_cents")))
lines = sa.table("order_lines", *map(sa.column, ("id", "order_id", "sku", "quantity", "unit_cents")))


def numbers(first: int, last: int) -> sa.CTE:
    """Count from `first` to `last`, in the server."""
    start = sa.select(sa.literal(first, sa.Integer).label("n")).cte("numbers", recursive=True)
    return start.union_all(sa.select(start.c.n + 1).where(start.c.n < last))


def seed(connection: sa.Connection, count: int) -> int:
    """Add `count` customers with their orders and lines; returns the number of rows written."""
    first = connection.scalar(sa.select(sa.func.coalesce(sa.func.max(customers.c.id), 0))) + 1
    after = connection.scalar(sa.select(sa.func.coalesce(sa.func.max(orders.c.id), 0)))
    new = numbers(first, first + count - 1)
    number = sa.cast(new.c.n, sa.String)
    connection.execute(
        sa.insert(customers).from_select(
            ["email", "name", "phone"],
            sa.select(
                sa.literal("customer-") + number + "@shop.example",
                sa.literal("Customer ") + number,
                sa.case((new.c.n % 10 == 0, None), else_=sa.literal("+1 555 ") + number),
            ),
        )
    )
    each = numbers(1, ORDERS_OF_A_CUSTOMER)
    connection.execute(
        sa.insert(orders).from_select(
            ["customer_id", "status", "total_cents"],
            sa.select(
                customers.c.id,
                sa.case((each.c.n == 1, "open"), else_="delivered"),
                (customers.c.id * 7919 + each.c.n * 104_729) % 50_000,
            )
            .join_from(customers, each, sa.true())
            .where(customers.c.id >= first),
        )
    )
    each = numbers(1, LINES_OF_AN_ORDER)
    connection.execute(
        sa.insert(lines).from_select(
            ["order_id", "sku", "quantity", "unit_cents"],
            sa.select(
                orders.c.id,
                sa.literal("sku-") + sa.cast((orders.c.id * 31 + each.c.n) % 1000, sa.String),
                each.c.n,
                orders.c.total_cents / LINES_OF_AN_ORDER,
            )
            .join_from(orders, each, sa.true())
            .where(orders.c.id > after),
        )
    )
    return count * (1 + ORDERS_OF_A_CUSTOMER * (1 + LINES_OF_AN_ORDER))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default=os.environ.get("DATABASE_URL", "sqlite:///shop.db"), help="SQLAlchemy URL")
    parser.add_argument("--customers", type=int, help="how many; by default what its database does in seconds")
    arguments = parser.parse_args()
    engine = sa.create_engine(arguments.url)
    began = time.monotonic()
    with engine.begin() as connection:
        written = seed(connection, arguments.customers or CUSTOMERS.get(engine.dialect.name, 500))
    print(f"{written} rows in {time.monotonic() - began:.1f} s")  # noqa: T201


if __name__ == "__main__":
    main()
