"""One migration of a database at a time, and no statement of it that stalls the application for long."""

from __future__ import annotations

import fcntl
import re
import signal
import sqlite3
import time
from contextlib import contextmanager

import psycopg
import pytest
from psycopg import sql
from sqlalchemy.engine import make_url

from dbmigration_runner.contract.task import LockBudget, RunIdentity
from dbmigration_runner.engines import engine_for
from dbmigration_runner.engines.postgresql_names import GUEST_KEY, RUN_KEY
from dbmigration_runner.errors import SessionNotOpened
from dbmigration_runner.step import application_name
from tests.integration.projects import create, wait_for
from tests.sampling import some

QUICK = LockBudget(timeout_milliseconds=100, retry_for_seconds=3, grace_seconds=1)


@contextmanager
def reading(database):
    """Somebody reads t1 in a transaction: who wants to alter it waits. Gives the reader's session."""
    with database.server.superuser(database.name) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM t1")
        yield reader


def test_a_database_that_another_migration_holds_is_left_alone_and_the_holder_named(project, database):
    shop = project("url_in_the_ini", database.url)
    shop.three_revisions()
    with database.server.superuser(database.name) as other:
        other.execute("SET application_name = 'dbmigration/0a1b2c3d/3/shops/other'")
        other.execute(f"SELECT pg_advisory_lock({RUN_KEY})")
        ran = shop.run("migrate", locks=QUICK)
        look = shop.run("look", locks=QUICK)
    assert (ran.result.reason, ran.result.changed) == ("LockHeld", False)
    assert "dbmigration/0a1b2c3d/3/shops/other" in ran.result.message
    assert look.result.reason == "LockHeld"
    assert database.tables() == set()


def test_a_lock_that_is_given_back_in_time_is_taken(project, database):
    shop = project("url_in_the_ini", database.url)
    shop.three_revisions()
    with database.server.superuser(database.name) as other:
        other.execute(f"SELECT pg_advisory_lock({RUN_KEY})")
        running = shop.start("migrate", locks=LockBudget(grace_seconds=30))
        time.sleep(2)
    assert running.wait().result.heads == ("a3",)


def test_a_session_left_over_from_an_earlier_attempt_is_ended_after_the_grace_period(project, database):
    shop = project("url_in_the_ini", database.url)
    shop.three_revisions()
    url = make_url(database.url)
    with psycopg.connect(
        host=url.host, port=url.port, user=url.username, password=url.password, dbname=url.database, autocommit=True
    ) as zombie:
        zombie.execute("SET application_name = 'dbmigration/1be2e452/7/shops/shop'")
        zombie.execute(f"SELECT pg_advisory_lock_shared({GUEST_KEY})")
        result = shop.run("migrate", locks=QUICK).result
        with pytest.raises(psycopg.OperationalError):
            zombie.execute("SELECT 1")
    assert result.heads == ("a3",)
    assert any("dbmigration/1be2e452/7/shops/shop" in warning for warning in result.warnings)


def test_a_short_lock_timeout_is_tried_again_until_the_lock_is_free(project, database):
    shop = project("url_in_the_ini", database.url)
    shop.three_revisions()
    shop.run("migrate", migrations={"target": "a2"})
    shop.revision("a3", "a2", 'op.add_column("t1", sa.Column("x", sa.Integer))')
    with reading(database) as reader:
        running = shop.start("migrate", locks=LockBudget(timeout_milliseconds=100, retry_for_seconds=60))
        wait_for(lambda: database.ask("SELECT 1 FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND NOT granted"))
        time.sleep(1.5)
        reader.execute("COMMIT")
    ran = running.wait()
    assert (ran.result.outcome.value, ran.result.heads) == ("Succeeded", ("a3",))
    assert ran.result.migrate.lock_waits >= 1
    waited = "a3 waits for a lock, tried once, for up to 60 s: ALTER TABLE t1 ADD COLUMN x INTEGER"
    assert waited in ran.told_on_the_way
    assert ran.told_on_the_way[-1] == "a3 is done, 1 of 1 done"


