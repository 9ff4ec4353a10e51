"""A restore of MariaDB that is killed leaves the old database or a record of what is to be done; whoever comes next does it."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dbmigration_runner.contract.result import Outcome, RestoreStage
from dbmigration_runner.engines.mysql_fence import restore_lock
from dbmigration_runner.engines.mysql_names import text_literal
from tests.integration import mariadb_backups, mariadb_restores
from tests.integration.mariadb_server import fresh_database, quoted, running_mariadb, said
from tests.integration.restores import Restores, stopped
from tests.sampling import some

EXCHANGE = "engines.mysql_exchange:Exchange"
BEFORE_THE_EXCHANGE = (
    "engines.mysql_fresh:Fresh._create",
    "engines.mysql_fresh:Fresh._verify",
    "stage:restored",
    "engines.mysql_fence:_rename_patiently",
    "stage:fenced",
    "stage:compared",
    f"{EXCHANGE}.begin",
    f"{EXCHANGE}._keep_events",
    f"{EXCHANGE}._move",
)
BETWEEN = (
    f"{EXCHANGE}.end",
    f"{EXCHANGE}._settle_defaults",
    f"{EXCHANGE}._program",
    f"{EXCHANGE}._show",
)
AFTER_THE_INSTANT = (
    f"{EXCHANGE}._finish_programs",
    f"{EXCHANGE}._dress_kept",
    f"{EXCHANGE}._settle_schema",
    "engines.mysql_record:drop",
    f"stage:{RestoreStage.SWAPPED.value}",
    f"stage:{RestoreStage.LOOKED.value}",
)


@dataclass(frozen=True)
class Migrated(Restores):
    """A shop that was migrated since; `before` is what it was at the backup."""

    before: Any


@pytest.fixture
def migrated(mariadb_database, tmp_path):
    """With one row written since the backup."""
    shop = mariadb_restores.shop(mariadb_database, tmp_path)
    before = state(mariadb_database)
    mariadb_restores.migrate(mariadb_database)
    yield Migrated(shop.backups, shop.report, before)
    mariadb_restores.forget(mariadb_database)


def state(database):
    return mariadb_backups.schema(database.server, database.name), mariadb_backups.contents(
        database.server, database.name
    )


@pytest.mark.parametrize("point", some([*BEFORE_THE_EXCHANGE, *BETWEEN, *AFTER_THE_INSTANT], 9))
def test_a_second_attempt_ends_it_wherever_the_first_was_killed(migrated, mariadb_database, point):
    """Without the record it would take what stands there under numbers, or nothing at all, for the database."""
    replaced = state(mariadb_database)
    migrated.lose(point, accept_data_loss=True)
    ran = migrated.run(attempt=2, accept_data_loss=True)
    assert (ran.result.outcome, ran.result.heads) == (Outcome.SUCCEEDED, ("a1",)), ran.result
    assert state(mariadb_database) == migrated.before
    kept = mariadb_restores.kept(mariadb_database)
    assert mariadb_backups.contents(mariadb_database.server, kept) == replaced[1]
    assert mariadb_restores.databases(mariadb_database) == {mariadb_database.name, kept}
    report = ran.result.restore
    assert report is not None
    assert (report.swapped, report.kept_as, report.compared) == (True, kept, True)
    listed = Path(migrated.backups.directory, report.list_file).read_text(encoding="utf-8")
    assert listed == '{"table": "orders", "kind": "inserted", "key": {"id": "9000"}}\n'


def test_triggers_of_one_table_fire_in_their_order_again(migrated, mariadb_database):
    """One that is made anew fires behind those that were not dropped yet."""
    mariadb_database.ask(
        "CREATE TRIGGER late BEFORE UPDATE ON orders FOR EACH ROW SET NEW.note = concat(NEW.note, '!')"
    )
    mariadb_database.ask("CREATE TRIGGER again BEFORE UPDATE ON orders FOR EACH ROW SET NEW.note = upper(NEW.note)")
    before = state(mariadb_database)
    migrated.lose(f"{EXCHANGE}._drop_trigger+1", accept_data_loss=True)
    assert migrated.run(attempt=2).result.reason == "RestoreNeedsAcknowledgement"
    assert state(mariadb_database) == before
    ordered = (
        "SELECT TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE() ORDER BY ACTION_ORDER"
    )
    assert mariadb_database.ask(ordered) == [("marked",), ("late",), ("again",)]


@pytest.mark.parametrize("point", ["stage:fenced", f"{EXCHANGE}._move"])
def test_a_plan_with_the_ordinary_url_names_the_tables_back(migrated, mariadb_database, project, point):
    """It has the ordinary URL and nothing else; without it a plan would begin at the first revision of an empty database."""
    # The ordinary role may make no trigger of root's: that is told by the next test.
    mariadb_database.ask("DROP TRIGGER marked")
    before = state(mariadb_database)
    migrated.lose(point, accept_data_loss=True)
    assert mariadb_restores.is_fenced(mariadb_database)
    ran = plan(project, mariadb_database)
    assert ran.result.outcome is Outcome.SUCCEEDED, ran
    assert ran.result.heads == ("a2",)
    assert state(mariadb_database) == before


@pytest.mark.parametrize("point", ["stage:fenced", f"{EXCHANGE}._move", f"{EXCHANGE}._program", "stage:swapped"])
def test_a_look_behind_it_ends_it_too_and_knows_whether_it_took_place(migrated, mariadb_database, point):
    look = migrated.looking()
    migrated.lose(point, accept_data_loss=True)
    ran = migrated.start(task=look).wait()
    took_place = point not in BEFORE_THE_EXCHANGE
    assert (ran.result.outcome, ran.result.heads) == (Outcome.SUCCEEDED, ("a1",) if took_place else ("a2",)), ran
    assert (ran.result.restore is not None) is took_place
    if ran.result.restore is not None:
        assert (ran.result.restore.kept_as, ran.result.restore.lost_rows) == (
            mariadb_restores.kept(mariadb_database),
            1,
        )
        assert state(mariadb_database) == migrated.before
    assert not mariadb_restores.is_fenced(mariadb_database)


def test_a_plan_that_may_not_make_a_trigger_of_another_definer_says_who_may(migrated, mariadb_database, project):
    before = state(mariadb_database)
    migrated.lose(f"{EXCHANGE}._move", accept_data_loss=True)
    ran = plan(project, mariadb_database)
    assert (ran.result.reason, "next attempt" in ran.result.message) == ("Fenced", True), ran
    assert migrated.run(attempt=2).result.reason == "RestoreNeedsAcknowledgement"
    assert state(mariadb_database) == before


@pytest.mark.parametrize("point", [f"{EXCHANGE}._show", f"{EXCHANGE}._finish_programs"])
def test_a_plan_in_the_midst_of_an_exchange_is_refused(migrated, mariadb_database, project, point):
    migrated.lose(point, accept_data_loss=True)
    ran = plan(project, mariadb_database)
    assert (ran.result.reason, ran.result.changed) == ("Fenced", False), ran
    assert migrated.run(attempt=2, accept_data_loss=True).result.outcome is Outcome.SUCCEEDED


def test_what_a_living_restore_closed_stays_closed(migrated, mariadb_database, project):
    running = migrated.start(fails_at="stage:fenced", signal="SIGSTOP", accept_data_loss=True)
    with stopped(running):
        assert plan(project, mariadb_database).result.reason == "Fenced"
        assert mariadb_restores.is_fenced(mariadb_database)
    assert running.wait().result.outcome is Outcome.SUCCEEDED


def test_an_attempt_that_comes_back_late_changes_nothing_more(migrated, mariadb_database):
    """Its node was thought lost and was not: its sessions were ended, and what it does then must fail."""
    first = migrated.start(fails_at="stage:compared", signal="SIGSTOP", accept_data_loss=True)
    with stopped(first):
        ran = migrated.run(attempt=2, accept_data_loss=True)
        assert ran.result.outcome is Outcome.SUCCEEDED, ran
        first.target.unlink(missing_ok=True)
    late = first.wait()
    assert late.result.outcome is Outcome.FAILED, late
    assert state(mariadb_database) == migrated.before
    assert mariadb_restores.databases(mariadb_database) == {
        mariadb_database.name,
        mariadb_restores.kept(mariadb_database),
    }


def test_a_restore_that_is_told_to_stop_gives_the_tables_their_names_back(migrated, mariadb_database):
    before = state(mariadb_database)
    ran = migrated.start(fails_at="stage:fenced", signal="SIGTERM", accept_data_loss=True).wait()
    assert (ran.result.reason, ran.result.changed) == ("Cancelled", False), ran
    assert state(mariadb_database) == before
    assert mariadb_restores.databases(mariadb_database) == {mariadb_database.name}


def test_a_table_that_is_made_behind_the_fence_is_not_lost(migrated, mariadb_database):
    """An application that starts and finds no tables may make its own: they are nobody's of the comparison."""
    running = migrated.start(fails_at="stage:compared", signal="SIGSTOP", accept_data_loss=True)
    with stopped(running):
        mariadb_database.ask("CREATE TABLE newcomer AS SELECT 1 AS one")
    ran = running.wait()
    assert (ran.result.reason, ran.result.changed) == ("SessionStays", False), ran
    assert "newcomer" in ran.result.message
    assert mariadb_database.ask("SELECT one FROM newcomer") == [(1,)]
    assert not mariadb_restores.is_fenced(mariadb_database)


