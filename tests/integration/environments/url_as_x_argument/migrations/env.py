"""The URL is an argument: alembic -x database=URL."""

from alembic import context
from sqlalchemy import create_engine

arguments = context.get_x_argument(as_dictionary=True)
assert arguments["tenant"] == "blue"


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
    run_offline(arguments["database"])
else:
    run_online(create_engine(arguments["database"]))
