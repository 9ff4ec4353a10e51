"""A restore that cannot be done says why, and leaves everything as it was: the database, the writers, the server."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

import psycopg
import pytest

from dbmigration_runner.checks.manifest import SUFFIX
from dbmigration_runner.contract.result import Outcome
from tests.integration import restores
from tests.integration.backups import drop
from tests.integration.postgresql_server import CANARY, running_server


@pytest.fixture
def shop(database, tmp_path):
    yield restores.shop(database, tmp_path)
    restores.forget(database)


@pytest.fixture
def owned(database, tmp_path):
    """The owner may create databases, and there is no administrator."""
    with database.server.superuser() as connection:
        connection.execute("ALTER ROLE shop CREATEDB")
    yield restores.shop(database, tmp_path, as_shop=True)
    restores.forget(database)
    with database.server.superuser() as connection:
        connection.execute("ALTER ROLE shop NOCREATEDB")


def assert_untouched(database):
    """Open, whole, alone, and written to as before."""
    assert set(restores.databases(database)) == {database.name}
    database.ask("SET ROLE shop; INSERT INTO sales.orders VALUES (9999); DELETE FROM sales.orders WHERE id = 9999")
    assert database.ask("SELECT count(*) FROM sales.orders") == [(5000,)]


def address(database, user="shop"):
    return {
        "host": "127.0.0.1",
        "port": database.server.port,
        "user": user,
        "password": CANARY,
        "dbname": database.name,
    }


def test_a_damaged_dump_is_refused_before_anything_is_made(shop, database):
    """pg_restore would find it out half-way, or, where no compression has a checksum, never."""
    (dump,) = [path for path in shop.backups.directory.iterdir() if not path.name.endswith(SUFFIX)]
    data = bytearray(dump.read_bytes())
    data[len(data) // 2] ^= 1
    dump.write_bytes(data)
    ran = shop.run(accept_data_loss=True)
    assert (ran.result.reason, ran.result.changed) == ("BackupCorrupt", False)
    assert not ran.events_called("restore-stage")
    assert_untouched(database)


@pytest.mark.parametrize("missing", ["", SUFFIX])
def test_a_dump_that_is_gone_is_said_to_be(shop, database, missing):
    for path in shop.backups.directory.iterdir():
        if path.name.endswith(SUFFIX) is bool(missing):
            path.unlink()
    assert shop.run().result.reason == "BackupNotFound"
    assert_untouched(database)


@pytest.mark.parametrize("backup", ["../backups/first", "second", ""])
def test_a_backup_of_another_name_is_not_found(shop, backup):
    assert shop.run(backup=backup).result.reason == "BackupNotFound"


def test_a_role_that_may_not_create_databases_is_told_before(database, tmp_path):
    shop = restores.shop(database, tmp_path, as_shop=True)
    ran = shop.run()
    assert ran.result.reason == "RestoreNotPossible", ran
    assert "CREATEDB" in ran.result.message
    assert_untouched(database)


def test_a_role_that_does_not_own_the_database_is_told_before(owned, database):
    database.ask(f"ALTER DATABASE {database.name} OWNER TO postgres")
    ran = owned.run()
    assert ran.result.reason == "RestoreNotPossible", ran
    assert "own" in ran.result.message


def test_an_owner_of_the_database_who_is_gone_is_named(database, tmp_path):
    with database.server.superuser() as connection:
        connection.execute(f"CREATE ROLE gone; GRANT gone TO shop; ALTER DATABASE {database.name} OWNER TO gone")
    shop = restores.shop(database, tmp_path)
    with database.server.superuser() as connection:
        connection.execute(f"ALTER DATABASE {database.name} OWNER TO shop; DROP ROLE gone")
    ran = shop.run()
    assert (ran.result.reason, "gone" in ran.result.message) == ("RestoreNotPossible", True), ran
    assert_untouched(database)


def test_a_prepared_transaction_is_named(shop, database):
    """It would forbid the exchange of names, after the whole restore and within the fence."""
    gid = f"half a sale in {database.name}"
    with psycopg.connect(**address(database), autocommit=True) as connection:
        for statement in ("BEGIN", "INSERT INTO log VALUES ('prepared')", f"PREPARE TRANSACTION '{gid}'"):
            connection.execute(statement)
    try:
        ran = shop.run()
        assert ran.result.reason == "RestoreNotPossible", ran
        assert gid in ran.result.message
    finally:
        database.ask(f"ROLLBACK PREPARED '{gid}'")
    assert_untouched(database)


def test_a_subscription_is_named(shop, database):
    """It would go on writing into the database that was replaced, and never into the one that took its place."""
    database.ask(
        "CREATE SUBSCRIPTION from_afar CONNECTION 'host=127.0.0.1 port=1' PUBLICATION news WITH (connect = false, slot_name = NONE)"
    )
    try:
        ran = shop.run()
        assert (ran.result.reason, "from_afar" in ran.result.message) == ("RestoreNotPossible", True), ran
    finally:
        database.ask("DROP SUBSCRIPTION from_afar")
    assert_untouched(database)


def test_a_name_that_is_taken_is_told_before(shop, database):
    with database.server.superuser() as connection:
        connection.execute(f'CREATE DATABASE "{restores.kept(database)}"')
    ran = shop.run()
    assert (ran.result.reason, restores.KEPT in ran.result.message) == ("RestoreNotPossible", True), ran
    drop(database.server, restores.kept(database))
    assert_untouched(database)


def test_a_session_that_we_may_not_end_lets_everybody_in_again(owned, database):
    """Left closed, the application would be out for as long as that session stays."""
    with psycopg.connect(**address(database, "postgres")):
        ran = owned.run()
        assert ran.result.reason == "SessionStays", ran
        assert "postgres (pid" in ran.result.message
        assert_untouched(database)


def test_a_named_agent_is_let_be_until_the_names_are_exchanged(shop, database):
    with database.server.superuser() as connection:
        connection.execute("DROP ROLE IF EXISTS agent; CREATE ROLE agent LOGIN SUPERUSER PASSWORD 'agent'")
    with psycopg.connect(**{**address(database, "agent"), "password": "agent"}, autocommit=True) as agent:
        restores.migrate(database)
        database.ask("INSERT INTO sales.orders (id) VALUES (9000)")
        assert shop.run(spared_users=("agent",)).result.reason == "RestoreNeedsAcknowledgement"
        assert agent.execute("SELECT 1").fetchone() == (1,)
        ran = shop.run(spared_users=("agent",), accept_data_loss=True)
        assert ran.result.outcome is Outcome.SUCCEEDED, ran
        with pytest.raises(psycopg.OperationalError):
            agent.execute("SELECT 1")
    with database.server.superuser() as connection:
        connection.execute("DROP ROLE agent")


def test_the_role_of_the_url_is_never_let_be(shop, database):
    """The application comes in by it: what it writes behind the comparison would be lost without being counted."""
    restores.migrate(database)
    database.ask("INSERT INTO sales.orders (id) VALUES (9000)")
    with psycopg.connect(**address(database), autocommit=True) as application:
        assert shop.run(spared_users=("shop",)).result.reason == "RestoreNeedsAcknowledgement"
        with pytest.raises(psycopg.OperationalError):
            application.execute("SELECT 1")


@pytest.fixture
def small_tablespace(postgres):
    """One database fits in, and not two."""
    user = 65534 if os.geteuid() == 0 else os.geteuid()
    folder = Path(tempfile.mkdtemp(prefix="dbmigration-tablespace-"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size=32m,mode=0700,uid={user}", "tmpfs", folder], check=True)
    with postgres.superuser() as connection:
        connection.execute(f"CREATE TABLESPACE small LOCATION '{folder}'")
    yield "small"
    with postgres.superuser() as connection:
        connection.execute("DROP TABLESPACE small")
    subprocess.run(["umount", folder], check=True)
    folder.rmdir()


def test_a_server_without_room_is_told_and_left_as_it_was(database, tmp_path, small_tablespace):
    with database.server.superuser() as connection:
        connection.execute(f"ALTER DATABASE {database.name} SET TABLESPACE {small_tablespace}")
    try:
        shop = restores.shop(database, tmp_path)
        database.ask("CREATE TABLE padding AS SELECT repeat(md5(i::text), 20) AS text FROM generate_series(1, 18000) i")
        shop = restores.Restores(shop.backups, shop.backups.take("second"))
        ran = shop.run(accept_data_loss=True)
        assert ran.result.reason == "DiskSpaceLow", ran
        assert_untouched(database)
    finally:
        with database.server.superuser() as connection:
            connection.execute(f"ALTER DATABASE {database.name} SET TABLESPACE pg_default")


def test_a_dump_that_does_not_restore_costs_the_application_nothing(database, tmp_path):
    """A CHECK that reads a table whose rows come later than those that it is for: seen with real schemas."""
    shop = restores.shop(database, tmp_path)
    database.ask(
        "CREATE TABLE limits (most int); INSERT INTO limits VALUES (10);"
        "CREATE FUNCTION within(n int) RETURNS boolean LANGUAGE sql AS 'SELECT EXISTS (SELECT FROM public.limits WHERE n <= most)';"
        "CREATE TABLE bounded (n int CHECK (within(n))); INSERT INTO bounded VALUES (7)"
    )
    shop = restores.Restores(shop.backups, shop.backups.take("second"))
    ran = shop.run(accept_data_loss=True)
    assert ran.result.reason == "RestoreFailed", ran
    assert "bounded" in ran.result.message
    assert [event["stage"] for event in ran.events_called("restore-stage")] == ["verified"]
    assert_untouched(database)


def test_a_transaction_pooler_in_front_is_no_hindrance_where_there_is_an_administrator(database, tmp_path, pooler):
    shop = restores.shop(database, tmp_path)
    port = pooler("transaction")
    pooled = shop.backups.url.replace(f":{database.server.port}/", f":{port}/")
    shop = restores.Restores(restores.Backups(pooled, shop.backups.directory, shop.backups.admin_url), shop.report)
    restores.migrate(database)
    with psycopg.connect(**{**address(database), "port": port}, autocommit=True) as application:
        application.execute("SELECT 1")
        ran = shop.run()
        assert ran.result.outcome is Outcome.SUCCEEDED, ran
        assert not ran.result.warnings, ran
    try:
        with psycopg.connect(**{**address(database), "port": port}, autocommit=True) as application:
            assert application.execute("SELECT version_num FROM alembic_version").fetchone() == ("a1",)
            assert application.execute("SHOW search_path").fetchone() == ('"$user", public',)
    finally:
        restores.forget(database)


def test_an_administrators_url_of_another_server_is_refused(shop, database, tmp_path):
    """Else another server's database of the same name would be replaced."""
    with running_server() as other:
        with other.superuser() as connection:
            connection.execute(f"CREATE DATABASE {database.name} OWNER shop")
        elsewhere = other.url("postgres", user="postgres")
        wrong = restores.Restores(restores.Backups(database.url, shop.backups.directory, elsewhere), shop.report)
        ran = wrong.run(accept_data_loss=True)
        assert ran.result.reason == "WrongDatabase", ran
    assert_untouched(database)
