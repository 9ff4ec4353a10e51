"""A restore that is killed leaves the old database or the restored one, whole; whoever comes next opens what it closed."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from dbmigration_runner.contract.result import Outcome, RestoreStage
from tests.integration import restores
from tests.integration.backups import contents
from tests.integration.restores import stopped
from tests.sampling import some

ORDERS = "sales.orders"
OLD = "the shop as it was migrated"
POINTS = (
    *(f"stage:{stage.value}" for stage in RestoreStage),
    "engines.postgresql_fresh:Fresh._create",
    "engines.postgresql_fresh:Fresh._restore",
    "engines.postgresql_fresh:Fresh._verify",
    "engines.postgresql_fence:expel",
    "engines.postgresql_restore:PostgreSQLRestore.compare",
    "checks.loss:LossList.publish",
    "checks.restore:write_record",
    "engines.postgresql_restore:PostgreSQLRestore.swap",
    "engines.postgresql_restore:PostgreSQLRestore._exchange",
    "engines.postgresql_restore:PostgreSQLRestore.confirm",
)


@pytest.fixture
def shop(database, tmp_path):
    yield restores.shop(database, tmp_path)
    restores.forget(database)


@pytest.fixture
def migrated(shop, database):
    """With one row written since the backup."""
    restores.migrate(database)
    database.ask(
        f"INSERT INTO {ORDERS} (id, note) VALUES (9000, 'late'); COMMENT ON DATABASE {database.name} IS '{OLD}'"
    )
    return shop


def is_fenced(database):
    with database.server.superuser() as connection:
        return not connection.execute(
            "SELECT datallowconn FROM pg_database WHERE datname = %s", (database.name,)
        ).fetchone()[0]


@pytest.mark.parametrize("point", some(POINTS, 8))
def test_a_second_attempt_goes_on_wherever_the_first_was_killed(migrated, database, point):
    """Without what is found by name and comment, the second would stop at the copy, the fence or the name of the first."""
    migrated.lose(point, accept_data_loss=True)
    ran = migrated.run(attempt=2, accept_data_loss=True)
    assert (ran.result.outcome, ran.result.heads) == (Outcome.SUCCEEDED, ("a1",)), ran
    kept = restores.kept(database)
    assert restores.databases(database).keys() == {database.name, kept}
    assert len(contents(database.server, database.name, ORDERS)) == 5000
    assert not is_fenced(database)
    report = ran.result.restore
    assert report is not None
    assert (report.swapped, report.kept_as, report.lost_rows, report.compared) == (True, kept, 1, True)
    listed = Path(migrated.backups.directory, report.list_file).read_text(encoding="utf-8")
    assert listed == '{"table": "sales.orders", "kind": "inserted", "key": {"id": "9000"}}\n'
    assert not [name for name in migrated.backups.files if name.endswith(".partial")]


def test_a_second_attempt_goes_on_with_a_copy_that_was_whole(migrated):
    migrated.lose("stage:fenced", accept_data_loss=True)
    ran = migrated.run(attempt=2, accept_data_loss=True)
    assert any("gone on with" in warning for warning in ran.result.warnings)


def test_another_run_removes_the_copy_that_a_lost_one_left(migrated, database):
    migrated.lose("stage:restored")
    assert len(restores.databases(database)) == 2
    ran = migrated.run(run=8, accept_data_loss=True)
    assert ran.result.outcome is Outcome.SUCCEEDED, ran
    assert restores.databases(database).keys() == {database.name, restores.kept(database)}


@pytest.mark.parametrize("point", ["stage:fenced", "stage:compared"])
def test_a_plan_opens_what_a_killed_restore_left_closed(migrated, database, project, point):
    """It has the ordinary URL and nothing else; without it the application stays out until a person finds out why."""
    migrated.lose(point, accept_data_loss=True)
    assert is_fenced(database)
    app = project("url_in_the_ini", database.url)
    app.revision("a1", None)
    app.revision("a2", "a1")
    ran = app.run("plan")
    assert ran.result.outcome is Outcome.SUCCEEDED, ran
    assert not is_fenced(database)
    assert restores.databases(database)[database.name] == OLD
    assert len(contents(database.server, database.name, ORDERS)) == 5001


def test_what_a_living_restore_closed_stays_closed(migrated, database, project):
    """Opened under its hands, it would throw away what is written from then on."""
    running = migrated.start(fails_at="stage:fenced", signal="SIGSTOP", accept_data_loss=True)
    with stopped(running):
        app = project("url_in_the_ini", database.url)
        app.revision("a1", None)
        ran = app.run("plan")
        assert ran.result.reason == "Fenced", ran
        assert "dbmigration/" in ran.result.message
        assert is_fenced(database)
    assert running.wait().result.outcome is Outcome.SUCCEEDED


def test_what_a_living_restore_closed_stays_closed_while_the_names_are_exchanged(migrated, database, project):
    """At that moment nobody can hold a lock in the database: the one outside of it speaks for the restore."""
    running = migrated.start(
        fails_at="engines.postgresql_restore:PostgreSQLRestore._exchange", signal="SIGSTOP", accept_data_loss=True
    )
    with stopped(running):
        app = project("url_in_the_ini", database.url)
        app.revision("a1", None)
        assert app.run("plan").result.reason == "Fenced"
        assert is_fenced(database)
        running.process.kill()
    running.process.communicate()


def test_an_attempt_that_comes_back_late_changes_nothing_more(migrated, database):
    """Its node was thought lost and was not: its sessions were ended, and what it does then must fail."""
    first = migrated.start(fails_at="stage:compared", signal="SIGSTOP", accept_data_loss=True)
    with stopped(first):
        ran = migrated.run(attempt=2, accept_data_loss=True)
        assert ran.result.outcome is Outcome.SUCCEEDED, ran
        with contextlib.suppress(FileNotFoundError):
            first.target.unlink()
    late = first.wait()
    assert late.result.outcome is Outcome.FAILED, late
    assert restores.databases(database).keys() == {database.name, restores.kept(database)}
    assert not is_fenced(database)
    assert len(contents(database.server, database.name, ORDERS)) == 5000


def test_what_a_person_opens_and_writes_to_meanwhile_is_not_thrown_away(migrated, database):
    """Nobody is in the database any more when the names are exchanged: only what it says of itself tells."""
    running = migrated.start(fails_at="stage:compared", signal="SIGSTOP", accept_data_loss=True)
    with stopped(running):
        with database.server.superuser() as connection:
            connection.execute(f"ALTER DATABASE {database.name} ALLOW_CONNECTIONS true")
        database.ask(f"INSERT INTO {ORDERS} (id) VALUES (9001)")
    ran = running.wait()
    assert (ran.result.reason, ran.result.changed) == ("SessionStays", False), ran
    assert database.ask(f"SELECT count(*) FROM {ORDERS} WHERE id > 9000") == [(1,)]
    assert restores.databases(database) == {database.name: OLD}


def test_a_step_whose_role_may_not_open_it_says_who_may(migrated, database, project):
    database.ask(f"ALTER DATABASE {database.name} OWNER TO postgres")
    migrated.lose("stage:fenced", accept_data_loss=True)
    app = project("url_in_the_ini", database.url)
    app.revision("a1", None)
    result = app.run("plan").result
    assert result.reason == "Fenced", result
    assert "ALLOW_CONNECTIONS true" in result.message
    assert migrated.run(attempt=2, accept_data_loss=True).result.outcome is Outcome.SUCCEEDED


def test_a_restore_that_is_told_to_stop_opens_the_database_again(migrated, database):
    running = migrated.start(fails_at="stage:fenced", signal="SIGTERM", accept_data_loss=True)
    ran = running.wait()
    assert (ran.result.reason, ran.result.changed) == ("Cancelled", False), ran
    assert not is_fenced(database)
    assert restores.databases(database) == {database.name: OLD}


def test_a_person_finds_in_the_comment_how_to_open_it(migrated, database):
    migrated.lose("stage:fenced", accept_data_loss=True)
    told = restores.databases(database)[database.name]
    assert told is not None
    assert "ALLOW_CONNECTIONS true" in told
    assert told.endswith(f"\n{OLD}")
    with (
        pytest.raises(psycopg.OperationalError, match="not currently accepting"),
        database.server.superuser(database.name),
    ):
        pass


def test_a_look_behind_a_restore_that_took_place_answers_as_that_would_have(migrated, database):
    """The exchange gave the database another identity: without its order the look would be refused for hours."""
    look = migrated.looking()
    for attempt in (1, 2):
        migrated.lose("stage:verified", attempt=attempt, accept_data_loss=True)
    migrated.lose("stage:swapped", attempt=3, accept_data_loss=True)
    ran = migrated.start(task=look).wait()
    assert (ran.result.outcome, ran.result.heads) == (Outcome.SUCCEEDED, ("a1",)), ran
    now = migrated.looking().expected.fingerprint
    assert ran.result.database.fingerprint == now != look.expected.fingerprint
    assert ran.result.catalog is not None
    report = ran.result.restore
    assert (report.swapped, report.kept_as, report.lost_rows) == (True, restores.kept(database), 1)
    assert restores.databases(database).keys() == {database.name, restores.kept(database)}
    again = migrated.start(task=look).wait()
    assert (again.result.outcome, again.result.restore) == (Outcome.SUCCEEDED, report)


@pytest.mark.parametrize("point", ["stage:restored", "stage:fenced", "stage:compared"])
def test_a_look_behind_one_that_did_not_opens_the_database_and_reads_it(migrated, database, point):
    look = migrated.looking()
    migrated.lose(point, accept_data_loss=True)
    assert is_fenced(database) is (point != "stage:restored")
    ran = migrated.start(task=look).wait()
    assert (ran.result.outcome, ran.result.heads, ran.result.restore) == (Outcome.SUCCEEDED, ("a2",), None), ran
    assert not is_fenced(database)
    assert restores.databases(database)[database.name] == OLD


def test_a_look_reads_the_database_also_where_the_backup_is_gone(migrated, database):
    look = migrated.looking()
    migrated.lose("stage:fenced", accept_data_loss=True)
    for path in migrated.backups.directory.iterdir():
        path.unlink()
    ran = migrated.start(task=look).wait()
    assert (ran.result.outcome, ran.result.heads, ran.result.restore) == (Outcome.SUCCEEDED, ("a2",), None), ran
    assert any("could not be asked" in warning for warning in ran.result.warnings)
    assert not is_fenced(database)


def test_a_look_at_another_database_than_was_planned_is_refused_with_an_order_too(migrated, database):
    look = migrated.looking()
    moved = replace(look, expected=replace(look.expected, fingerprint="another"))
    assert migrated.start(task=moved).wait().result.reason == "DatabaseMoved"
