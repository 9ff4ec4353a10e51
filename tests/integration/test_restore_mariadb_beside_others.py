"""A MariaDB restore beside others who make tables and keys, and on a server that limits statements."""

from __future__ import annotations

import time

import pytest

from dbmigration_runner.contract.result import Outcome
from tests.integration import mariadb_backups, mariadb_restores
from tests.integration.mariadb_server import quoted, said
from tests.integration.restores import stopped


@pytest.fixture
def migrated(mariadb_database, tmp_path):
    shop = mariadb_restores.shop(mariadb_database, tmp_path)
    mariadb_restores.migrate(mariadb_database)
    yield shop
    mariadb_restores.forget(mariadb_database)


def where(database, value):
    """In which tables of the live schema a row is, by its text."""
    return sorted(
        name
        for name in database.tables()
        if any(value in map(str, row) for row in database.ask(f"SELECT * FROM {quoted(name)}"))
    )


def beside_an_application_without_tables(shop, database, attempt):
    """It finds none behind the fence, makes its own and writes."""
    running = shop.start(fails_at="stage:fenced", signal="SIGSTOP", accept_data_loss=True, attempt=attempt)
    with stopped(running):
        database.ask("CREATE TABLE customers (version_num varchar(32))")
        database.ask(f"INSERT INTO customers VALUES ('written {attempt}')")
    return running.wait().result


def test_tables_that_an_application_makes_again_and_again_are_kept_and_told_and_the_fence_is_lifted(
    migrated, mariadb_database
):
    for attempt in (1, 2, 3):
        result = beside_an_application_without_tables(migrated, mariadb_database, attempt)
        assert (result.reason, result.changed) == ("SessionStays", False)
        assert (
            f"a table customers meanwhile, and wrote to it: it is called dbmigration/stranger/{attempt} now"
            in result.message
        )
        assert "nothing was changed" not in result.message
        assert where(mariadb_database, f"written {attempt}") == [f"dbmigration/stranger/{attempt}"]
        assert mariadb_database.ask("SELECT name FROM customers") == [("Zoe",)]
    result = migrated.run(attempt=4, accept_data_loss=True).result
    assert result.outcome is Outcome.SUCCEEDED, result


def test_a_row_that_is_committed_while_its_table_is_put_aside_is_kept(migrated, mariadb_database):
    migrated.lose("engines.mysql_exchange:Exchange._show", accept_data_loss=True)
    mariadb_database.ask("CREATE TABLE customers (id int, name varchar(40))")
    with mariadb_database.server.superuser() as connection:
        for statement in (
            f"USE `{mariadb_database.name}`",
            "BEGIN",
            "INSERT INTO customers VALUES (777, 'paid order')",
        ):
            said(connection, statement)
        running = migrated.start(attempt=2, accept_data_loss=True)
        until = time.monotonic() + 60
        while not mariadb_database.ask(
            "SELECT 1 FROM information_schema.PROCESSLIST WHERE INFO LIKE 'RENAME TABLE%' AND STATE LIKE '%lock%'"
        ):
            assert time.monotonic() < until
            time.sleep(0.2)
        said(connection, "COMMIT")
    result = running.wait().result
    assert result.outcome is Outcome.SUCCEEDED, result
    assert where(mariadb_database, "paid order") == ["dbmigration/stranger/1"]
    assert any("wrote to it: it is called dbmigration/stranger/1" in warning for warning in result.warnings)


def test_a_foreign_key_that_another_database_makes_while_the_copy_is_filled_is_found(migrated, mariadb_database):
    other, name = f"{mariadb_database.name}_other", mariadb_database.name
    running = migrated.start(fails_at="stage:restored", signal="SIGSTOP", accept_data_loss=True)
    with stopped(running), mariadb_database.server.superuser() as connection:
        said(connection, f"CREATE DATABASE `{other}`")
        key = f"FOREIGN KEY (customer) REFERENCES `{name}`.customers (id)"
        said(connection, f"CREATE TABLE `{other}`.bills (customer int, {key})")
    result = running.wait().result
    try:
        assert (result.outcome, result.reason) == (Outcome.FAILED, "RestoreNotPossible"), result
        assert f"of {other}.bills" in result.message
        assert not mariadb_restores.is_fenced(mariadb_database)
    finally:
        mariadb_database.ask(f"DROP DATABASE `{other}`")


def test_a_servers_limit_of_statements_is_not_one_of_a_restore(mariadb_database, tmp_path):
    """What production servers set against runaway queries."""
    mariadb_backups.load(
        mariadb_database,
        b"CREATE TABLE large (id int PRIMARY KEY, note varchar(80), KEY (note));"
        b"INSERT INTO large SELECT seq, md5(seq) FROM seq_1_to_300000;\n",
    )
    shop = mariadb_restores.shop(mariadb_database, tmp_path)
    with mariadb_database.server.superuser() as connection:
        said(connection, "SET GLOBAL max_statement_time = 0.2")
        try:
            result = shop.run().result
        finally:
            said(connection, "SET GLOBAL max_statement_time = 0")
            mariadb_restores.forget(mariadb_database)
    assert result.outcome is Outcome.SUCCEEDED, result
