"""How Alembic reaches the shop's database: by DATABASE_URL, or by the ini file where that is not set."""

from __future__ import annotations

import os
from logging.config import fileConfig

from alembic import context
from shop.models import Base
from sqlalchemy import create_engine, pool

config = context.config
if config.config_file_name is not None:
    fileConfig(config.config_file_name, disable_existing_loggers=False)

url = os.environ.get("DATABASE_URL") or config.get_main_option("sqlalchemy.url")
options = {
    "target_metadata": Base.metadata,
    # A revision that fails leaves those before it committed, and an index can be built outside of a transaction.
    "transaction_per_migration": True,
}


def run_offline() -> None:
    """Write the statements instead of running them."""
    context.configure(url=url, literal_binds=True, **options)
    with context.begin_transaction():
        context.run_migrations()


def run_online() -> None:
    """Run the statements."""
    engine = create_engine(url, poolclass=pool.NullPool)
    with engine.connect() as connection:
        context.configure(connection=connection, **options)
        with context.begin_transaction():
            context.run_migrations()


if context.is_offline_mode():
    run_offline()
else:
    run_online()
