"""About what was written since a backup, before anything is begun: an estimate that says that it is one."""

from __future__ import annotations

import contextlib
import sqlite3
import time

import pytest

from tests.integration import mariadb_restores, restores
from tests.integration.backups import Backups
from tests.integration.mariadb_server import fresh_database, running_mariadb
from tests.integration.restores import Restores


@pytest.fixture
def shop(database, tmp_path):
    yield restores.shop(database, tmp_path)
    restores.forget(database)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "shop.db"
    say(path, "CREATE TABLE alembic_version (version_num TEXT); INSERT INTO alembic_version VALUES ('a1')")
    say(path, "CREATE TABLE orders (id INTEGER PRIMARY KEY, note TEXT); INSERT INTO orders VALUES (1, 'first')")
    return path


def say(path, script):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)


def written(shop):
    return shop.find("back").result.find.written


def test_postgresql_counts_what_was_written_and_what_only_changed(shop, database):
    assert written(shop) == "An estimate: since the backup nothing was written, as far as the server knows."
    database.ask(
        "UPDATE alembic_version SET version_num = 'a2'; UPDATE sales.orders SET note = 'x' WHERE id <= 12;"
        " DELETE FROM sales.orders WHERE id > 4990; INSERT INTO \"Odd: (name%\" VALUES ('z', 9)"
    )
    told = 'An estimate: since the backup about 23 rows were inserted, changed or deleted, in sales.orders (22), public."Odd: (name%" (1).'
    assert written(shop) == told
    database.ask("CREATE TABLE new AS SELECT 1 AS id; DROP TABLE log")
    assert written(shop) == (
        "An estimate: since the backup about 26 rows were inserted, changed or deleted, in sales.orders (22), public.log (2),"
        ' public."Odd: (name%" (1), public.new (1).'
    )


def test_counters_that_began_anew_are_not_believed(shop, database):
    """As after a crash, or in a database that a restore put there: then tables are counted."""
    database.ask("DELETE FROM sales.orders WHERE id > 4990; SELECT pg_stat_reset()")
    database.ask("UPDATE sales.orders SET note = 'x' WHERE id <= 12")
    assert (
        written(shop)
        == "An estimate: since the backup at least 10 rows were inserted, changed or deleted, in sales.orders (10)."
    )
    database.ask("INSERT INTO sales.orders SELECT i FROM generate_series(4991, 5000) i")
    assert written(shop).startswith("An estimate: since the backup no table grew or shrank")


def test_somebody_who_holds_a_table_does_not_hold_the_estimate_up(shop, database):
    database.ask("SELECT pg_stat_reset()")
    with database.server.superuser(database.name) as holder:
        holder.execute("BEGIN; LOCK TABLE sales.orders")
        started = time.monotonic()
        assert "cannot tell whether anything was written in sales.orders; the comparison will" in written(shop)
        assert time.monotonic() - started < 20
        holder.execute("ROLLBACK")


def test_mariadb_remembers_which_tables_were_written_to(mariadb_database, tmp_path):
    shop = mariadb_restores.shop(mariadb_database, tmp_path)
    assert written(shop).endswith("nothing was written, as far as the server knows.")
    time.sleep(1.1)  # it remembers to the second
    mariadb_database.ask("DELETE FROM orders WHERE id > 4988")
    mariadb_database.ask("UPDATE customers SET name = 'Zoë'")
    assert written(shop) == (
        "An estimate: since the backup at least 12 rows were inserted, changed or deleted, in orders (12); the server cannot tell "
        "whether anything was written in customers; the comparison will."
    )


def test_a_mariadb_that_was_started_since_remembers_nothing(tmp_path):
    with running_mariadb() as server, fresh_database(server, "shop") as database:
        shop = mariadb_restores.shop(database, tmp_path)
        manifest = next(shop.backups.directory.glob("*.manifest.json"))
        manifest.write_text(manifest.read_text(encoding="utf-8").replace('"": "', '"": "1'), encoding="utf-8")
        database.ask("DELETE FROM orders WHERE id > 4988")
        assert (
            written(shop)
            == "An estimate: since the backup at least 12 rows were inserted, changed or deleted, in orders (12)."
        )


@pytest.mark.parametrize("mode", ["DELETE", "WAL"])
def test_sqlite_knows_that_a_file_is_as_it_was_and_else_tables_are_counted(file, tmp_path, mode):
    say(file, f"PRAGMA journal_mode = {mode}")
    backups = Backups(f"sqlite:///{file}", tmp_path / "backups")
    shop = Restores(backups, backups.take("shop-1-20261123T120000Z"))
    assert written(shop).endswith("nothing was written, as far as the server knows.")
    say(file, "UPDATE orders SET note = 'x'")
    assert written(shop).startswith("An estimate: since the backup no table grew or shrank")
    say(file, "INSERT INTO orders (note) VALUES ('y'), ('z')")
    assert (
        written(shop)
        == "An estimate: since the backup at least 2 rows were inserted, changed or deleted, in orders (2)."
    )