@pytest.mark.parametrize("kind", ["plan", "migrate"])
def test_a_table_that_somebody_holds_for_himself_is_not_waited_for_before_anything_is_begun(project, database, kind):
    shop = project("url_in_the_ini", database.url)
    shop.three_revisions()
    shop.run("migrate", migrations={"target": "a2"})
    database.ask("CREATE VIEW v1 AS SELECT id FROM t1")  # its text cannot be read without a reader's lock on the table
    with database.server.superuser(database.name) as holder:
        holder.execute("SET application_name = 'vacuum full by hand'")
        holder.execute("BEGIN")
        holder.execute("LOCK TABLE t1 IN ACCESS EXCLUSIVE MODE")
        result = shop.run(kind).result
        assert f"vacuum full by hand (pid {holder.info.backend_pid}) that of t1" in result.message
        holder.execute("COMMIT")
    assert (result.outcome.value, result.reason, result.changed) == ("Failed", "LockHeld", False)
    assert shop.run(kind).result.outcome.value == "Succeeded"


def test_an_exhausted_lock_budget_changed_nothing_and_says_so(project, database):
    shop = project("url_in_the_ini", database.url)
    shop.three_revisions()
    shop.run("migrate", migrations={"target": "a2"})
    shop.revision("a3", "a2", create("t3"), 'op.add_column("t1", sa.Column("x", sa.Integer))')
    with reading(database):
        result = shop.run("migrate", locks=QUICK).result
    assert (result.reason, result.changed, result.heads) == ("LockBudgetExhausted", False, ("a2",))
    assert result.migrate.lock_waits >= 2
    assert "t3" not in database.tables()


@pytest.fixture
def one_by_one(project, database):
    """Three revisions, each in a transaction of its own; the first is applied, and the third needs a table of old."""
    shop = project("url_in_the_ini", database.url)
    env = shop.path / "migrations" / "env.py"
    alone = "connection=connection, transaction_per_migration=True"
    env.write_text(env.read_text().replace("connection=connection", alone))
    shop.revision("a1", None, create("t1"))
    shop.run("migrate")
    shop.revision("a2", "a1", create("t2"))
    shop.revision("a3", "a2", 'op.add_column("t1", sa.Column("x", sa.Integer))')
    return shop


def test_a_lock_timeout_after_a_revision_of_the_same_run_is_tried_again_from_there(one_by_one, database):
    plan = one_by_one.planned()
    with reading(database) as reader:
        locks = LockBudget(timeout_milliseconds=100, retry_for_seconds=60)
        running = one_by_one.start("migrate", locks=locks, expected=plan)
        wait_for(lambda: database.ask("SELECT 1 FROM alembic_version WHERE version_num = 'a2'"))
        time.sleep(1.5)
        reader.execute("COMMIT")
    ran = running.wait()
    assert (ran.result.outcome.value, ran.result.heads) == ("Succeeded", ("a3",))
    assert ran.result.migrate.applied == ("a2", "a3")
    assert ran.result.migrate.lock_waits >= 1
    applied = ran.events_called("revision-applied")
    assert [(event["revision"], event["done"], event["of"]) for event in applied] == [("a2", 1, 2), ("a3", 2, 2)]


def test_a_stop_between_two_tries_says_what_was_applied_before(one_by_one, database):
    with reading(database):
        running = one_by_one.start("migrate", locks=LockBudget(timeout_milliseconds=100, retry_for_seconds=60))
        wait_for(lambda: database.ask("SELECT 1 FROM alembic_version WHERE version_num = 'a2'"))
        time.sleep(1.5)
        running.process.send_signal(signal.SIGTERM)
        result = running.wait().result
    assert (result.reason, result.changed, result.heads) == ("Cancelled", True, ("a2",))
    assert result.migrate.applied == ("a2",)


