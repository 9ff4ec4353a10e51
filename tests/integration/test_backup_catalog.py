"""The fingerprint of a schema: equal for a copy restored from a dump, another one for every change that matters."""

from __future__ import annotations

import os
import re
import sqlite3
import statistics
import subprocess
import time
from pathlib import Path

import pytest

from dbmigration_runner.engines import engine_for, read_catalog
from dbmigration_runner.engines.postgresql_catalog import catalog
from dbmigration_runner.engines.sqlite_catalog import catalog as sqlite_catalog
from tests.integration import backups
from tests.integration.postgresql_server import CANARY

RICH = Path(__file__).parent / "schemas" / "rich.sql"


def read(server, database, **wanted):
    with engine_for(server.url(database, user="postgres")).connect(**wanted) as session:
        return catalog(session)


@pytest.fixture(scope="module")
def rich(postgres):
    """A schema with one of nearly everything, and a copy of it made by pg_dump and pg_restore alone."""
    address = {"PGHOST": "127.0.0.1", "PGPORT": str(postgres.port), "PGUSER": "postgres", "PGPASSWORD": CANARY}
    environment = {**os.environ, **address}
    with postgres.superuser() as connection:
        connection.execute("CREATE DATABASE rich")
        connection.execute("CREATE DATABASE rich_copy")
    psql = [postgres.binaries / "psql", "-q", "-v", "ON_ERROR_STOP=1"]
    subprocess.run([*psql, "-d", "rich", "-f", RICH], env=environment, check=True, capture_output=True)
    dumped = subprocess.run(
        [postgres.binaries / "pg_dump", "-Fc", "rich"], env=environment, check=True, capture_output=True
    )
    restoring = [postgres.binaries / "pg_restore", "--exit-on-error", "-d", "rich_copy"]
    subprocess.run(restoring, env=environment, check=True, input=dumped.stdout, capture_output=True)
    yield postgres
    backups.drop(postgres, "rich")
    backups.drop(postgres, "rich_copy")


def test_a_restored_copy_has_the_same_fingerprint(rich):
    original, copy = read(rich, "rich"), read(rich, "rich_copy")
    assert original.difference(copy).missing == ()
    assert original.difference(copy).added == ()
    assert original.fingerprint("alembic_version") == copy.fingerprint("alembic_version")
    assert re.fullmatch(r"3:[0-9a-f]{64}", original.fingerprint("alembic_version"))


def test_the_catalog_is_the_same_whatever_the_session_is_set_to(rich):
    engine = engine_for(rich.url("rich", user="postgres"))
    with engine.connect(pinned=False) as session:
        session.run("SET search_path = shop, public")
        session.run("SET quote_all_identifiers = on")
        found = catalog(session)
        assert session.value("SHOW search_path") == "shop, public"
    assert found == read(rich, "rich")


def test_no_object_of_a_tenant_is_called_by_reading_the_catalog(rich):
    with rich.superuser("rich") as connection:
        connection.execute("CREATE SCHEMA trap; CREATE TABLE trap.calls (n int)")
        for name, arguments in (("quote_ident", "name"), ("format_type", "oid, int"), ("concat_ws", "text, text")):
            connection.execute(
                f"CREATE FUNCTION trap.{name}({arguments}) RETURNS text LANGUAGE sql AS"
                " $$ INSERT INTO trap.calls VALUES (1) RETURNING 'trapped' $$"
            )
        try:
            with engine_for(rich.url("rich", user="postgres")).connect(pinned=False, read_only=False) as session:
                session.run("SET search_path = trap, pg_catalog")
                catalog(session)
            assert connection.execute("SELECT count(*) FROM trap.calls").fetchone() == (0,)
        finally:
            connection.execute("DROP SCHEMA trap CASCADE")


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE shop.customers ADD COLUMN new int",
        "ALTER TABLE shop.customers ALTER COLUMN qty SET DEFAULT 2",
        "ALTER TABLE shop.customers ALTER COLUMN qty SET NOT NULL",
        "ALTER TABLE shop.mix ALTER COLUMN t TYPE varchar(81)",
        "ALTER TABLE shop.customers VALIDATE CONSTRAINT late_ok",
        "ALTER TABLE shop.customers RENAME CONSTRAINT sane TO sound",
        "ALTER TABLE shop.customers ENABLE TRIGGER touch",
        "ALTER TABLE shop.customers DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE shop.base VALIDATE CONSTRAINT nn",
        "ALTER TABLE shop.measures DETACH PARTITION shop.measures_old",
        "ALTER TYPE shop.mood ADD VALUE 'furious'",
        "ALTER DOMAIN shop.percent SET DEFAULT 1",
        "ALTER SEQUENCE shop.counter INCREMENT 7",
        "CREATE INDEX another ON shop.customers (qty)",
        "DROP INDEX shop.customers_lower",
        "CREATE OR REPLACE PROCEDURE shop.run() LANGUAGE sql AS 'SELECT 2'",
        "CREATE OR REPLACE VIEW shop.recursive_v AS SELECT 2 AS n, 'x'::text AS lit",
        "DROP POLICY own ON shop.customers",
        "DROP EXTENSION pg_trgm CASCADE",
        "ALTER PUBLICATION pub DROP TABLE shop.customers",
        "CREATE TEXT SEARCH CONFIGURATION shop.plain (COPY = simple)",
        "DROP TEXT SEARCH DICTIONARY shop.words CASCADE",
        "ALTER TEXT SEARCH CONFIGURATION shop.searched DROP MAPPING FOR asciiword",
        "ALTER TABLE shop.base DISABLE RULE no_delete",
        "ALTER TABLE shop.customers DISABLE TRIGGER ALL",
    ],
)
def test_every_change_of_a_schema_is_another_fingerprint(rich, change):
    engine = engine_for(rich.url("rich", user="postgres"))
    with engine.connect(read_only=False) as session:
        before = catalog(session).fingerprint("alembic_version")
        session.run("BEGIN")
        session.run(change)
        assert catalog(session).fingerprint("alembic_version") != before
        session.run("ROLLBACK")


