"""A PostgreSQL dump that several pg_restore put into a database at once."""

from __future__ import annotations

import hashlib
import os
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.contract.result import Outcome
from dbmigration_runner.engines import engine_for, read_catalog
from dbmigration_runner.engines.postgresql_catalog import plain_indexes
from dbmigration_runner.engines.postgresql_dump import PostgreSQLDump
from dbmigration_runner.engines.postgresql_loading import load
from dbmigration_runner.engines.postgresql_rights import give
from dbmigration_runner.engines.postgresql_shares import LEAST_BYTES
from dbmigration_runner.engines.postgresql_tools import choose, installed, libpq
from dbmigration_runner.errors import Stopped
from tests.integration import restores
from tests.integration.postgresql_server import CANARY, Database

TABLES = 8
STRICT = ["--exit-on-error", "--no-owner"]


@pytest.fixture
def full(database):
    """Some tables of different sizes, one of them not to be filled again anywhere else."""
    database.ask(
        f"CREATE FUNCTION is_home() RETURNS bool LANGUAGE sql AS $$SELECT current_database() = '{database.name}'$$;"
        "CREATE TABLE homely (id int PRIMARY KEY CHECK (is_home())); INSERT INTO homely SELECT generate_series(1, 10)"
    )
    for number in range(TABLES):
        database.ask(
            f"CREATE TABLE t{number} (id int PRIMARY KEY, note text);"
            f" INSERT INTO t{number} SELECT n, md5(n::text) FROM generate_series(1, {10 ** (number % 4 + 1)}) n"
        )
    return database


@pytest.fixture
def fresh(database):
    """An empty database beside it."""
    name = f"{database.name}_fresh"
    with database.server.superuser() as connection:
        connection.execute(f"CREATE DATABASE {name}")
    yield Database(database.server, name)
    with database.server.superuser() as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def dumped(database: Database, path: Path, *options: str) -> Path:
    address = {"PGHOST": "127.0.0.1", "PGPORT": str(database.server.port), "PGUSER": "postgres", "PGPASSWORD": CANARY}
    program = [database.server.binaries / "pg_dump", "--format=custom", f"--file={path}", *options, database.name]
    subprocess.run(program, env={**os.environ, **address}, check=True)
    return path


def loaded(
    fresh: Database,
    path: Path,
    options: list[str],
    workers: int = 4,
    *,
    alive=lambda: None,
    grant=lambda _: None,
    tools: int = 18,
    **manifest: Any,
):
    url = fresh.server.url(fresh.name, user="postgres")
    engine = engine_for(url)
    environment = libpq(engine.url, "loading")
    dump = PostgreSQLDump(engine, choose(installed(), tools, encrypted=False), environment)
    wanted = SimpleNamespace(**{"path": path, "sizes": {"public.t3": 9, "public.t7": 8}, "catalog": None, **manifest})
    return load(dump, wanted, [*options, f"--dbname={fresh.name}"], workers, alive, grant=grant)


def slow(database: Database, table: str, seconds: int) -> None:
    """A check that takes its time wherever else the table is filled."""
    database.ask(
        "CREATE FUNCTION is_slow(int) RETURNS bool LANGUAGE plpgsql AS "
        f"$$BEGIN IF $1 = 7 AND current_database() <> '{database.name}' THEN PERFORM pg_sleep({seconds}); END IF; RETURN true; END$$;"
        f"ALTER TABLE {table} ADD CHECK (is_slow(id))"
    )


def of_manifest(database: Database) -> dict[str, Any]:
    """What is known of a database with two tables that are large, or are said to be."""
    engine = engine_for(database.server.url(database.name, user="postgres"))
    with engine.connect() as session:
        catalog = read_catalog(engine, session)
    return {"catalog": catalog, "sizes": {"public.t7": 9 * LEAST_BYTES, "public.t3": 2 * LEAST_BYTES, "public.t0": 1}}


@pytest.mark.parametrize("workers", [1, 2, 5, 20])
def test_an_archive_that_is_compressed_inside_is_loaded_by_any_number(full, fresh, tmp_path, workers):
    path = dumped(full, tmp_path / "a.dump", "--exclude-table=homely")
    found = loaded(fresh, path, STRICT, workers)
    assert found.complaints == ""
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    for number in range(TABLES):
        every = f"SELECT count(*), min(note), max(id) FROM t{number}"
        assert fresh.ask(every) == full.ask(every)
    with pytest.raises(Exception, match="duplicate key"):
        fresh.ask("INSERT INTO t3 VALUES (1)")


def test_the_first_that_fails_is_named_and_ends_the_others(full, fresh, tmp_path):
    slow(full, "t3", seconds=60)
    path = dumped(full, tmp_path / "a.dump")
    found = loaded(fresh, path, STRICT)
    assert 'violates check constraint "homely_check"' in found.complaints
    assert fresh.ask("SELECT count(*) FROM t3") == [(0,)]
    assert fresh.ask("SELECT count(*) FROM pg_indexes WHERE schemaname = 'public'") == [(0,)]


def test_where_an_error_may_be_harmless_all_the_rest_is_loaded(full, fresh, tmp_path):
    found = loaded(fresh, dumped(full, tmp_path / "a.dump"), ["--no-owner"])
    assert "homely_check" in found.complaints
    assert fresh.ask("SELECT count(*) FROM t3") == full.ask("SELECT count(*) FROM t3")
    assert fresh.ask("SELECT count(*) FROM pg_indexes WHERE schemaname = 'public'") == [(TABLES + 1,)]