def test_a_lock_budget_that_ends_after_a_revision_says_where_the_database_is(one_by_one, database):
    with reading(database):
        result = one_by_one.run("migrate", locks=QUICK).result
    assert (result.reason, result.changed, result.heads) == ("MigrationFailed", True, ("a2",))
    assert (result.migrate.applied, result.migrate.failed_revision) == (("a2",), "a3")
    assert not result.migrate.torn
    assert f"{result.migrate.lock_waits} tries" in result.message
    assert result.migrate.lock_waits >= 2


def test_what_a_revision_behind_others_committed_before_its_lock_timeout_is_told_and_not_run_again(
    one_by_one, database
):
    one_by_one.revision(
        "a3",
        "a2",
        "with op.get_context().autocommit_block():",
        f"    {create('half')}",
        'op.add_column("t1", sa.Column("x", sa.Integer))',
    )
    with reading(database):
        result = one_by_one.run("migrate", locks=QUICK).result
    assert (result.reason, result.heads, result.migrate.torn) == ("MigrationFailed", ("a2",), True)
    assert (result.migrate.applied, result.migrate.lock_waits) == (("a2",), 0)


def test_a_lock_timeout_after_a_commit_is_a_failure_and_never_tried_again(project, database):
    shop = project("url_in_the_ini", database.url)
    shop.revision("a1", None, create("t1"), create("rows"))
    shop.run("migrate")
    shop.revision(
        "a2",
        "a1",
        "with op.get_context().autocommit_block():",
        '    op.execute("INSERT INTO rows VALUES (DEFAULT)")',
        'op.add_column("t1", sa.Column("x", sa.Integer))',
    )
    with reading(database):
        result = shop.run("migrate", locks=QUICK).result
    assert (result.reason, result.changed) == ("MigrationFailed", True)
    assert database.ask("SELECT count(*) FROM rows") == [(1,)]


HIDDEN_COMMITS = {
    "a SELECT that calls a function": (
        "with op.get_context().autocommit_block():",
        '    op.execute("SELECT add_a_row()")',
    ),
    "a COMMIT within one text": (
        'op.execute("UPDATE rows SET id = id; INSERT INTO rows VALUES (DEFAULT); COMMIT; BEGIN")',
    ),
    "an END behind a comment, in a text whose last statement fails": (
        'op.execute("INSERT INTO rows VALUES (DEFAULT); /* done */ END; ALTER TABLE t1 ADD y int")',
    ),
    "a procedure behind a comment, whose last statement fails": (
        "with op.get_context().autocommit_block():",
        '    op.execute("/* rows */ CALL add_a_row_and_lock()")',
    ),
    "a ROLLBACK within one text": ('op.execute("ROLLBACK; INSERT INTO rows VALUES (DEFAULT)")',),
    "a commit in two phases": (
        "with sa.create_engine(op.get_bind().engine.url).connect() as other:",
        "    two_phases = other.begin_twophase()",
        '    other.execute(sa.text("INSERT INTO rows VALUES (DEFAULT)"))',
        "    two_phases.prepare()",
        "    two_phases.commit()",
    ),
    "a text that begins as a setting": (
        "with op.get_context().autocommit_block():",
        "    op.execute(\"SET work_mem = '8MB'; INSERT INTO rows VALUES (DEFAULT)\")",
    ),
}


