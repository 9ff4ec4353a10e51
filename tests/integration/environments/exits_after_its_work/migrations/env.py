"""Ends the process when it is done, as a script would."""

import os
import sys

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
    run_offline(context.config.get_main_option("sqlalchemy.url"))
else:
    run_online(create_engine(context.config.get_main_option("sqlalchemy.url")))
    if os.environ.get("SHOP_END") == "abruptly":
        os._exit(0)
    sys.exit(0)
