"""The URL comes from the project's own settings, in a package called dbmigration."""

import child
import errors
import events
import step
from alembic import context
from sqlalchemy import create_engine

from dbmigration.settings import Settings

assert {module.WHOSE for module in (child, errors, events, step)} == {"the application's"}


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
    run_offline(Settings.url)
else:
    run_online(create_engine(Settings.url))
