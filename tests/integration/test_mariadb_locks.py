"""On MariaDB too: one migration at a time, nobody stalled for long, and what a commit hid is never run twice."""

from __future__ import annotations

import contextlib
import signal
import time
from threading import Thread

import pymysql
import pytest

from dbmigration_runner.contract.task import LockBudget, RunIdentity
from dbmigration_runner.engines import engine_for
from dbmigration_runner.engines.mysql_names import guest_locks, owner_lock, run_lock
from dbmigration_runner.errors import Stopped
from dbmigration_runner.step import application_name
from tests.integration.mariadb_server import WORK, said
from tests.integration.projects import create, wait_for
from tests.sampling import some

QUICK = LockBudget(timeout_milliseconds=100, retry_for_seconds=4, grace_seconds=1)
ADD_A_COLUMN = 'op.add_column("t1", sa.Column("x", sa.Integer))'
AT_THE_TABLE = (
    "SELECT id FROM information_schema.PROCESSLIST WHERE INFO LIKE 'ALTER TABLE t1%' OR INFO LIKE 'UPDATE t1%'"
)
WAITING = "SELECT 1 FROM information_schema.PROCESSLIST WHERE STATE = 'Waiting for table metadata lock'"


@contextlib.contextmanager
def reading(database):
    """Somebody reads t1 in a transaction: who wants to alter it waits. Gives the reader's session."""
    with database.server.superuser(database.name) as reader:
        said(reader, "BEGIN")
        said(reader, "SELECT * FROM t1")
        yield reader


@contextlib.contextmanager
def changing_a_row(database):
    """Somebody holds the one row of t1."""
    database.ask("INSERT INTO t1 VALUES (1)")
    with database.server.superuser(database.name) as writer:
        said(writer, "BEGIN")
        said(writer, "UPDATE t1 SET id = 3")
        yield


CHANGE_THE_ROW = 'op.execute("UPDATE t1 SET id = 2")'


@contextlib.contextmanager
def holding(database, *names, user="root"):
    """Somebody holds these locks; gives the session."""
    session = database.server.session(database.name, user=user)
    try:
        for name in names:
            assert said(session, f"SELECT GET_LOCK('{name}', 0)") == [(1,)]
        yield session
    finally:
        if session.open:
            session.close()


@pytest.fixture
def shop(project, mariadb_database):
    """One table is there, and the next revision alters it."""
    shop = project("url_in_the_ini", mariadb_database.url)
    shop.revision("a1", None, create("t1"), create("sales"))
    shop.run("migrate")
    shop.revision("a2", "a1", ADD_A_COLUMN)
    return shop


def test_a_database_that_another_migration_holds_is_left_alone_and_the_holder_named(shop, mariadb_database):
    with holding(mariadb_database, run_lock(mariadb_database.name), user="shop") as other:
        ran = shop.run("migrate", locks=QUICK)
        look = shop.run("look", locks=QUICK)
        assert said(other, "SELECT 1") == [(1,)]
    assert (ran.result.reason, ran.result.changed) == ("LockHeld", False)
    assert f"session {other.thread_id()} of shop@127.0.0.1" in ran.result.message
    assert look.result.reason == "LockHeld"


def test_a_lock_that_is_given_back_in_time_is_taken(shop, mariadb_database):
    with holding(mariadb_database, run_lock(mariadb_database.name)):
        running = shop.start("migrate", locks=LockBudget(grace_seconds=30))
        time.sleep(2)
    assert running.wait().result.heads == ("a2",)


def test_the_lock_of_an_earlier_attempt_of_the_same_run_is_ended_once(shop, mariadb_database):
    ours = application_name(RunIdentity("shops", "shop", "0123", 7, 1))
    names = (owner_lock(mariadb_database.name, ours), run_lock(mariadb_database.name))
    with holding(mariadb_database, *names, user="shop") as earlier:
        result = shop.run("migrate", locks=QUICK).result
        with pytest.raises(pymysql.OperationalError):
            said(earlier, "SELECT 1")
    assert result.heads == ("a2",)


def test_a_lock_in_another_database_of_the_server_is_in_nobodys_way(shop, mariadb_database):
    with holding(mariadb_database, run_lock("another")):
        assert shop.run("migrate", locks=QUICK).result.heads == ("a2",)


def test_a_session_left_over_from_an_earlier_attempt_is_ended_after_the_grace_period(shop, mariadb_database):
    with holding(mariadb_database, user="shop") as zombie:
        said(zombie, f"SELECT GET_LOCK('{guest_locks(mariadb_database.name)[4]}', 0)")
        result = shop.run("migrate", locks=QUICK).result
        with pytest.raises(pymysql.OperationalError):
            said(zombie, "SELECT 1")
    assert result.heads == ("a2",)
    assert any(f"pid {zombie.thread_id()}" in warning for warning in result.warnings)


