"""The tutorial's way: the URL stands in the ini."""

from alembic import context
from sqlalchemy import engine_from_config, pool


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
    section = context.config.get_section(context.config.config_ini_section)
    run_online(engine_from_config(section, prefix="sqlalchemy.", poolclass=pool.NullPool))
