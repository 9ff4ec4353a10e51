"""A database's owner may plant objects there; sessions of ours, which may be a superuser's, must call none of them."""

from __future__ import annotations

import pytest
from psycopg import sql

from dbmigration_runner.engines import engine_for

_PLANTED = """
CREATE FUNCTION evil.{name} RETURNS {result} LANGUAGE plpgsql AS
$$ BEGIN ALTER ROLE mallory SUPERUSER; RETURN pg_catalog.{name}; END $$
"""


@pytest.fixture
def mallory(database):
    """Owner of the database, who wants to be more."""
    name = sql.Identifier(database.name)
    with database.server.superuser() as connection:
        connection.execute("CREATE ROLE mallory")
        connection.execute(sql.SQL("ALTER DATABASE {} OWNER TO mallory").format(name))
    with database.server.superuser(database.name) as connection:
        connection.execute("SET ROLE mallory")
        connection.execute("CREATE SCHEMA evil")
        for function, result in (("current_schema()", "name"), ("version()", "text"), ("pg_backend_pid()", "integer")):
            connection.execute(_PLANTED.format(name=function, result=result))
        connection.execute("GRANT USAGE ON SCHEMA evil TO PUBLIC")
        connection.execute(sql.SQL("ALTER DATABASE {} SET search_path = evil, pg_catalog").format(name))
    yield "mallory"
    with database.server.superuser(database.name) as connection:
        connection.execute(sql.SQL("ALTER DATABASE {} OWNER TO postgres").format(name))
        connection.execute("ALTER ROLE mallory NOSUPERUSER")
        connection.execute("DROP OWNED BY mallory CASCADE")
        connection.execute("DROP ROLE mallory")


@pytest.mark.parametrize("pinned", [True, False])
@pytest.mark.parametrize("driver", ["psycopg", "psycopg2", "asyncpg"])
def test_opening_a_superusers_session_runs_nothing_that_the_databases_owner_planted(database, mallory, driver, pinned):
    url = database.server.url(database.name, user="postgres", driver=f"postgresql+{driver}")
    engine = engine_for(url)
    with engine.connect(read_only=False, pinned=pinned) as session:
        engine.facts(session)
        path = session.value("SELECT pg_catalog.current_setting('search_path')")
    assert path.startswith("pg_catalog" if pinned else "evil")
    assert database.ask(f"SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = '{mallory}'") == [(False,)]