def test_what_a_killed_runner_left_at_work_is_waited_for(project, mariadb_database):
    """The server does not notice that the client of an ALTER is gone before it is done."""
    shop = project("url_in_the_ini", mariadb_database.url)
    shop.revision("a1", None, f'op.execute("{WORK}")')
    running = shop.start("migrate")
    wait_for(mariadb_database.at_work)
    running.process.kill()
    running.process.communicate()
    assert mariadb_database.at_work()
    shop.revision("a1", None, create("t1"))
    result = shop.run("migrate", locks=QUICK).result
    assert (result.heads, mariadb_database.at_work()) == (("a1",), [])
    assert any("left over from an earlier attempt" in warning for warning in result.warnings)


def test_a_short_lock_timeout_is_tried_again_until_the_lock_is_free(shop, mariadb_database):
    with reading(mariadb_database) as reader:
        running = shop.start("migrate", locks=LockBudget(timeout_milliseconds=100, retry_for_seconds=60))
        wait_for(lambda: mariadb_database.ask(WAITING))
        time.sleep(1.5)
        said(reader, "COMMIT")
    ran = running.wait()
    assert (ran.result.outcome.value, ran.result.heads) == ("Succeeded", ("a2",)), ran.result.message
    assert ran.result.migrate.lock_waits >= 1
    assert "a2 waits for a lock, tried once, for up to 60 s: ALTER TABLE t1 ADD COLUMN x INTEGER" in ran.told_on_the_way


def test_an_exhausted_lock_budget_changed_nothing_and_says_so(shop, mariadb_database):
    """Revisions begin with reading: a transaction that only read commits nothing of itself."""
    shop.revision("a2", "a1", 'op.get_bind().execute(sa.text("SELECT * FROM t1"))', ADD_A_COLUMN)
    with reading(mariadb_database):
        result = shop.run("migrate", locks=QUICK).result
    assert (result.reason, result.changed, result.heads) == ("LockBudgetExhausted", False, ("a1",)), result.message
    assert result.migrate.lock_waits >= 2
    assert not result.migrate.torn


def test_a_lock_of_a_row_is_one_too(shop, mariadb_database):
    shop.revision("a2", "a1", CHANGE_THE_ROW)
    with changing_a_row(mariadb_database):
        result = shop.run("migrate", locks=QUICK).result
    assert (result.reason, result.changed) == ("LockBudgetExhausted", False), result.message


def test_a_lock_timeout_after_a_revision_of_the_same_run_is_tried_again_from_there(shop, mariadb_database):
    shop.revision("a2", "a1", create("t2"))
    shop.revision("a3", "a2", ADD_A_COLUMN)
    with reading(mariadb_database) as reader:
        locks = LockBudget(timeout_milliseconds=100, retry_for_seconds=60)
        running = shop.start("migrate", locks=locks, expected=shop.planned())
        wait_for(lambda: mariadb_database.ask(WAITING))
        time.sleep(1.5)
        said(reader, "COMMIT")
    result = running.wait().result
    assert (result.outcome.value, result.heads, result.migrate.applied) == ("Succeeded", ("a3",), ("a2", "a3"))
    assert result.migrate.lock_waits >= 1


BEHIND_A_COMMIT = {
    "a change of the schema": (create("half"), ADD_A_COLUMN),
    "a change of the schema behind a row": ('op.execute("INSERT INTO sales VALUES (NULL)")', ADD_A_COLUMN),
    "a row": (create("half"), 'op.execute("UPDATE t1 SET id = 7")'),
    "a change as it is written": (create("half"), 'op.get_bind().exec_driver_sql("ALTER TABLE t1 ADD x int")'),
}


