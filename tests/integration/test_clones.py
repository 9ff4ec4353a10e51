"""A copy on the server beside the backup: a restore takes it instead of the dump, and it is what the dump is."""

from __future__ import annotations

from types import SimpleNamespace

import psycopg
import pytest

from dbmigration_runner.checks.manifest import SUFFIX
from dbmigration_runner.checks.restorable import require_cloned
from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.contract.result import Outcome
from dbmigration_runner.contract.task import OrderedBy, Policy
from dbmigration_runner.errors import Refusal
from tests.integration import restores
from tests.integration.backups import Backups
from tests.integration.postgresql_server import CANARY
from tests.integration.projects import wait_for
from tests.integration.restores import stopped
from tests.integration.test_restore_killed import is_fenced
from tests.integration.test_restore_postgresql import SURROUNDINGS


@pytest.fixture
def shop(database, tmp_path):
    yield restores.shop(database, tmp_path)
    restores.forget(database)


def cloned(shop, name="first"):
    """The same backup once more, with a copy."""
    return shop.start(task=shop.backups.task(name, clone=True)).wait()


def copies(database):
    return [name for name in restores.databases(database) if name.startswith("dbmigration_clone_")]


def test_a_restore_takes_the_copy_and_does_not_read_the_dump(shop, database):
    """The dump is damaged here: what is restored can only be the copy."""
    database.ask(
        f"ALTER DATABASE {database.name} SET work_mem = '5MB'; COMMENT ON DATABASE {database.name} IS 'of the shop';"
        f"GRANT CONNECT ON DATABASE {database.name} TO pg_monitor; ALTER DATABASE {database.name} CONNECTION LIMIT 50;"
        "CREATE EXTENSION citext; CREATE TABLE queue AS SELECT 7 AS job; ALTER EXTENSION citext ADD TABLE queue"
    )
    around = database.ask(SURROUNDINGS)
    ran = cloned(shop)
    assert ran.result.outcome is Outcome.SUCCEEDED, ran
    (told,) = ran.result.warnings
    assert "Not in the backup are the rows of tables that belong to extensions: public.queue." in told
    (copy,) = copies(database)
    assert ran.result.backup.clone == copy
    assert database.ask(SURROUNDINGS) == around
    with pytest.raises(psycopg.OperationalError):
        database.server.superuser(copy).__enter__()
    restores.migrate(database)
    sha256 = ran.result.backup.sha256
    for dump in shop.backups.directory.glob("first.dump*"):
        dump.write_bytes(b"")
    ran = shop.run(nothing_written=True, sha256=sha256)
    assert ran.result.outcome is Outcome.SUCCEEDED, ran
    assert ran.result.heads == ("a1",)
    assert database.ask("SELECT count(*) FROM sales.orders") == [(5000,)]
    assert database.ask("SELECT job FROM queue") == [(7,)]
    assert not ran.result.restore.compared, "what no dump holds is in the copy, and nothing was written"
    assert database.ask(SURROUNDINGS) == around
    assert not copies(database)


def test_whoever_is_in_the_database_is_put_out_for_the_copy_and_may_come_back(shop, database):
    address = {"host": "127.0.0.1", "port": database.server.port, "user": "shop", "password": CANARY}
    with psycopg.connect(**address, dbname=database.name, autocommit=True) as visitor:
        assert cloned(shop).result.outcome is Outcome.SUCCEEDED
        assert len(copies(database)) == 1
        with pytest.raises(psycopg.OperationalError):
            visitor.execute("SELECT 1")
    assert not is_fenced(database)
    with psycopg.connect(**address, dbname=database.name) as visitor:
        assert visitor.execute("SELECT count(*) FROM sales.orders").fetchone() == (5000,)


def test_the_copy_of_an_earlier_backup_is_given_up_by_the_next(shop, database):
    cloned(shop)
    (first,) = copies(database)
    cloned(shop, "second")
    (second,) = copies(database)
    assert first != second


def test_a_backup_without_the_wish_removes_it_and_what_a_kill_left_and_nobody_elses(shop, database):
    cloned(shop)
    (copy,) = copies(database)
    torn = copy[:-16] + "0123456789abcdef"  # before its comment was set
    others = f"dbmigration_clone_{'0' * 12}_0123456789abcdef"
    with database.server.superuser() as connection:
        connection.execute(f"CREATE DATABASE {torn}")
        connection.execute(f"CREATE DATABASE {others}")
    try:
        assert shop.start(task=shop.backups.task("second")).wait().result.outcome is Outcome.SUCCEEDED
        assert copies(database) == [others]
    finally:
        with database.server.superuser() as connection:
            connection.execute(f"DROP DATABASE {others}")


def test_while_the_server_copies_no_step_comes_in_by_any_url(shop, database, project):
    """The run's lock is given up for the copy: the fence stands for it, and says whose it is."""
    app = project("url_in_the_ini", database.url)
    app.revision("a1", None)
    running = shop.start(
        fails_at="engines.postgresql_clone:Clone.make", signal="SIGSTOP", task=shop.backups.task("first", clone=True)
    )
    with stopped(running):
        for kind in ("plan", "migrate"):
            ran = app.run(kind)
            assert (ran.result.reason, ran.result.heads) == (RunnerReason.FENCED.value, None), ran
        assert restores.Restores(shop.backups, shop.report).run(run=8).result.reason == RunnerReason.FENCED.value
        with pytest.raises(psycopg.OperationalError):
            database.server.superuser(database.name).__enter__()
    running.wait()
    assert not is_fenced(database)


