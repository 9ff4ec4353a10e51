"""A restore of MariaDB that cannot be done says why, and leaves the database, its writers and the server as they were."""

from __future__ import annotations

import contextlib
import os
import signal

import pymysql
import pytest

from dbmigration_runner.checks.manifest import SUFFIX
from dbmigration_runner.contract.result import Outcome
from dbmigration_runner.contract.task import Policy
from tests.integration import mariadb_backups, mariadb_restores
from tests.integration.mariadb_server import fresh_database, said
from tests.integration.projects import wait_for
from tests.integration.restores import Restores


@pytest.fixture
def shop(mariadb_database, tmp_path):
    yield mariadb_restores.shop(mariadb_database, tmp_path)
    mariadb_restores.forget(mariadb_database)


def state(database):
    return mariadb_backups.schema(database.server, database.name), mariadb_backups.contents(
        database.server, database.name
    )


def assert_alone(database):
    assert not mariadb_restores.is_fenced(database)
    assert mariadb_restores.databases(database) == {database.name}


def test_a_damaged_dump_is_refused_before_anything_is_made(shop, mariadb_database):
    (dump,) = [path for path in shop.backups.directory.iterdir() if not path.name.endswith(SUFFIX)]
    data = bytearray(dump.read_bytes())
    data[len(data) // 2] ^= 1
    dump.write_bytes(data)
    ran = shop.run(accept_data_loss=True)
    assert (ran.result.reason, ran.result.changed) == ("BackupCorrupt", False), ran
    assert not ran.events_called("restore-stage")
    assert_alone(mariadb_database)


def test_a_role_that_may_not_make_databases_is_told_at_the_backup_and_before_a_restore(mariadb_database, tmp_path):
    mariadb_backups.load(mariadb_database, b"CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)")
    backups = mariadb_backups.of(mariadb_database, tmp_path / "backups", admin=False)
    report = backups.take()
    assert (report.restorable, "adminUrlFrom" in report.restorable_note) == (None, True), report
    ran = Restores(backups, report).run()
    assert (ran.result.reason, "adminUrlFrom" in ran.result.message) == ("RestoreNotPossible", True), ran
    assert_alone(mariadb_database)


def test_foreign_keys_of_other_databases_are_refused_by_plan_backup_and_restore(shop, mariadb_database, project):
    """A rename carries them along: they would hold rows of the replaced tables for ever."""
    server = mariadb_database.server
    with fresh_database(server, f"{mariadb_database.name}x") as other:
        other.ask(
            f"CREATE TABLE debts (customer int, FOREIGN KEY (customer) REFERENCES {mariadb_database.name}.customers (id))"
        )
        before = state(mariadb_database)
        application = project("url_in_the_ini", mariadb_database.url)
        application.three_revisions()
        assert application.run("plan").result.outcome is Outcome.SUCCEEDED  # where nothing is to be restored
        planned = application.run("plan", policy=Policy(needs_restore=True)).result
        assert (planned.reason, f"{other.name}.debts" in planned.message) == ("RestoreNotPossible", True), planned
        ran = shop.run(accept_data_loss=True)
        assert (ran.result.reason, f"{other.name}.debts" in ran.result.message) == ("RestoreNotPossible", True), ran
        assert shop.backups.start("second").wait().result.outcome is Outcome.SUCCEEDED  # by hand it can be restored
        taken = shop.backups.start("third", probe_required=True).wait()
        assert (taken.result.reason, f"{other.name}.debts" in taken.result.message) == ("RestoreNotPossible", True), (
            taken
        )
        assert state(mariadb_database) == before
        assert_alone(mariadb_database)


def test_a_stop_is_heard_behind_a_lock_on_all_tables_and_a_name_that_is_taken_is_told_before(shop, mariadb_database):
    """The server alone would have a session wait for a day, and the application is drained as long."""
    waiting = "SELECT count(*) FROM information_schema.PROCESSLIST WHERE state LIKE 'Waiting for backup lock%'"
    with mariadb_database.server.superuser() as connection:
        for stage in ("START", "FLUSH", "BLOCK_DDL"):
            said(connection, f"BACKUP STAGE {stage}")
        running = shop.start()
        wait_for(lambda: said(connection, waiting) == [(1,)])
        os.kill(running.process.pid, signal.SIGTERM)
        assert running.wait(20).result.reason == "Cancelled"
        said(connection, "BACKUP STAGE END")
    with mariadb_database.server.superuser() as connection:
        said(connection, f"CREATE DATABASE `{mariadb_restores.kept(mariadb_database)}`")
    ran = shop.run(accept_data_loss=True)
    assert (ran.result.reason, "is there already" in ran.result.message) == ("RestoreNotPossible", True), ran
    assert not mariadb_restores.is_fenced(mariadb_database)


@pytest.fixture
def agent(mariadb_database):
    """A user who may only read."""
    with mariadb_database.server.superuser() as connection:
        said(connection, "CREATE USER agent IDENTIFIED BY 'agent'")
        said(connection, f"GRANT SELECT ON `{mariadb_database.name}`.* TO agent")
        yield "agent"
        said(connection, "DROP USER agent")


def test_who_is_there_is_ended_and_his_transaction_with_him_but_for_a_named_agent(shop, mariadb_database, agent):
    server, name = mariadb_database.server, mariadb_database.name
    with (
        contextlib.closing(server.session(name)) as holder,
        contextlib.closing(server.session(name)) as idle,
        contextlib.closing(server.session(name, user=agent, password=agent)) as reader,
    ):
        said(holder, "BEGIN")
        said(holder, "INSERT INTO log VALUES ('never committed')")
        ran = shop.run(spared_users=(agent,))
        assert ran.result.outcome is Outcome.SUCCEEDED, ran
        assert ran.result.restore is not None
        assert ran.result.restore.lost_rows == 0
        assert said(reader, "SELECT count(*) FROM log") == [(2,)]
        for ended in (holder, idle):
            with pytest.raises(pymysql.OperationalError):
                said(ended, "SELECT 1")
    with server.superuser(mariadb_restores.kept(mariadb_database)) as connection:
        assert said(connection, "SELECT count(*) FROM log") == [(2,)]


def test_a_prepared_transaction_that_nobody_can_end_leaves_everything_as_it_was(shop, mariadb_database):
    """It holds its tables without a session: there is nobody to put out."""
    with mariadb_database.server.superuser(mariadb_database.name) as connection:
        said(connection, "XA START 'half a sale'")
        said(connection, "INSERT INTO customers VALUES (9, 'prepared')")
        said(connection, "XA END 'half a sale'")
        said(connection, "XA PREPARE 'half a sale'")
    try:
        ran = shop.run(accept_data_loss=True)
        assert (ran.result.reason, "XA RECOVER" in ran.result.message) == ("SessionStays", True), ran
        assert_alone(mariadb_database)
    finally:
        with mariadb_database.server.superuser() as connection:
            said(connection, "XA ROLLBACK 'half a sale'")
    assert shop.run(accept_data_loss=True).result.outcome is Outcome.SUCCEEDED