@pytest.mark.parametrize("lines", BEHIND_A_COMMIT.values(), ids=BEHIND_A_COMMIT)
@pytest.mark.parametrize("driver", ["mysql+pymysql", "mysql+asyncmy"])
def test_behind_what_is_committed_the_statement_is_tried_again_and_not_the_revision(
    project, mariadb_database, lines, driver
):
    """The revision would be torn for a reader's sake."""
    environment = "asynchronous" if "async" in driver else "url_in_the_ini"
    shop = project(environment, mariadb_database.server.url(mariadb_database.name, driver=driver))
    shop.revision("a1", None, create("t1"), create("sales"))
    shop.run("migrate")
    mariadb_database.ask("INSERT INTO t1 VALUES (1)")
    shop.revision("a2", "a1", *lines)
    with mariadb_database.server.superuser(mariadb_database.name) as reader:
        said(reader, "BEGIN")
        said(reader, "SELECT * FROM t1 FOR UPDATE")
        running = shop.start("migrate", locks=LockBudget(timeout_milliseconds=100, retry_for_seconds=60))
        wait_for(lambda: mariadb_database.ask(AT_THE_TABLE))
        time.sleep(1.5)
        said(reader, "COMMIT")
    ran = running.wait()
    assert (ran.result.outcome.value, ran.result.heads) == ("Succeeded", ("a2",)), ran.result.message
    assert ran.result.migrate.lock_waits >= 1
    assert ran.events_called("lock-timeout")[0]["statement"].startswith(("ALTER TABLE t1 ADD", "UPDATE t1 SET id = ?"))
    waiting, granted = ran.told_on_the_way[-3:-1]
    assert waiting.startswith("a2 waits for a lock, tried ")
    assert granted == "a2 is running"
    assert mariadb_database.ask("SELECT count(*) FROM sales") in ([(0,)], [(1,)])


def test_a_budget_that_ends_behind_what_is_committed_ends_in_a_torn_revision(shop, mariadb_database):
    shop.revision("a2", "a1", create("half"), ADD_A_COLUMN)
    with reading(mariadb_database):
        result = shop.run("migrate", locks=QUICK).result
    assert (result.reason, result.migrate.torn, len(result.migrate.ran)) == ("MigrationFailed", True, 1)
    assert result.migrate.lock_waits >= 1


def test_a_stop_between_two_tries_of_a_statement_is_obeyed(shop, mariadb_database):
    shop.revision("a2", "a1", create("half"), ADD_A_COLUMN)
    with reading(mariadb_database):
        running = shop.start("migrate", locks=LockBudget(timeout_milliseconds=100, retry_for_seconds=600))
        wait_for(lambda: "half" in mariadb_database.tables())
        time.sleep(2)
        running.process.send_signal(signal.SIGTERM)
        result = running.wait(25).result
    assert (result.reason, result.migrate.torn) == ("MigrationFailed", True), result.message


INSERT = "INSERT INTO sales VALUES (NULL)"
HIDDEN_COMMITS = {
    "a change of the schema before it": (
        f'op.execute("{INSERT}")',
        'op.execute("CREATE TABLE IF NOT EXISTS t1 (id int)")',
    ),
    "a statement behind a comment": (f'op.execute("{INSERT}")', 'op.execute("/* now */ COMMIT")'),
    "a comment that the server executes": (f'op.execute("{INSERT}")', 'op.execute("/*!50000 COMMIT */")'),
    "a procedure": ('op.execute("CALL add_a_row()")',),
    "a statement within a statement": (f'op.execute("{INSERT}")', "op.execute(\"EXECUTE IMMEDIATE 'COMMIT'\")"),
    "the start of another transaction": (f'op.execute("{INSERT}")', 'op.execute("START TRANSACTION")'),
    "a setting": (f'op.execute("{INSERT}")', 'op.execute("SET autocommit = 1")', 'op.execute("SET autocommit = 0")'),
    "a function, in autocommit": ("with op.get_context().autocommit_block():", '    op.execute("SELECT add_one()")'),
    "the connection's own": (f'op.execute("{INSERT}")', "op.get_bind().commit()"),
}


@pytest.mark.parametrize("hidden", some(tuple(HIDDEN_COMMITS), 4))
def test_a_commit_that_a_statement_hides_is_seen_and_the_revision_not_run_again(shop, mariadb_database, hidden):
    """Each further try would leave its row once more, and the last one could even succeed."""
    lines = HIDDEN_COMMITS[hidden]
    mariadb_database.ask("CREATE PROCEDURE add_a_row() BEGIN INSERT INTO sales VALUES (NULL); COMMIT; END")
    mariadb_database.ask(
        "CREATE FUNCTION add_one() RETURNS int MODIFIES SQL DATA BEGIN INSERT INTO sales VALUES (NULL); RETURN 1; END"
    )
    shop.revision("a2", "a1", *lines, CHANGE_THE_ROW)
    with changing_a_row(mariadb_database):
        result = shop.run("migrate", locks=QUICK).result
    assert (result.reason, result.changed, result.migrate.torn) == ("MigrationFailed", True, True), result.message
    assert mariadb_database.ask("SELECT count(*) FROM sales") == [(1,)]


