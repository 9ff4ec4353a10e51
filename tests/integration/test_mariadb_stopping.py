"""However a step on MariaDB is ended, the server's work ends with it and a report says where the database is."""

from __future__ import annotations

import signal

import psutil
import pytest

from tests.integration.mariadb_server import WORK, said
from tests.integration.projects import create, wait_for

DRIVERS = {"mysql+pymysql": "url_in_the_ini", "mariadb+asyncmy": "asynchronous", "mysql+aiomysql": "asynchronous"}


@pytest.fixture
def worker(project, mariadb_database):
    """The second of its revisions works for long."""

    def make(driver="mysql+pymysql"):
        shop = project(DRIVERS[driver], mariadb_database.server.url(mariadb_database.name, driver=driver))
        shop.revision("a1", None, create("t1"))
        shop.revision("a2", "a1", f'op.execute("{WORK}")')
        return shop

    return make


@pytest.mark.parametrize("driver", DRIVERS)
def test_sigterm_cancels_the_statement_looks_and_reports(worker, mariadb_database, driver):
    running = worker(driver).start("migrate")
    wait_for(mariadb_database.at_work)
    running.process.send_signal(signal.SIGTERM)
    result = running.wait(25).result
    assert (result.reason, result.heads, result.changed) == ("Cancelled", ("a1",), True), result.message
    assert (result.migrate.applied, result.migrate.failed_revision, result.migrate.torn) == (("a1",), "a2", False)
    assert mariadb_database.at_work() == []


def test_the_time_limit_ends_a_migration_like_a_signal(worker, mariadb_database):
    result = worker().run("migrate", timeout_seconds=5).result
    assert (result.reason, result.heads) == ("TimedOut", ("a1",))
    assert mariadb_database.at_work() == []


def test_a_killed_child_is_reported_after_its_session_is_gone(worker, mariadb_database):
    """The server would let the statement run to its end; what it changes then no report would know of."""
    running = worker().start("migrate")
    wait_for(mariadb_database.at_work)
    (child,) = psutil.Process(running.process.pid).children()
    child.send_signal(signal.SIGKILL)
    result = running.wait(40).result
    assert (result.reason, result.heads) == ("EnvironmentExited", ("a1",)), result.message
    assert mariadb_database.at_work() == []


def making_a_table(project, database, definer):
    """A revision whose one statement makes a table and works for long, in a function of this user's."""
    shop = project("url_in_the_ini", database.url)
    shop.revision("a1", None, create("t1"), 'op.execute("INSERT INTO t1 VALUES (1)")')
    shop.run("migrate")
    with database.server.session(database.name, user=definer) as session:
        said(session, "CREATE FUNCTION slow() RETURNS int DETERMINISTIC RETURN BENCHMARK(60000000, MD5(1))")
    shop.revision("a2", "a1", 'op.execute("CREATE TABLE half AS SELECT id, slow() AS x FROM t1")')
    running = shop.start("migrate")
    wait_for(lambda: database.ask("SELECT id FROM information_schema.PROCESSLIST WHERE INFO LIKE 'CREATE TABLE half%'"))
    return running


def test_a_table_whose_making_is_cancelled_is_not_there(project, mariadb_database):
    running = making_a_table(project, mariadb_database, "shop")
    running.process.send_signal(signal.SIGTERM)
    result = running.wait(25).result
    assert (result.reason, result.heads, result.changed) == ("Cancelled", ("a1",), False), result.message
    assert (result.migrate.torn, result.migrate.ran) == (False, ())
    assert "half" not in mariadb_database.tables()


def test_what_a_session_that_cannot_be_ended_will_make_is_not_said_to_be_nothing(project, mariadb_database):
    """Within a routine it counts as its definer's: only he, or who may KILL others, ends it. It goes on to make the table."""
    running = making_a_table(project, mariadb_database, "root")
    running.process.send_signal(signal.SIGTERM)
    result = running.wait(120).result
    assert result.reason == "Cancelled"
    assert result.changed is not False


def test_a_revision_that_ignores_its_cancelled_statement_gets_no_further(project, mariadb_database):
    mariadb_database.ask("CREATE TABLE tries (id int)")
    shop = project("url_in_the_ini", mariadb_database.url)
    shop.revision(
        "a1",
        None,
        "for _ in range(100):",
        "    try:",
        "        with op.get_context().autocommit_block():",
        '            op.execute("INSERT INTO tries VALUES (1)")',
        f'            op.execute("{WORK}")',
        "    except Exception:",
        "        pass",
    )
    running = shop.start("migrate")
    wait_for(mariadb_database.at_work)
    running.process.send_signal(signal.SIGTERM)
    result = running.wait(40).result
    assert (result.reason, result.changed) == ("MigrationFailed", True)  # for its row stays
    assert mariadb_database.at_work() == []
    assert mariadb_database.ask("SELECT count(*) FROM tries") == [(1,)]


def test_a_plan_that_is_cancelled_ends_its_statement_on_the_server(project, mariadb_database):
    shop = project("url_in_the_ini", mariadb_database.url)
    shop.three_revisions()
    env = shop.path / "migrations/env.py"
    env.write_text(
        env.read_text().replace(
            "context.configure(connection=connection)",
            f"connection.exec_driver_sql('{WORK}'); context.configure(connection=connection)",
        )
    )
    running = shop.start("plan")
    wait_for(mariadb_database.at_work)
    running.process.send_signal(signal.SIGTERM)
    assert running.wait(20).result.reason == "Cancelled"
    assert mariadb_database.at_work() == []
