"""Histories that nobody here wrote, through every step, by their packages' own env.py and with its own configuration."""

from __future__ import annotations

import pytest

from dbmigration_runner.contract.task import ChecksAfter, ExpectedPlan
from tests.integration.real_histories.histories import ALL, JUPYTERHUB, MLFLOW, named
from tests.sampling import some

# The first test of an application installs it.
pytestmark = pytest.mark.timeout(900)


def test_a_history_is_planned_backed_up_and_migrated_to_its_head(application, history):
    application.begin()

    planned = application.run("plan")
    plan = planned.result.plan
    assert plan is not None, planned.result.message
    assert (plan.start, plan.target, plan.count) == (history.start, (history.head,), history.pending)
    assert planned.result.changed is False
    whole = planned.events_called("plan")[0]
    assert len(whole["revisions"]) == history.pending, "the log holds what a result has no room for"

    backup = application.backups.start("first", start=plan.start, version_table=plan.version_table).wait().result
    assert backup.backup is not None, backup.message
    assert (backup.backup.revisions, backup.backup.restorable) == (history.start, True)

    asked = ChecksAfter(tables=history.tables, integrity=True)
    migrated = application.run("migrate", expected=_expected(plan), after=asked)
    assert migrated.result.reason == "Done", migrated.result.message
    applied = [event["revision"] for event in migrated.events_called("revision-applied")]
    assert applied == whole["revisions"]
    assert migrated.result.heads == (history.head,)
    assert all(check.passed for check in migrated.result.migrate.checks)
    assert application.database.ask("SELECT version_num FROM alembic_version") == [(history.head,)]

    again = application.run("plan").result
    assert (again.plan.count, again.changed, again.catalog) == (0, False, migrated.result.catalog)
    application.tells()


@pytest.mark.parametrize("history", some(ALL, 1), ids=named)
def test_a_database_half_way_is_backed_up_and_taken_to_the_head_with_its_rows(application, history):
    application.begin()
    half = application.run("migrate", target=history.middle).result
    assert (half.reason, half.heads) == ("Done", (history.middle,)), half.message
    if history.rows:
        application.database.ask(history.rows)
    rows = application.kept()
    assert all(rows), "a table without rows shows nothing"

    plan = application.run("plan").result.plan
    assert plan.start == (history.middle,)
    assert plan.count == history.pending - len(half.migrate.applied)
    backup = application.backups.start("half", start=plan.start, version_table=plan.version_table).wait().result
    assert (backup.backup.revisions, backup.backup.restorable) == ((history.middle,), True), backup.message
    (manifest,) = application.backups.manifests
    assert sum(manifest.rows.values()) > sum(len(found) for found in rows)

    migrated = application.run("migrate", expected=_expected(plan)).result
    assert (migrated.reason, migrated.heads) == ("Done", (history.head,)), migrated.message
    assert application.kept() == rows
    assert history.told in application.tells()


@pytest.mark.parametrize("history", some(ALL, 1), ids=named)
def test_the_runner_leaves_the_schema_that_alembic_leaves(application, history):
    application.begin()
    application.upgrade_without_us()
    theirs = application.run("look").result
    assert theirs.heads == (history.head,), theirs.message

    application.database.ask("DROP OWNED BY shop CASCADE")
    assert application.database.tables() == set()
    application.begin()
    assert application.run("migrate").result.catalog == theirs.catalog


@pytest.mark.parametrize(
    ("history", "failed", "reached"),
    [
        # One transaction for all revisions: nothing stays.
        (MLFLOW, "451aebb31d03", ()),
        # One transaction a revision: the first, which does nothing, stays.
        (JUPYTERHUB, "eeb276e51423", ("19c0846f6344",)),
    ],
    ids=["mlflow", "jupyterhub"],
)
def test_a_history_that_expects_tables_fails_on_an_empty_database_and_says_where_it_stands(
    application, history, failed, reached
):
    planned = application.run("plan").result
    assert planned.plan.count == history.revisions
    result = application.run("migrate").result
    assert (result.reason, result.migrate.failed_revision) == ("MigrationFailed", failed)
    assert "42P01" in result.message
    assert (result.heads, result.migrate.applied, result.changed) == (reached, reached, bool(reached))
    assert application.database.tables() == ({"alembic_version"} if reached else set())


def _expected(plan):
    return ExpectedPlan(plan.hash, plan.start, plan.target, plan.version_table)
