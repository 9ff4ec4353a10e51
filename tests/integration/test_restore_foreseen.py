"""What forbids a restore is told by the plan of a run that relies on one, and asked for again when nobody is in the database."""

from __future__ import annotations

import psycopg
import pytest

from dbmigration_runner.contract.result import Outcome
from dbmigration_runner.contract.task import Policy
from tests.integration import restores
from tests.integration.postgresql_server import CANARY
from tests.integration.test_restore_killed import is_fenced, stopped

SUBSCRIBE = "CREATE SUBSCRIPTION from_afar CONNECTION 'host=127.0.0.1 port=1' PUBLICATION news WITH (connect = false, slot_name = NONE)"


@pytest.fixture
def app(project, database):
    made = project("url_in_the_ini", database.url)
    made.three_revisions()
    return made


@pytest.fixture
def shop(database, tmp_path):
    yield restores.shop(database, tmp_path)
    restores.forget(database)


def test_a_right_that_a_restore_would_miss_is_told_by_the_plan(app, database):
    """Else the run would take the backup, perhaps for hours, before it is refused."""
    ran = app.run("plan", policy=Policy(needs_restore=True))
    assert (ran.result.outcome, ran.result.reason) == (Outcome.FAILED, "RestoreNotPossible"), ran
    assert "give the role CREATEDB, or set adminUrlFrom" in ran.result.message
    assert ran.result.changed is False
    with database.server.superuser() as connection:
        connection.execute("ALTER ROLE shop CREATEDB")
    try:
        assert app.run("plan", policy=Policy(needs_restore=True)).result.outcome is Outcome.SUCCEEDED
    finally:
        with database.server.superuser() as connection:
            connection.execute("ALTER ROLE shop NOCREATEDB")


@pytest.mark.parametrize("policy", [Policy(), Policy(needs_restore=True, administered=True)], ids=str)
def test_a_right_is_not_asked_for_where_nothing_or_another_role_restores(app, policy):
    assert app.run("plan", policy=policy).result.outcome is Outcome.SUCCEEDED


def test_where_nothing_is_pending_nothing_needs_a_way_back(app):
    assert app.run("migrate").code == 0
    assert app.run("plan", policy=Policy(needs_restore=True)).result.outcome is Outcome.SUCCEEDED


def test_a_logical_replication_slot_is_told_by_the_plan_and_by_a_restore(app, shop, database):
    """It would stay with the replaced database, and whoever reads from it would silently get nothing any more."""
    database.ask("SELECT pg_create_logical_replication_slot('change_capture', 'pgoutput')")
    try:
        for ran in (
            app.run("plan", policy=Policy(needs_restore=True, administered=True)),
            shop.run(accept_data_loss=True),
        ):
            assert (ran.result.reason, "change_capture" in ran.result.message) == ("RestoreNotPossible", True), ran
        assert_open_and_whole(database)
    finally:
        database.ask("SELECT pg_drop_replication_slot('change_capture')")
    assert shop.run(accept_data_loss=True).result.outcome is Outcome.SUCCEEDED


def test_a_subscription_is_told_by_the_plan_whoever_restores(app, database):
    database.ask(SUBSCRIBE)
    try:
        ran = app.run("plan", policy=Policy(needs_restore=True, administered=True))
        assert (ran.result.reason, "from_afar" in ran.result.message) == ("RestoreNotPossible", True), ran
    finally:
        database.ask("DROP SUBSCRIPTION from_afar")


def assert_open_and_whole(database):
    assert not is_fenced(database)
    assert database.ask("SELECT count(*) FROM sales.orders") == [(5000,)]
    assert restores.databases(database).keys() == {database.name}


def test_a_subscription_that_is_made_while_the_copy_is_filled_is_found(shop, database):
    """It would stay with the replaced database, and the one in its place would silently get nothing any more."""
    running = shop.start(fails_at="stage:restored", signal="SIGSTOP")
    with stopped(running):
        database.ask(SUBSCRIBE)
    try:
        ran = running.wait()
        assert (ran.result.reason, ran.result.changed) == ("RestoreNotPossible", False), ran
        assert "from_afar" in ran.result.message
        assert_open_and_whole(database)
    finally:
        database.ask("DROP SUBSCRIPTION IF EXISTS from_afar")


def test_one_that_a_spared_session_makes_within_the_fence_is_found_before_the_exchange(shop, database):
    address = {"host": "127.0.0.1", "port": database.server.port, "user": "postgres", "password": CANARY}
    with psycopg.connect(**address, dbname=database.name, autocommit=True) as agent:
        running = shop.start(fails_at="stage:compared", signal="SIGSTOP", spared_users=("postgres",))
        with stopped(running):
            agent.execute(SUBSCRIBE)
        try:
            ran = running.wait()
            assert (ran.result.reason, ran.result.changed) == ("RestoreNotPossible", False), ran
            assert "from_afar" in ran.result.message
            assert_open_and_whole(database)
        finally:
            database.ask("DROP SUBSCRIPTION IF EXISTS from_afar")
