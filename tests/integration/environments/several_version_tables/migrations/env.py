"""One run for each tenant, each with a version table of its own."""

from alembic import context
from sqlalchemy import create_engine

with create_engine(context.config.get_main_option("sqlalchemy.url")).connect() as connection:
    for tenant in ("blue", "green"):
        context.configure(connection=connection, version_table=f"versions_{tenant}")
        with context.begin_transaction():
            context.run_migrations()