def test_a_database_whose_tables_are_all_gone_comes_back_after_a_kill(migrated, mariadb_database):
    """Nothing is there to be called otherwise, so nothing but the record tells how far it came."""
    with mariadb_database.server.superuser(mariadb_database.name) as connection:
        said(connection, "SET foreign_key_checks = 0")
        for name in mariadb_database.tables() - {"numbers", "others"}:
            said(connection, f"DROP TABLE {quoted(name)}")
    migrated.lose(f"{EXCHANGE}._move", accept_data_loss=True)
    ran = migrated.run(attempt=2, accept_data_loss=True)
    assert ran.result.outcome is Outcome.SUCCEEDED, ran
    assert state(mariadb_database) == migrated.before


def plan(project, database):
    app = project("url_in_the_ini", database.url)
    app.revision("a1", None)
    app.revision("a2", "a1")
    return app.run("plan")


def test_the_session_that_renames_may_be_lost_and_the_tables_have_their_names_again(migrated, mariadb_database):
    """Another session lifts the fence: nobody else comes for it where the order ends here."""
    before = state(mariadb_database)
    running = migrated.start(fails_at="stage:compared", signal="SIGSTOP", accept_data_loss=True)
    with stopped(running):
        name = text_literal(restore_lock(mariadb_database.name))
        ((number,),) = mariadb_database.ask(f"SELECT IS_USED_LOCK({name})")
        mariadb_database.ask(f"KILL {number}")
    ran = running.wait()
    assert (ran.result.outcome, ran.result.changed) == (Outcome.FAILED, False), ran
    assert state(mariadb_database) == before