@pytest.mark.parametrize(
    "line",
    [f'op.execute("{INSERT}")', f"op.get_bind().connection.cursor().execute('{INSERT}')"],
    ids=["by SQLAlchemy", "by a cursor of the driver's"],
)
def test_a_row_that_the_failing_change_of_the_schema_committed_is_not_written_again(shop, mariadb_database, line):
    shop.revision("a2", "a1", line, ADD_A_COLUMN)
    with reading(mariadb_database):
        result = shop.run("migrate", locks=QUICK).result
    assert (result.reason, result.changed, result.migrate.torn) == ("MigrationFailed", True, True), result.message
    assert mariadb_database.ask("SELECT count(*) FROM sales") == [(1,)]


def test_a_row_in_a_table_without_transactions_is_not_written_again(shop, mariadb_database):
    mariadb_database.ask("CREATE TABLE visits (id int) ENGINE=MyISAM")
    shop.revision("a2", "a1", 'op.execute("INSERT INTO visits VALUES (1)")', CHANGE_THE_ROW)
    with changing_a_row(mariadb_database):
        result = shop.run("migrate", locks=QUICK).result
    assert (result.reason, result.changed) == ("MigrationFailed", True)
    assert result.migrate.ran == ("INSERT INTO visits VALUES (?)",)
    assert mariadb_database.ask("SELECT count(*) FROM visits") == [(1,)]


def test_a_rolled_back_row_does_not_cost_the_further_tries(shop, mariadb_database):
    shop.revision(
        "a2",
        "a1",
        "try:",
        "    with op.get_bind().begin_nested():",
        f'        op.execute("{INSERT}")',
        '        raise RuntimeError("never mind")',
        "except RuntimeError:",
        "    pass",
        "op.execute(\"SELECT 'COMMIT'\")",
        CHANGE_THE_ROW,
    )
    with changing_a_row(mariadb_database):
        result = shop.run("migrate", locks=QUICK).result
    assert (result.reason, result.changed) == ("LockBudgetExhausted", False), result.message


def said_until_killed(session, statement):
    with contextlib.suppress(pymysql.Error):
        said(session, statement)


@pytest.mark.parametrize("kind", ["plan", "migrate"])
def test_a_table_that_somebody_keeps_to_himself_is_not_waited_for_before_anything_is_begun(
    shop, mariadb_database, kind
):
    """Not even its name is shown to others while it is made."""
    with mariadb_database.server.superuser(mariadb_database.name) as maker:
        number = maker.thread_id()
        making = Thread(target=said_until_killed, args=(maker, f"CREATE TABLE big AS {WORK}"))
        making.start()
        wait_for(mariadb_database.at_work)
        result = shop.run(kind).result
        mariadb_database.ask(f"KILL {number}")
        making.join()
    assert (result.outcome.value, result.reason, result.changed) == ("Failed", "LockHeld", False), result.message
    assert shop.run(kind).result.outcome.value == "Succeeded"


def test_a_lost_lock_session_stops_the_migration(project, mariadb_database):
    shop = project("url_in_the_ini", mariadb_database.url)
    shop.revision("a1", None, f'op.execute("{WORK}")')
    running = shop.start("migrate")
    wait_for(mariadb_database.at_work)
    ((number,),) = mariadb_database.ask(f"SELECT IS_USED_LOCK('{run_lock(mariadb_database.name)}')")
    mariadb_database.ask(f"KILL {number}")
    result = running.wait(40).result
    assert (result.reason, result.heads) == ("LockLost", ()), result.message
    assert mariadb_database.at_work() == []


def test_a_lock_that_is_no_longer_ours_is_noticed_though_its_session_lives(mariadb_database):
    lock = engine_for(mariadb_database.url).lock(exclusive=True, should_stop=lambda: None, wait_seconds=0)
    lock.check()
    lock._session.value("SELECT RELEASE_ALL_LOCKS()")  # noqa: SLF001  # nobody else can give them back
    with pytest.raises(Stopped, match="no longer ours"):
        lock.check()
    lock.release()


def test_a_step_that_waits_for_the_lock_can_be_cancelled(shop, mariadb_database):
    name = run_lock(mariadb_database.name)
    owner = owner_lock(mariadb_database.name, application_name(RunIdentity("shops", "shop", "0123", 7, 1)))
    with holding(mariadb_database, name):
        running = shop.start("migrate")
        wait_for(lambda: mariadb_database.ask(f"SELECT IS_USED_LOCK('{owner}')") != [(None,)])
        running.process.send_signal(signal.SIGTERM)
        result = running.wait(20).result
    assert (result.reason, result.changed) == ("Cancelled", False)