def test_a_step_that_is_stopped_within_its_copy_opens_the_database_and_leaves_none(shop, database):
    running = shop.start(
        fails_at="engines.postgresql_fence:expel", signal="SIGSTOP", task=shop.backups.task("first", clone=True)
    )
    at_work = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'CREATE DATABASE%TEMPLATE%'"
    with database.server.superuser() as holder, database.server.superuser() as looking:
        with stopped(running):
            holder.execute("BEGIN")
            # What is copied is locked by its copier too, against this.
            holder.execute(f"COMMENT ON DATABASE {database.name} IS 'held'")
        wait_for(lambda: looking.execute(at_work).fetchone() == (1,))
        running.process.terminate()
        wait_for(lambda: looking.execute(at_work).fetchone() == (0,))
        holder.execute("ROLLBACK")
    assert running.wait().result.outcome is not Outcome.SUCCEEDED
    assert not is_fenced(database)
    assert not copies(database)


def test_a_restore_that_may_not_lose_what_was_written_leaves_it_to_the_one_that_may(shop, database):
    """The second is a person's order, of no run: what is in reach of the one is in reach of the other."""
    sha256 = cloned(shop).result.backup.sha256
    (copy,) = copies(database)
    restores.migrate(database)
    database.ask("INSERT INTO sales.orders (id) VALUES (9000)")
    refused = shop.run(sha256=sha256)
    assert refused.result.reason == "RestoreNeedsAcknowledgement"
    assert copies(database) == [copy]
    assert not is_fenced(database)
    for dump in shop.backups.directory.glob("first.dump*"):
        dump.write_bytes(b"")
    ran = shop.run(run=9, sha256=sha256, accept_data_loss=True, by=OrderedBy("now"))
    assert ran.result.outcome is Outcome.SUCCEEDED, ran
    assert ran.result.restore.lost_rows == 1
    assert database.ask("SELECT count(*) FROM sales.orders") == [(5000,)]
    assert not copies(database)


def test_a_copy_that_somebody_is_in_is_left_to_him_and_the_dump_is_read(shop, database):
    """He opened it himself; a database that is in use has no other name."""
    sha256 = cloned(shop).result.backup.sha256
    (copy,) = copies(database)
    restores.migrate(database)
    with database.server.superuser() as connection:
        connection.execute(f"ALTER DATABASE {copy} ALLOW_CONNECTIONS true")
    with database.server.superuser(copy):
        ran = shop.run(sha256=sha256, nothing_written=True)
    assert ran.result.outcome is Outcome.SUCCEEDED, ran
    assert not any("was taken" in warning for warning in ran.result.warnings)
    assert database.ask("SELECT count(*) FROM sales.orders") == [(5000,)]
    assert copies(database) == [copy]


def test_a_restore_that_is_killed_with_it_in_hand_is_gone_on_with(shop, database):
    sha256 = cloned(shop).result.backup.sha256
    restores.migrate(database)
    for dump in shop.backups.directory.glob("first.dump*"):
        dump.write_bytes(b"")
    shop.lose("stage:restored", sha256=sha256, nothing_written=True)
    assert not copies(database)
    ran = shop.run(sha256=sha256, attempt=2, nothing_written=True)
    assert ran.result.outcome is Outcome.SUCCEEDED, ran
    assert database.ask("SELECT count(*) FROM sales.orders") == [(5000,)]


@pytest.mark.parametrize("at", ["engines.postgresql_clone:Clone.make", "engines.postgresql_clone:Clone.approve"])
def test_killed_on_its_way_it_leaves_a_database_that_the_next_step_opens_and_no_copy_that_would_be_taken(
    shop, database, project, at
):
    running = shop.start(fails_at=at, task=shop.backups.task("first", clone=True))
    assert "failing" in running.process.communicate(timeout=90)[0]
    app = project("url_in_the_ini", database.url)
    app.revision("a1", None)
    assert app.run("plan").result.outcome is Outcome.SUCCEEDED
    assert not is_fenced(database)
    assert cloned(shop, "second").result.outcome is Outcome.SUCCEEDED
    assert len(copies(database)) == 1


def test_the_plan_tells_how_much_room_it_takes(project, database):
    """The server tells nobody how much it has: a person must know, and be asked before the disk is full."""
    app = project("url_in_the_ini", database.url)
    app.revision("a1", None)
    planned = app.run("plan", policy=Policy(clones=True)).result
    assert planned.outcome is Outcome.SUCCEEDED, planned
    (finding,) = (found for found in planned.plan.findings if found.code == "CloneTakesRoom")
    assert f"of {database.ask('SELECT pg_database_size(current_database())')[0][0]} bytes" in finding.message
    assert not planned.plan.loses_data


def test_where_no_copy_can_be_made_the_backup_holds_and_it_is_told(database, tmp_path):
    given = restores.shop(database, tmp_path)
    without = restores.Restores(Backups(database.url, given.backups.directory), given.report)
    ran = cloned(without)
    assert ran.result.outcome is Outcome.SUCCEEDED, ran
    assert any("No copy was made beside the backup" in warning for warning in ran.result.warnings)
    assert any(path.name.endswith(SUFFIX) for path in given.backups.directory.iterdir())
    assert not copies(database)
    assert not is_fenced(database)


def test_an_engine_that_makes_no_cheap_copy_is_told_by_the_plan():
    with pytest.raises(Refusal) as refused:
        require_cloned(SimpleNamespace(name="mysql"))
    assert refused.value.reason is RunnerReason.ENGINE_NOT_SUPPORTED
    assert "backup.clone" in refused.value.message
    require_cloned(SimpleNamespace(name="sqlite"))
