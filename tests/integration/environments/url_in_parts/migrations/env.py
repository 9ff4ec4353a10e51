"""The URL is put together from parts."""

import os

from alembic import context
from sqlalchemy import create_engine
from sqlalchemy.engine import URL

url = URL.create(
    os.environ["SHOP_DRIVER"],
    username=os.environ["SHOP_USER"],
    password=os.environ["SHOP_PASSWORD"],
    host=os.environ["SHOP_HOST"],
    port=int(os.environ["SHOP_PORT"]),
    database=os.environ["SHOP_NAME"],
)


def run_offline(url):
    context.configure(url=url, literal_binds=True, dialect_opts={"paramstyle": "named"})
    with context.begin_transaction():
        context.run_migrations()


def run_online(engine):
    with engine.connect() as connection:
        context.configure(connection=connection)
        with context.begin_transaction():
            context.run_migrations()


if context.is_offline_mode():
    run_offline(url)
else:
    run_online(create_engine(url))
