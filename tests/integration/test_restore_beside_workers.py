"""The server's own processes that write with a user's rights: a fence ends them as it ends a client, and keeps them out."""

from __future__ import annotations

from pathlib import Path

import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from dbmigration_runner.engines import engine_for
from dbmigration_runner.engines import postgresql_fence as fences
from tests.integration import restores
from tests.integration.postgresql_server import CANARY, Database
from tests.integration.projects import wait_for
from tests.integration.test_backup_failures import extension

WORKERS = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'logical replication apply worker'"


@pytest.fixture
def source(postgres):
    """A database whose news another one subscribes to."""
    with postgres.superuser() as connection:
        connection.execute("CREATE DATABASE of_the_news")
    found = Database(postgres, "of_the_news")
    found.ask("CREATE TABLE news (id int PRIMARY KEY); CREATE PUBLICATION news FOR TABLE news")
    # The subscriber's own CREATE would wait for itself: both are databases of one server.
    found.ask("SELECT pg_create_logical_replication_slot('news', 'pgoutput')")
    with postgres.superuser() as connection:
        # A worker that was ended is started again after that.
        connection.execute("ALTER SYSTEM SET wal_retrieve_retry_interval = '300ms'")
        connection.execute("SELECT pg_reload_conf()")
    yield found
    with postgres.superuser() as connection:
        connection.execute("ALTER SYSTEM RESET wal_retrieve_retry_interval")
        connection.execute("SELECT pg_reload_conf()")
        connection.execute("DROP DATABASE of_the_news WITH (FORCE)")


@pytest.fixture
def subscriber(database, source):
    """It has a background worker that writes, with a user's rights, whatever it is sent."""
    where = {"host": "127.0.0.1", "port": source.server.port, "user": "postgres", "password": CANARY}
    address = sql.Literal(make_conninfo(dbname=source.name, **where))
    database.ask("CREATE TABLE news (id int PRIMARY KEY)")
    with database.server.superuser(database.name) as connection:
        connection.execute(
            sql.SQL(
                "CREATE SUBSCRIPTION of_the_news CONNECTION {} PUBLICATION news"
                " WITH (create_slot = false, slot_name = 'news', copy_data = false)"
            ).format(address)
        )
    wait_for(lambda: database.ask(WORKERS))
    yield database
    database.ask("DROP SUBSCRIPTION of_the_news")


def heard(database):
    return database.ask("SELECT count(*) FROM news")[0][0]


def test_a_background_worker_writes_nothing_behind_the_fence(subscriber, source):
    """It is no client, and an order to connect no more does not end it: what it wrote after the comparison would be lost."""
    home = engine_for(subscriber.server.url("postgres", user="postgres")).url
    source.ask("INSERT INTO news VALUES (1)")
    wait_for(lambda: heard(subscriber) == 1)
    with (
        fences.desk_for(home, subscriber.name, "dbmigration/test") as desk,
        subscriber.server.superuser(subscriber.name) as ours,
    ):
        found = fences.find(desk, subscriber.name)
        but = frozenset({ours.info.backend_pid})
        fences.shut(desk, subscriber.name, "test")
        try:
            ended = fences.expel(desk, found.oid, but=but, spared=(), everybody=False, alive=lambda: None)
            assert len(ended) == 1, ended
            source.ask("INSERT INTO news VALUES (2)")
            refused = f'FATAL:  database "{subscriber.name}" is not currently accepting connections'
            log = Path(ours.execute("SHOW data_directory").fetchone()[0]).with_name("log")
            wait_for(lambda: refused.encode() in log.read_bytes())  # the server starts it again
            assert ours.execute(WORKERS).fetchall() == []
            assert ours.execute("SELECT count(*) FROM news").fetchone() == (1,)
        finally:
            fences.lift(desk, subscriber.name)
    wait_for(lambda: heard(subscriber) == 2)


def test_an_extension_of_one_database_alone_is_named_and_the_restore_is_not_tried_again(database, tmp_path):
    """So is pg_cron, whose jobs lie in the one database that it is set to: no copy beside that one can have it."""
    with extension(database, "RAISE 'can only create extension in database shop'", "dbmigration_%"):
        shop = restores.shop(database, tmp_path)
        ran = shop.run(accept_data_loss=True)
        assert (ran.result.reason, "database shop" in ran.result.message) == ("RestoreNotPossible", True), ran
        assert set(restores.databases(database)) == {database.name}
        assert database.ask("SELECT count(*) FROM sales.orders") == [(5000,)]
