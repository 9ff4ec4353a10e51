"""The URL comes from an environment variable of the project's own name."""

import os

from alembic import context
from sqlalchemy import create_engine


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
    run_offline(os.environ["SHOP_DATABASE_URL"])
else:
    run_online(create_engine(os.environ["SHOP_DATABASE_URL"]))
