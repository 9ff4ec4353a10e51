"""However a step is ended, the server's work ends with it and a report says where the database is."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import psutil

from dbmigration_runner.contract.task import ChecksAfter
from dbmigration_runner.engines.postgresql_names import RUN_KEY
from tests.integration.projects import create, wait_for

SLEEPING = "SELECT pid FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)%' AND pid <> pg_backend_pid() AND datname = current_database()"


def sleeper(project, database):
    shop = project("url_in_the_ini", database.url)
    shop.revision("a1", None, create("t1"))
    shop.revision("a2", "a1", 'op.execute("SELECT pg_sleep(60)")')
    return shop


def child_of(running):
    (child,) = psutil.Process(running.process.pid).children()
    return child


def test_sigterm_cancels_the_statement_looks_and_reports(project, database):
    running = sleeper(project, database).start("migrate")
    wait_for(lambda: database.ask(SLEEPING))
    began = time.monotonic()
    running.process.send_signal(signal.SIGTERM)
    result = running.wait(25).result
    assert time.monotonic() - began < 15
    assert (result.reason, result.heads, result.changed) == ("Cancelled", (), False)
    assert result.migrate.failed_revision == "a2"
    assert database.ask(SLEEPING) == []


def test_a_stop_that_comes_while_the_runner_loads_is_obeyed(project, database):
    """As a container's first process it would never hear of it, and begin to migrate."""
    running = sleeper(project, database).start("migrate")
    loaded = Path(f"/proc/{running.process.pid}/maps")
    wait_for(lambda: "_ssl" in (text := loaded.read_text()) or "sqlalchemy" in text, pause=0.005)
    running.process.send_signal(signal.SIGTERM)
    result = running.wait(25).result
    assert (result.reason, result.changed) == ("Cancelled", False)
    assert database.tables() == set()


def test_a_revision_that_ignores_its_cancelled_statement_gets_no_further(project, database):
    database.ask("CREATE TABLE public.tries (id integer); ALTER TABLE public.tries OWNER TO shop")
    shop = project("url_in_the_ini", database.url)
    shop.revision(
        "a1",
        None,
        "for _ in range(100):",
        "    try:",
        "        with op.get_context().autocommit_block():",
        '            op.execute("INSERT INTO tries VALUES (1)")',
        '            op.execute("SELECT pg_sleep(60)")',
        "    except Exception:",
        "        pass",
    )
    running = shop.start("migrate")
    wait_for(lambda: database.ask(SLEEPING))
    running.process.send_signal(signal.SIGTERM)
    result = running.wait(40).result
    assert (result.reason, result.changed) == ("MigrationFailed", True)  # for its row stays
    assert database.ask(SLEEPING) == []
    assert database.ask("SELECT count(*) FROM tries") == [(1,)]


def test_the_time_limit_ends_a_migration_like_a_signal(project, database):
    result = sleeper(project, database).run("migrate", timeout_seconds=4).result
    assert (result.reason, result.heads, result.changed) == ("TimedOut", (), False)
    assert database.ask(SLEEPING) == []


def test_a_killed_child_is_reported_after_its_session_is_gone(project, database):
    running = sleeper(project, database).start("migrate")
    wait_for(lambda: database.ask(SLEEPING))
    child_of(running).send_signal(signal.SIGKILL)
    result = running.wait(40).result
    assert (result.reason, result.heads, result.changed) == ("EnvironmentExited", (), False)
    assert "SIGKILL" in result.message
    assert result.migrate.failed_revision == "a2"
    assert database.ask(SLEEPING) == []


def test_a_child_does_not_outlive_its_parent(project, database):
    running = sleeper(project, database).start("migrate")
    wait_for(lambda: database.ask(SLEEPING))
    child = child_of(running)
    running.process.kill()
    running.process.communicate()
    wait_for(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
    wait_for(lambda: database.ask(SLEEPING) == [])


def test_a_crash_of_the_interpreter_is_reported(project, database):
    shop = project("url_in_the_ini", database.url)
    shop.three_revisions()
    shop.revision("a4", "a3", "import ctypes", "ctypes.string_at(0)")
    result = shop.run("migrate").result
    assert (result.reason, result.heads, result.changed) == ("EnvironmentExited", (), False)
    assert "SIGSEGV" in result.message
    assert result.migrate.failed_revision == "a4"


def test_sigterm_ends_a_sqlite_migration_by_its_process(project, tmp_path):
    shop = project("url_in_the_ini", f"sqlite:///{tmp_path}/shop.db")
    shop.revision("a1", None, create("t1"))
    flag = tmp_path / "busy"
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    shop.revision("a2", "a1", f"open({str(flag)!r}, 'w').close()", f'op.execute("{endless}")')
    running = shop.start("migrate")
    wait_for(flag.exists)
    running.process.send_signal(signal.SIGTERM)
    result = running.wait(25).result
    assert (result.reason, result.heads, result.changed) == ("Cancelled", ("a1",), True)


def test_a_step_that_waits_for_the_lock_can_be_cancelled(project, database):
    shop = project("url_in_the_ini", database.url)
    with database.server.superuser(database.name) as other:
        other.execute(f"SELECT pg_advisory_lock({RUN_KEY})")
        running = shop.start("migrate")
        wait_for(
            lambda: database.ask(
                "SELECT 1 FROM pg_stat_activity WHERE application_name = 'dbmigration/1be2e452/7/shops/shop'"
            )
        )
        running.process.send_signal(signal.SIGTERM)
        result = running.wait(20).result
    assert (result.reason, result.changed) == ("Cancelled", False)


def test_a_check_that_is_cancelled_does_not_hide_that_the_database_was_migrated(project, database, tmp_path):
    shop = project("url_in_the_ini", database.url)
    shop.three_revisions()
    flag = tmp_path / "checking"
    running = shop.start("migrate", after=ChecksAfter(command=("sh", "-c", f"touch {flag}; sleep 60")))
    wait_for(flag.exists)
    running.process.send_signal(signal.SIGTERM)
    result = running.wait(20).result
    assert (result.reason, result.heads, result.changed) == ("Cancelled", ("a3",), True)
    assert result.migrate.applied == ("a1", "a2", "a3")


def test_a_plan_that_is_cancelled_says_so(project, database):
    shop = project("url_in_the_ini", database.url)
    shop.three_revisions()
    env = shop.path / "migrations/env.py"
    env.write_text(env.read_text() + "\nimport time\ntime.sleep(60)\n")
    running = shop.start("plan")
    time.sleep(2.5)
    running.process.send_signal(signal.SIGTERM)
    assert running.wait(20).result.reason == "Cancelled"


def test_an_environment_that_leaves_processes_behind_does_not_hang_the_step(project, tmp_path):
    shop = project("url_in_the_ini", f"sqlite:///{tmp_path}/shop.db")
    shop.three_revisions()
    left = tmp_path / "left"
    shop.revision(
        "a4",
        "a3",
        "import subprocess",
        "process = subprocess.Popen(['sleep', '300'])",
        f"open({str(left)!r}, 'w').write(str(process.pid))",
    )
    assert shop.run("migrate").result.heads == ("a4",)
    number = int(left.read_text())
    wait_for(lambda: not psutil.pid_exists(number) or psutil.Process(number).status() == psutil.STATUS_ZOMBIE)