@pytest.mark.parametrize("hidden", some(tuple(HIDDEN_COMMITS), 4))
@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_a_commit_that_a_statement_hides_is_seen_and_the_revision_not_run_again(project, database, hidden, driver):
    """Each further try would leave its row once more, and the last one could even succeed."""
    shop = project("url_in_the_ini", database.server.url(database.name, driver=f"postgresql+{driver}"))
    shop.revision("a1", None, create("t1"), create("rows"))
    shop.run("migrate")
    database.ask(
        "CREATE FUNCTION public.add_a_row() RETURNS void LANGUAGE sql SECURITY DEFINER"
        " AS 'INSERT INTO public.rows VALUES (DEFAULT)';"
        "CREATE PROCEDURE public.add_a_row_and_lock() LANGUAGE plpgsql AS $$ BEGIN"
        " INSERT INTO public.rows VALUES (DEFAULT); COMMIT; LOCK TABLE public.t1; END $$"
    )
    shop.revision("a2", "a1", *HIDDEN_COMMITS[hidden], 'op.add_column("t1", sa.Column("x", sa.Integer))')
    with reading(database):
        result = shop.run("migrate", locks=QUICK).result
    assert (result.reason, result.changed, result.migrate.lock_waits) == ("MigrationFailed", True, 0)
    assert database.ask("SELECT count(*) FROM rows") == [(1,)]


def test_what_only_looks_like_a_commit_does_not_cost_the_further_tries(project, database):
    shop = project("url_in_the_ini", database.url)
    shop.revision("a1", None, create("t1"))
    shop.run("migrate")
    shop.revision(
        "a2",
        "a1",
        "with op.get_context().autocommit_block():",
        '    assert sa.inspect(op.get_bind()).has_table("t1")',
        'op.execute("UPDATE t1 SET id = CASE WHEN id = 1 THEN 2 END")',
        "op.execute(\"SELECT 'COMMIT'\")",
        'op.add_column("t1", sa.Column("x", sa.Integer))',
    )
    with reading(database):
        result = shop.run("migrate", locks=QUICK).result
    assert (result.reason, result.changed) == ("LockBudgetExhausted", False)


def test_a_word_in_a_comment_does_not_take_the_lock_timeout_away(project, database):
    """Without the limit the ALTER would stall every reader of the table for as long as the transaction lasts."""
    shop = project("url_in_the_ini", database.url)
    shop.revision("a1", None, create("t1"))
    shop.run("migrate")
    shop.revision("a2", "a1", 'op.execute("ALTER TABLE t1 ADD COLUMN x integer /* runs CONCURRENTLY to the shop */")')
    with reading(database):
        result = shop.run("migrate", locks=QUICK, timeout_seconds=20).result
    assert (result.reason, result.heads) == ("LockBudgetExhausted", ("a1",))


def test_the_session_of_another_run_with_a_long_name_is_not_ended_as_our_own(project, database):
    """PostgreSQL keeps 63 bytes of the name; a namespace and a name may fill them both times alike."""
    shop = project("url_in_the_ini", database.url)
    shop.three_revisions()
    namespace, name = "the-shops-of-the-northern-region", "the-shop-in-the-old-town-by-the-river"
    ours = RunIdentity(namespace, name, "0123", 7, 1)
    theirs = application_name(RunIdentity(namespace, name, "4567", 7, 1))
    with database.server.superuser(database.name) as other:
        other.execute(sql.SQL("SET application_name = {}").format(sql.Literal(theirs)))
        other.execute(f"SELECT pg_advisory_lock({RUN_KEY})")
        result = shop.run("migrate", run=ours, locks=QUICK).result
        assert other.execute("SELECT 1").fetchone() == (1,)
    assert (result.reason, database.tables()) == ("LockHeld", set())


def test_an_index_built_concurrently_outwaits_an_old_transaction(project, database):
    shop = project("url_in_the_ini", database.url)
    shop.revision("a1", None, create("t1"))
    shop.run("migrate")
    shop.revision(
        "a2",
        "a1",
        "with op.get_context().autocommit_block():",
        '    op.create_index("i1", "t1", ["id"], postgresql_concurrently=True)',
        'assert op.get_bind().execute(sa.text("SHOW lock_timeout")).scalar() == "100ms"',
    )
    with database.server.superuser(database.name) as writer:
        writer.execute("BEGIN")
        writer.execute("INSERT INTO t1 VALUES (1)")
        running = shop.start("migrate", locks=QUICK)
        wait_for(lambda: database.ask("SELECT 1 FROM pg_locks WHERE NOT granted"))
        time.sleep(1)
        writer.execute("COMMIT")
    result = running.wait().result
    assert (result.outcome.value, result.migrate.lock_waits) == ("Succeeded", 0)
    assert database.ask("SELECT indisvalid FROM pg_index WHERE indexrelid = 'i1'::regclass") == [(True,)]


