"""A PostgreSQL dump that several pg_restore put into a database at once."""

from __future__ import annotations

import hashlib
import os
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.contract.result import Outcome
from dbmigration_runner.engines import engine_for
from dbmigration_runner.engines.postgresql_dump import PostgreSQLDump
from dbmigration_runner.engines.postgresql_loading import load
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


def loaded(fresh: Database, path: Path, options: list[str], workers: int = 4, *, alive=lambda: None, tools: int = 18):
    url = fresh.server.url(fresh.name, user="postgres")
    engine = engine_for(url)
    environment = libpq(engine.url, "loading")
    dump = PostgreSQLDump(engine, choose(installed(), tools, encrypted=False), environment)
    wanted = SimpleNamespace(path=path, sizes={"public.t3": 9, "public.t7": 8})
    return load(dump, wanted, [*options, f"--dbname={fresh.name}"], workers, alive, grant=lambda _: None)


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
    full.ask(
        "CREATE FUNCTION is_slow(int) RETURNS bool LANGUAGE plpgsql AS "
        f"$$BEGIN IF $1 = 7 AND current_database() <> '{full.name}' THEN PERFORM pg_sleep(60); END IF; RETURN true; END$$;"
        "ALTER TABLE t3 ADD CHECK (is_slow(id))"
    )
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
