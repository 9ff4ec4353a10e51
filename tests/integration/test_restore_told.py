"""What a restore tells of what it cannot keep anybody from, and of what it undoes that is no row."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg
import pytest

from dbmigration_runner.contract.result import Outcome
from dbmigration_runner.contract.task import OrderedBy
from tests.integration import mariadb_restores, restores
from tests.integration.mariadb_server import said
from tests.integration.postgresql_server import CANARY, _die_with_parent
from tests.integration.restores import stopped
from tests.integration.test_restore_refused import address

AS_ITS_PRIMARY = {"max_connections": 60, "max_prepared_transactions": 5}  # or it does not start


@pytest.fixture
def shop(database, tmp_path):
    yield restores.shop(database, tmp_path)
    restores.forget(database)


@pytest.fixture
def intern(database):
    with database.server.superuser() as connection:
        connection.execute("CREATE ROLE intern")
    yield "intern"
    restores.forget(database)
    database.ask("DROP OWNED BY intern")
    with database.server.superuser() as connection:
        connection.execute("DROP ROLE intern")


@pytest.fixture
def standby(postgres):
    """A physical one of the tests' server; its port."""
    home = Path(tempfile.mkdtemp(prefix="dbmigration-standby-"))
    user = {"user": 65534, "group": 65534} if os.geteuid() == 0 else {}
    if user:
        os.chown(home, 65534, 65534)
    copy = [*(postgres.binaries / "pg_basebackup", "-h", "127.0.0.1", "-p", str(postgres.port), "-U", "postgres")]
    subprocess.run(
        [*copy, "-D", home / "data", "-R", "-c", "fast"], env={**os.environ, "PGPASSWORD": CANARY}, check=True, **user
    )
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = {"port": port, "listen_addresses": "127.0.0.1", "unix_socket_directories": ""} | AS_ITS_PRIMARY
    program = [postgres.binaries / "postgres", "-D", home / "data"]
    program += [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            program,
            stdout=log,
            stderr=log,
            preexec_fn=_die_with_parent,  # noqa: PLW1509  # one call of prctl; see postgresql_server.py
            **user,
        )
    yield port
    process.terminate()
    process.wait(30)
    shutil.rmtree(home, ignore_errors=True)


def test_who_was_in_a_database_that_had_been_drained_is_named(shop, database):
    with psycopg.connect(**address(database, "postgres"), autocommit=True, application_name="billing") as billing:
        billing.execute("INSERT INTO sales.orders VALUES (9999, 'acknowledged')")
        result = shop.run(nothing_written=True).result
    assert result.outcome is Outcome.SUCCEEDED
    (told,) = [warning for warning in result.warnings if "billing of postgres" in warning]
    assert f"was not looked for; it is in {restores.kept(database)}" in told


def test_the_same_on_mariadb(mariadb_database, tmp_path):
    shop = mariadb_restores.shop(mariadb_database, tmp_path)
    with mariadb_database.server.superuser() as connection:
        said(connection, f"USE `{mariadb_database.name}`")
        said(connection, "INSERT INTO customers VALUES (777, 'paid order')")
        result = shop.run(nothing_written=True).result
    mariadb_restores.forget(mariadb_database)
    assert result.outcome is Outcome.SUCCEEDED, result
    assert any("was not looked for; it is in" in warning and "of root" in warning for warning in result.warnings)


def test_rights_and_policies_that_come_back_are_named(database, intern, tmp_path):
    database.ask(
        f"SET ROLE shop; CREATE TABLE payroll (id int PRIMARY KEY); GRANT SELECT ON payroll TO {intern};"
        " CREATE TABLE seen (id int); CREATE TABLE same (id int); GRANT SELECT ON same TO PUBLIC"
    )
    back = restores.shop(database, tmp_path)
    database.ask(
        f"REVOKE SELECT ON payroll FROM {intern}; ALTER TABLE seen ENABLE ROW LEVEL SECURITY; CREATE FUNCTION hotfix()"
        " RETURNS int LANGUAGE sql RETURN 1; REVOKE SELECT ON same FROM PUBLIC; GRANT SELECT ON same TO PUBLIC"
    )
    result = back.run(by=OrderedBy("back", "1:abc", ("a2",))).result
    assert result.outcome is Outcome.SUCCEEDED, result
    told = (
        "Rights or policies were changed since the backup, and are as they were then: on public.payroll, public.seen."
    )
    assert told in result.warnings
    assert any("The schema is the backup's again" in warning and "hotfix()" in warning for warning in result.warnings)


def test_who_reads_on_a_standby_is_to_connect_again(shop, database, standby):
    where = {**address(database, "postgres"), "port": standby, "autocommit": True}
    until = time.monotonic() + 60
    while True:
        try:
            reader = psycopg.connect(**where)
            break
        except psycopg.OperationalError:
            assert time.monotonic() < until
            time.sleep(0.2)
    restores.migrate(database)
    with reader:
        result = shop.run(nothing_written=True).result
        assert result.outcome is Outcome.SUCCEEDED
        assert any("on a standby go on reading the replaced database" in warning for warning in result.warnings)


def test_a_database_that_cannot_be_opened_again_is_said_to_be_closed(database, tmp_path):
    """The role was locked out within the fence."""
    with database.server.superuser() as connection:
        connection.execute("ALTER ROLE shop CREATEDB")
    back = restores.shop(database, tmp_path, as_shop=True)
    running = back.start(fails_at="stage:fenced", signal="SIGSTOP")
    with stopped(running), database.server.superuser() as connection:
        connection.execute("ALTER ROLE shop NOLOGIN")
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'shop'")
    result = running.wait().result
    with database.server.superuser() as connection:
        connection.execute("ALTER ROLE shop LOGIN NOCREATEDB")
        connection.execute(f'ALTER DATABASE "{database.name}" ALLOW_CONNECTIONS true')
    restores.forget(database)
    assert (result.outcome, result.changed) == (Outcome.FAILED, False)
    assert result.message.startswith("The database is still closed to everybody")
