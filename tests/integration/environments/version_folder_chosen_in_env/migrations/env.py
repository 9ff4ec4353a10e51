"""Which revisions there are is decided here: read statically, the script directory is empty."""

from pathlib import Path

from alembic import context
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

context.config.set_main_option("version_locations", str(Path(__file__).with_name("versions")))
chosen = ScriptDirectory.from_config(context.config)
context.script.__dict__.update(chosen.__dict__)


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