def test_tables_that_an_application_makes_under_their_names_do_not_keep_the_old_ones_out(migrated, mariadb_database):
    """One that finds no tables at its start makes its own."""
    running = migrated.start(fails_at="stage:fenced", signal="SIGSTOP", accept_data_loss=True)
    with stopped(running):
        make_strangers(mariadb_database)
        os.kill(running.process.pid, signal.SIGTERM)
    assert running.wait().result.reason == "Cancelled"
    assert taken_away(mariadb_database) == [("z9",)]
    assert not mariadb_restores.is_fenced(mariadb_database)
    assert mariadb_database.ask("SELECT version_num FROM alembic_version") == [("a2",)]


def test_nor_the_restored_ones(migrated, mariadb_database):
    migrated.lose(f"{EXCHANGE}._show", accept_data_loss=True)
    make_strangers(mariadb_database)
    assert migrated.run(attempt=2, accept_data_loss=True).result.heads == ("a1",)
    assert taken_away(mariadb_database) == [("z9",)]
    assert mariadb_database.ask("SELECT name FROM customers") == [("Zoe",)]


def make_strangers(database):
    database.ask("CREATE TABLE customers (id int)")
    database.ask("CREATE TABLE alembic_version (version_num varchar(32))")
    database.ask("INSERT INTO alembic_version VALUES ('z9')")


def taken_away(database):
    """What was put aside of them, as the only one: an empty one is not kept."""
    told = database.ask("SELECT * FROM `dbmigration/stranger/1`")
    database.ask("DROP TABLE `dbmigration/stranger/1`")
    return told


@pytest.fixture(scope="module")
def crashing():
    """A server that keeps what it acknowledged."""
    with running_mariadb({"innodb-flush-log-at-trx-commit": "1", "innodb-doublewrite": "1"}) as server:
        yield server


@pytest.mark.parametrize(
    "point", ["stage:restored", "stage:fenced", f"{EXCHANGE}.end", f"{EXCHANGE}._show", "stage:swapped"]
)
def test_a_server_that_crashes_at_any_point_has_the_old_database_or_the_restored_one_in_the_end(
    crashing, tmp_path, point
):
    with fresh_database(crashing, "crashed") as database:
        shop = mariadb_restores.shop(database, tmp_path)
        before = state(database)
        mariadb_restores.migrate(database)
        running = shop.start(fails_at=point, signal="SIGSTOP", accept_data_loss=True)
        with stopped(running):
            crashing.crash()
        running.process.communicate(timeout=90)
        ran = shop.run(attempt=2, accept_data_loss=True)
        assert (ran.result.outcome, ran.result.heads) == (Outcome.SUCCEEDED, ("a1",)), ran.result
        assert state(database) == before
        assert not mariadb_restores.is_fenced(database)
        assert mariadb_restores.databases(database) == {database.name, mariadb_restores.kept(database)}
        mariadb_restores.forget(database)


def test_a_restore_under_which_the_server_goes_down_twice_is_not_tried_again(crashing, tmp_path):
    """InnoDB ends its server where it finds no room to undo what it has no room for; hours of that are no way back."""
    with fresh_database(crashing, "fallen") as database:
        shop = mariadb_restores.shop(database, tmp_path)
        mariadb_restores.migrate(database)
        before = state(database)
        for attempt in (1, 2):
            running = shop.start(
                attempt=attempt, fails_at="engines.mysql_fresh:load", signal="SIGSTOP", accept_data_loss=True
            )
            with stopped(running):
                time.sleep(3.5)  # a server's age is told in seconds
                crashing.crash()
            running.process.communicate(timeout=90)
        ran = shop.run(attempt=3, accept_data_loss=True)
        assert (ran.result.reason, ran.result.changed) == ("RestoreFailed", False), ran
        assert "went down 2 times" in ran.result.message
        assert state(database) == before
        assert mariadb_restores.databases(database) == {database.name}