def test_a_waiting_migration_does_not_stall_an_index_built_concurrently(project, database):
    """A blocking wait for an advisory lock holds a snapshot, and the build waits for that one: a deadlock."""
    shop = project("url_in_the_ini", database.url)
    shop.revision("a1", None, create("t1"))
    shop.run("migrate")
    with database.server.superuser(database.name) as other:
        other.execute(f"SELECT pg_advisory_lock({RUN_KEY})")
        running = shop.start("migrate", locks=LockBudget(grace_seconds=8))
        time.sleep(2)
        other.execute("SET statement_timeout = '5s'")
        other.execute("CREATE INDEX CONCURRENTLY i2 ON t1 (id)")
    assert running.wait().result.outcome.value == "Succeeded"


def test_two_migrations_of_one_file_do_not_run_at_once(project, tmp_path):
    shop = project("url_in_the_ini", f"sqlite:///{tmp_path}/shop.db?timeout=0.2")
    shop.three_revisions()
    with (tmp_path / "shop.db.dbmigration-lock").open("w") as other:
        other.write("dbmigration/0a1b2c3d/3/shops/other")
        other.flush()
        fcntl.flock(other, fcntl.LOCK_EX)
        result = shop.run("migrate", locks=QUICK).result
    assert (result.reason, "dbmigration/0a1b2c3d/3/shops/other" in result.message) == ("LockHeld", True)
    with sqlite3.connect(tmp_path / "shop.db", isolation_level=None) as application:
        application.execute("BEGIN IMMEDIATE")
        ran = shop.run("migrate", locks=LockBudget(retry_for_seconds=1))
        application.execute("COMMIT")
    assert (ran.result.reason, ran.result.changed) == ("LockBudgetExhausted", False)
    # How often it comes to a try within the second is the machine's.
    assert re.search(r"A lock was not to be had in (1 try|\d tries) over 1 s", ran.result.message)
    waits = r"env\.py waits for a lock, tried (once|\d times), for up to 1 s: CREATE TABLE alembic_ve"
    assert re.match(waits, ran.told_on_the_way[-1]), ran.told_on_the_way
    with sqlite3.connect(tmp_path / "shop.db", isolation_level=None) as application:
        application.execute("BEGIN EXCLUSIVE")
        with pytest.raises(SessionNotOpened, match="keeps even readers out") as kept_out:
            engine_for(shop.url).connect(lock_timeout_seconds=0.1)
        application.execute("COMMIT")
    assert kept_out.value.reason.value == "LockHeld"
    assert shop.run("migrate", locks=QUICK).result.heads == ("a3",)


def test_a_terminated_lock_session_stops_the_migration(project, database):
    shop = project("url_in_the_ini", database.url)
    shop.revision("a1", None, create("t1"), 'op.execute("SELECT pg_sleep(60)")')
    running = shop.start("migrate")
    sleeping = "SELECT pid FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)%' AND pid <> pg_backend_pid() AND datname = current_database()"
    wait_for(lambda: database.ask(sleeping))
    database.ask(
        f"SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ExclusiveLock'"
        f" AND classid = {RUN_KEY >> 32} AND objid = {RUN_KEY & 0xFFFFFFFF}"
    )
    result = running.wait(40).result
    assert (result.reason, result.changed, result.heads) == ("LockLost", False, ())
    assert database.ask(sleeping) == []