def test_an_order_to_stop_ends_all_of_them(full, fresh, tmp_path):
    full.ask("INSERT INTO t3 SELECT n, md5(n::text) FROM generate_series(20000, 2000000) n")
    path = dumped(full, tmp_path / "a.dump", "--exclude-table=homely")

    def stop():
        if fresh.ask(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'loading' AND query LIKE 'COPY %'"
        ) != [(0,)]:
            raise Stopped(RunnerReason.CANCELLED, "told to")

    with pytest.raises(Stopped):
        loaded(fresh, path, STRICT, alive=stop)
    until = time.monotonic() + 20
    while fresh.ask("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'loading'") != [(0,)]:
        assert time.monotonic() < until
        time.sleep(0.2)


def test_an_index_is_built_while_another_table_is_filled(full, fresh, tmp_path):
    slow(full, "t7", seconds=3)
    full.ask(
        "CREATE INDEX t3_note ON t3 (note); COMMENT ON INDEX t3_note IS 'told'; CREATE INDEX t3_lower ON t3 (lower(note));"
        "ALTER TABLE t7 ADD FOREIGN KEY (id) REFERENCES t3"
    )
    path = dumped(full, tmp_path / "a.dump", "--exclude-table=homely")
    meanwhile: set[str] = set()

    def look():
        filled = "application_name = 'loading' AND query LIKE 'COPY public.t7 %' AND state = 'active'"
        if fresh.ask(f"SELECT count(*) FROM pg_stat_activity WHERE {filled} AND datname = current_database()") == [
            (1,)
        ]:
            meanwhile.update(
                name for (name,) in fresh.ask("SELECT indexname FROM pg_indexes WHERE schemaname = 'public'")
            )

    assert loaded(fresh, path, STRICT, 2, alive=look, **of_manifest(full)).complaints == ""
    assert meanwhile == {"t3_pkey", "t3_note"}
    every = (
        "SELECT indexdef, obj_description(indexname::regclass) FROM pg_indexes"
        " WHERE schemaname = 'public' AND tablename <> 'homely' ORDER BY 1"
    )
    assert fresh.ask(every) == full.ask(every)
    assert fresh.ask("SELECT count(*) FROM pg_constraint WHERE contype = 'f'") == [(1,)]


def test_an_index_that_cannot_be_built_is_named(full, fresh, tmp_path):
    slow(full, "t7", seconds=2)
    full.ask(  # as one that was damaged: it cannot be unique, and says that it is
        "ALTER TABLE t3 DROP CONSTRAINT t3_pkey; INSERT INTO t3 VALUES (1); CREATE INDEX t3_twice ON t3 (id);"
        "UPDATE pg_index SET indisunique = true WHERE indexrelid = 't3_twice'::regclass"
    )
    path = dumped(full, tmp_path / "a.dump", "--exclude-table=homely")
    found = loaded(fresh, path, STRICT, 2, **of_manifest(full))
    assert found.complaints.count('could not create unique index "t3_twice"') == 1
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_an_index_that_needs_rights_is_built_when_they_are_given(full, fresh, tmp_path):
    """A function of an operator class, which is called as the table's owner."""
    slow(full, "t7", seconds=2)
    full.ask(
        "CREATE SCHEMA lib; CREATE FUNCTION lib.one() RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 1';"
        "CREATE FUNCTION compared(int, int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS"
        " $$BEGIN RETURN sign($1::bigint - $2) * lib.one(); END$$;"
        "CREATE OPERATOR CLASS owned FOR TYPE int USING btree AS OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=,"
        " OPERATOR 5 >, FUNCTION 1 compared(int, int);"
        "CREATE ROLE owning; ALTER TABLE t3 OWNER TO owning; GRANT USAGE ON SCHEMA lib TO owning;"
        "CREATE INDEX t3_owned ON t3 (id owned)"
    )
    try:
        path = dumped(full, tmp_path / "a.dump", "--exclude-table=homely")
        assert "public.t3_owned" in plain_indexes(of_manifest(full)["catalog"])
        with engine_for(fresh.server.url(fresh.name, user="postgres")).connect(read_only=False) as session:
            found = loaded(
                *(fresh, path, ["--exit-on-error"], 2),
                grant=lambda script: give(session, script.decode()),
                **of_manifest(full),
            )
        assert found.complaints == ""
        assert fresh.ask("SELECT count(*) FROM pg_indexes WHERE indexname = 't3_owned'") == [(1,)]
    finally:
        for database in (full, fresh):
            database.ask("DROP OWNED BY owning CASCADE")
        full.ask("DROP ROLE owning")


@pytest.mark.parametrize("keep", [3, 3000])
def test_of_an_archive_whose_head_is_cut_nothing_is_restored(full, fresh, tmp_path, keep):
    path = dumped(full, tmp_path / "a.dump", "--exclude-table=homely")
    path.write_bytes(path.read_bytes()[:keep])
    found = loaded(fresh, path, STRICT)
    assert "pg_restore: error: " in found.complaints
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert fresh.tables() == set()


def test_an_archive_that_is_too_new_is_said_to_be(full, fresh, tmp_path):
    found = loaded(fresh, dumped(full, tmp_path / "a.dump"), STRICT, tools=1)
    assert "unsupported version" in found.complaints


def test_a_role_with_few_sessions_restores_with_fewer(database, tmp_path):
    with database.server.superuser() as connection:
        connection.execute("ALTER ROLE shop CREATEDB CONNECTION LIMIT 7")
    try:
        shop = restores.shop(database, tmp_path, as_shop=True)
        restores.migrate(database)
        ran = shop.run(accept_data_loss=True)
        assert ran.result.outcome is Outcome.SUCCEEDED, ran
    finally:
        restores.forget(database)
        with database.server.superuser() as connection:
            connection.execute("ALTER ROLE shop NOCREATEDB CONNECTION LIMIT -1")
