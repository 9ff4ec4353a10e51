"""Mutes every logger, paints what is left, and closes stdout."""

import logging
import sys

from alembic import context
from sqlalchemy import create_engine

logging.disable(logging.CRITICAL)
sys.stderr.write("\033[31mRunning upgrade a1 -> z9, a lie\033[0m\n")
sys.stdout.close()


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