@pytest.mark.parametrize(
    "change",
    [
        "COMMENT ON TABLE shop.customers IS 'others'",
        "GRANT SELECT ON shop.customers TO shop",
        "ALTER TABLE shop.base OWNER TO shop",
        "SELECT nextval('shop.counter')",
        "ANALYZE shop.base",
        "INSERT INTO shop.base VALUES (1, 'x')",
        "CREATE TEMPORARY TABLE t (a int)",
    ],
)
def test_what_a_dump_does_not_carry_leaves_the_fingerprint(rich, change):
    engine = engine_for(rich.url("rich", user="postgres"))
    with engine.connect(read_only=False) as session:
        before = catalog(session).fingerprint("alembic_version")
        session.run("BEGIN")
        session.run(change)
        assert catalog(session).fingerprint("alembic_version") == before
        session.run("ROLLBACK")


def test_two_hundred_tables_are_read_in_a_moment(database):
    """It is read before and after every attempt of a migration; three times a trivial query's time a table is too much."""
    database.ask(
        "DO $$ BEGIN FOR i IN 1..200 LOOP EXECUTE format('CREATE TABLE t%s (id bigserial PRIMARY KEY, a int NOT NULL"
        " DEFAULT 1 CHECK (a > 0), b text, c varchar(10) CHECK (c IN (''x'', ''y'')), d timestamptz DEFAULT now());"
        " CREATE INDEX ON t%s (a, b)', i, i); END LOOP; END $$"
    )
    engine = engine_for(database.url)
    with engine.connect() as session:
        seconds = []
        for _ in range(5):
            started = time.perf_counter()
            found = catalog(session)
            seconds.append(time.perf_counter() - started)
    assert len(found.items) > 200 * 9
    print(f"200 tables: {statistics.median(seconds) * 1000:.0f} ms, {len(found.items)} lines")
    assert statistics.median(seconds) < 5


SQLITE_FIRST = """
CREATE TABLE customers (id INTEGER PRIMARY KEY AUTOINCREMENT, mail TEXT NOT NULL COLLATE NOCASE, age INT DEFAULT 1 CHECK (age > 0));
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INT REFERENCES customers (id) ON DELETE CASCADE, total NUMERIC);
CREATE UNIQUE INDEX by_mail ON customers (lower(mail)) WHERE age > 1;
CREATE VIEW adults AS SELECT * FROM customers WHERE age > 17;
CREATE TRIGGER none AFTER DELETE ON orders BEGIN SELECT 1; END;
"""


def of_sqlite(path, script):
    connection = sqlite3.connect(path)
    connection.executescript(script)
    connection.close()
    with engine_for(f"sqlite:///{path}").connect() as session:
        return sqlite_catalog(session)


def test_an_sqlite_schema_is_the_same_however_it_was_written(tmp_path):
    added = of_sqlite(
        tmp_path / "a.db", SQLITE_FIRST + "CREATE TABLE plain (a INT); ALTER TABLE plain ADD COLUMN b TEXT;"
    )
    written = of_sqlite(
        tmp_path / "b.db",
        SQLITE_FIRST.replace("age > 17", "age  >\n 17").replace("(age > 0)", "( age>0 )")
        + "CREATE TABLE plain (a INT,\n b text);",
    )
    assert added.difference(written).missing == ()
    assert added.fingerprint("alembic_version") == written.fingerprint("alembic_version")


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE customers ADD COLUMN new INT",
        "ALTER TABLE customers RENAME COLUMN mail TO email",
        "DROP INDEX by_mail",
        "DROP TRIGGER none",
        "CREATE TABLE more (a INT)",
        "DROP VIEW adults; CREATE VIEW adults AS SELECT * FROM customers WHERE age > 'x 17'",
    ],
)
def test_every_change_of_an_sqlite_schema_is_another_fingerprint(tmp_path, change):
    assert of_sqlite(tmp_path / "a.db", SQLITE_FIRST).fingerprint("alembic_version") != of_sqlite(
        tmp_path / "b.db", SQLITE_FIRST + change
    ).fingerprint("alembic_version")


def test_the_engines_are_asked_in_one_way(tmp_path):
    engine = engine_for(f"sqlite:///{tmp_path}/a.db")
    with engine.connect() as session:
        assert read_catalog(engine, session) == sqlite_catalog(session)
