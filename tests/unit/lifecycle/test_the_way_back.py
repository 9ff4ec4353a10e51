"""Downgrades, as a wish and after a failure, claim by claim."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from dbmigration.api.status import Outcome, Phase, Verification
from dbmigration.lifecycle.observed import Observed, WorkloadRef, WorkloadView
from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.contract.result import LOSES_DATA, Finding, MigrateReport
from dbmigration_runner.contract.task import StepKind
from tests.unit.lifecycle.laboratory import FACTS, HISTORY, Laboratory, manifest

WISH = manifest(targetRevision="a1", policy={"downgrade": "Allow"})
UNDO = manifest(rollback={"onFailure": "Downgrade"})
MARIADB = replace(FACTS, engine="mysql", flavour="MariaDB")


def kinds(lab: Laboratory) -> list[str]:
    return [ref.kind.value for ref in lab.started]


def ready(lab: Laboratory) -> tuple[str, str]:
    return lab.status.conditions[0].status.value, lab.status.conditions[0].reason


def finish(lab: Laboratory) -> None:
    """Steps answer until nothing runs any more."""
    lab.settle()
    while lab.running is not None:
        lab.answer()
        lab.settle()


@pytest.fixture
def ahead() -> Laboratory:
    """A database at the head of a release, and a wish for an older revision."""
    lab = Laboratory()
    finish(lab)
    lab.spec, lab.generation = WISH, 2
    return lab


@pytest.fixture
def half_way(lab: Laboratory) -> Laboratory:
    """The second of three revisions is about to fail; what was applied shall be undone."""
    lab.spec = UNDO
    for _ in range(2):
        lab.turn()
        lab.answer()
    lab.turn()
    lab.apply(lab.tasks[lab.running], 1)
    lab.fail(RunnerReason.MIGRATION_FAILED, changed=True, catalog=lab.catalog, migrate=MigrateReport(applied=("a1",)))
    return lab


def test_a_wish_is_planned_backed_up_and_undone(ahead):
    before = len(ahead.started)
    finish(ahead)
    assert kinds(ahead)[before:] == ["plan", "backup", "downgrade"]
    assert (ahead.status.phase, ready(ahead)) == (Phase.SUCCEEDED, ("True", "Succeeded"))
    assert (ahead.status.run.undone_revisions, ahead.status.run.applied_revisions) == (("c3", "b2"), ())
    assert ahead.heads == ("a1",)


def test_a_schema_that_nobody_recorded_is_not_said_to_be_the_one_before(ahead):
    finish(ahead)
    assert ahead.status.run.verified_by is Verification.REVISION
    assert "verified by revision only" in ahead.status.conditions[0].message


def test_a_fingerprint_of_another_release_is_not_compared(ahead):
    lab, old = ahead, "0:of another form"
    lab.status = replace(
        lab.status, history=(replace(lab.status.history[0], start_revisions=("a1",), catalog=old), *lab.status.history)
    )
    finish(lab)
    assert lab.status.run.verified_by is Verification.REVISION


def test_a_way_to_base_is_compared_also_without_a_backup(ahead):
    ahead.spec = manifest(targetRevision="base", policy={"downgrade": "Allow"})
    ahead.status = replace(ahead.status, backups=())
    finish(ahead)
    assert (ahead.heads, ahead.status.phase) == ((), Phase.SUCCEEDED)
    assert ahead.status.run.verified_by is Verification.SCHEMA
    assert "its schema is the one before the upgrade" in ahead.status.conditions[0].message


def test_data_that_nobody_gave_up_is_not_dropped_and_no_backup_is_made_for_it(ahead):
    ahead.turn()
    ref = ahead.answer()
    result = ahead.steps[ref].result
    told = Finding(LOSES_DATA, "Undoing c3 drops table orders with 12 rows.", "c3")
    plan = replace(result.plan, findings=(told,), loses_data=True)
    ahead.steps[ref] = replace(ahead.steps[ref], result=replace(result, plan=plan))
    ahead.settle()
    assert kinds(ahead)[-1] == "plan"
    assert (ahead.status.phase, ready(ahead)) == (Phase.FAILED, ("False", "DataLossNotAccepted"))
    assert "drops table orders with 12 rows. Set rollback.acceptDataLoss" in ahead.status.conditions[0].message


def test_a_failed_run_undoes_what_it_applied_and_nothing_else(half_way):
    half_way.settle()
    assert half_way.status.phase is Phase.ROLLING_BACK
    assert [event.reason.value for event in half_way.events][-2:] == ["MigrationFailed", "RollingBack"]
    task = half_way.tasks[half_way.running]
    assert (task.kind, task.undo, task.expected.start) == (StepKind.DOWNGRADE, True, ())
    finish(half_way)
    run = half_way.status.run
    assert (half_way.status.phase, ready(half_way)) == (Phase.ROLLED_BACK, ("False", "RolledBack"))
    assert (run.outcome, run.undone_revisions, half_way.heads) == (Outcome.ROLLED_BACK, ("a1",), ())
    assert half_way.status.history[0].reason == "MigrationFailed"
    assert not half_way.finalizer


def test_without_the_wish_a_failed_run_stays_where_it_is(half_way):
    half_way.spec = manifest()
    finish(half_way)
    assert (half_way.status.phase, half_way.heads) == (Phase.FAILED, ("a1",))


def test_a_half_applied_revision_is_not_answered_by_a_downgrade(half_way):
    ref = half_way.started[-1]
    torn = MigrateReport(applied=("a1",), failed_revision="b2", torn=True)
    half_way.steps[ref] = replace(half_way.steps[ref], result=replace(half_way.steps[ref].result, migrate=torn))
    half_way.settle()
    assert "downgrade" not in kinds(half_way)
    assert half_way.status.phase is Phase.FAILED
    assert (
        "Downgrade did not act, for no downgrade() undoes half a revision; DowngradeOrRestore would restore the backup "
        f"{half_way.status.run.backup}. The database is at" in half_way.status.conditions[0].message
    )


@pytest.mark.parametrize("wish", ["None", "Downgrade", "DowngradeOrRestore", "Restore"])
def test_where_nothing_stayed_it_is_told_that_no_way_back_was_needed(lab, wish):
    lab.spec = manifest(rollback={"onFailure": wish})
    for _ in range(2):
        lab.turn()
        lab.answer()
    lab.turn()
    lab.fail(RunnerReason.MIGRATION_FAILED, changed=False)
    lab.settle()
    assert (lab.status.phase, kinds(lab)) == (Phase.FAILED, ["plan", "backup", "migrate"])
    told = "said the step. Nothing of this run stayed, so there was nothing to undo or restore. The database is at"
    assert (told in lab.status.conditions[0].message) is (wish != "None")


def test_where_it_is_not_known_what_stayed_nothing_is_claimed(half_way):
    """The migration's own failure was not read afterwards: rows that it committed would be seen by nobody."""
    ref = half_way.started[-1]
    half_way.heads = ()
    answered = replace(half_way.steps[ref].result, changed=None, heads=None, catalog=None)
    half_way.steps[ref] = replace(half_way.steps[ref], result=answered)
    finish(half_way)
    message = half_way.status.conditions[0].message
    assert half_way.status.phase is Phase.FAILED
    assert "Nothing of this run stayed" not in message
    assert "Downgrade did not act, for no revision of this run counts as applied; DowngradeOrRestore would" in message


def test_a_schema_that_does_not_come_back_is_no_way_back(half_way):
    half_way.left = "readers"
    finish(half_way)
    assert kinds(half_way)[-1] == "compare"
    assert (half_way.status.phase, ready(half_way)) == (Phase.FAILED, ("False", "RollbackFailed"))
    message = half_way.status.conditions[0].message
    assert "readers" in message
    assert half_way.status.run.backup in message


def test_neither_an_edit_nor_a_cancel_nor_a_suspension_stops_the_way_back(half_way):
    half_way.settle()
    half_way.cancel = "now"
    half_way.spec = manifest(
        suspend=True, targetRevision="b2", migrations={"source": {"image": {"reference": "shop:2"}}}
    )
    half_way.generation = 2
    lost = half_way.lose()
    assert lost.kind is StepKind.DOWNGRADE
    half_way.settle()
    half_way.answer()  # the look
    half_way.settle()
    task = half_way.tasks[half_way.running]
    assert (task.kind, task.undo, task.migrations.target, task.migrations.image) == (
        StepKind.DOWNGRADE, True, "head", "shop:1.0",
    )  # fmt: skip
    half_way.answer()
    half_way.settle()
    assert half_way.status.history[0].outcome is Outcome.ROLLED_BACK


def test_a_lost_downgrade_is_looked_at_and_gone_on_with(half_way):
    half_way.settle()
    half_way.lose(after=1)
    finish(half_way)
    assert kinds(half_way)[-3:] == ["downgrade", "look", "downgrade"]
    assert (half_way.status.phase, half_way.status.run.undone_revisions) == (Phase.ROLLED_BACK, ("a1",))


@pytest.fixture
def two_back(half_way) -> Laboratory:
    """Two of three revisions were applied on a server that keeps what a killed revision did, and their downgrade is at work."""
    half_way.apply(half_way.tasks[half_way.started[-1]], 1)
    ref = half_way.started[-1]
    report = MigrateReport(applied=("a1", "b2"))
    result = replace(half_way.steps[ref].result, heads=half_way.heads, catalog=half_way.catalog, migrate=report)
    half_way.steps[ref] = replace(half_way.steps[ref], result=result)
    half_way.settle()
    assert half_way.running.kind is StepKind.DOWNGRADE
    return half_way


def looked(lab: Laboratory, **changes: Any) -> None:
    """The look behind a loss answers, from MariaDB."""
    lab.turn()
    lab.answer(database=MARIADB, **changes)
    lab.turn()


@pytest.mark.parametrize(("revisions", "goes_on"), [(0, True), (1, False), (2, True)])
def test_where_a_lost_downgrade_may_have_left_half_a_revision_it_is_not_run_again(two_back, revisions, goes_on):
    two_back.lose(after=revisions)
    looked(two_back)
    assert (two_back.running is not None) is goes_on
    finish(two_back)
    assert two_back.status.phase is (Phase.ROLLED_BACK if goes_on else Phase.FAILED)
    if not goes_on:
        message = two_back.status.conditions[0].message
        assert "MariaDB commits a revision piece by piece before it counts as undone" in message
        assert "nobody can tell whether the next one is half undone" in message
        assert f"The database is at a1. Restore the backup {two_back.status.run.backup}, or mend it by hand." in message


def test_a_schema_that_differs_at_the_same_revision_is_half_undone_and_told(two_back):
    two_back.lose()
    looked(two_back, catalog="1:something-else")
    assert (two_back.running, ready(two_back)) == (None, ("False", "RollbackFailed"))
    message = two_back.status.conditions[0].message
    assert "a revision is half undone. The database is at b2. Restore the backup" in message


def test_what_was_read_while_the_lost_one_still_worked_hides_no_half_undone_revision(two_back):
    half = "1:half of it"
    two_back.fail(RunnerReason.CONNECTION_LOST, changed=None, heads=two_back.heads, catalog=half)
    looked(two_back, catalog=half)
    assert "a revision is half undone" in two_back.status.conditions[0].message


@pytest.mark.parametrize("catalog", ["1:something-else", None])
def test_a_half_undone_revision_is_restored_where_that_is_wished(two_back, catalog):
    two_back.spec = manifest(rollback={"onFailure": "DowngradeOrRestore"})
    two_back.lose(after=0 if catalog else 1)
    looked(two_back, **({"catalog": catalog} if catalog else {}))
    finish(two_back)
    assert kinds(two_back)[-3:] == ["downgrade", "look", "restore"]
    assert (two_back.status.phase, two_back.heads) == (Phase.ROLLED_BACK, ())


def fail_half_way(lab: Laboratory, on_failure: str) -> None:
    """The wish comes one of two revisions far and fails."""
    lab.spec = manifest(targetRevision="a1", policy={"downgrade": "Allow"}, rollback={"onFailure": on_failure})
    for _ in range(2):
        lab.turn()
        lab.answer()
    lab.turn()
    lab.apply(lab.tasks[lab.running], 1)
    report = MigrateReport(applied=("c3",), failed_revision="b2")
    lab.fail(RunnerReason.MIGRATION_FAILED, changed=True, catalog=lab.catalog, migrate=report)


def test_a_failed_wish_is_not_undone_again(ahead):
    fail_half_way(ahead, "Downgrade")
    ahead.settle()
    assert (ahead.status.phase, ahead.heads) == (Phase.FAILED, HISTORY[1:2])
    assert "1 of 2 revisions were undone" in ahead.status.conditions[0].message
    assert "Downgrade did not act, for it undoes upgrades" in ahead.status.conditions[0].message


@pytest.mark.parametrize("wish", ["Restore", "DowngradeOrRestore"])
def test_a_failed_wish_is_restored_where_that_is_wished(ahead, wish):
    before = len(ahead.started)
    fail_half_way(ahead, wish)
    finish(ahead)
    assert kinds(ahead)[before:] == ["plan", "backup", "downgrade", "restore"]
    assert (ahead.status.phase, ready(ahead), ahead.heads) == (Phase.ROLLED_BACK, ("False", "RolledBack"), HISTORY[-1:])
    assert ahead.status.run.restored.backup == ahead.status.run.backup


def test_a_lost_wish_that_left_half_a_revision_is_told_as_half_undone(ahead):
    for _ in range(2):
        ahead.turn()
        ahead.answer()
    ahead.turn()
    ahead.lose()
    looked(ahead, catalog="1:something-else")
    assert ready(ahead) == ("False", "MigrationFailed")
    remedy = f"Look at what it changes and mend it by hand, or restore the backup {ahead.status.run.backup}, before"
    assert f"half undone. {remedy} the next run." in ahead.status.conditions[0].message


def test_the_finalizer_holds_on_the_way_back(half_way):
    half_way.settle()
    assert half_way.finalizer
    half_way.deleting = True
    seen: Observed = half_way.observe()
    assert seen.is_rolling_back
    half_way.settle()
    assert half_way.finalizer
    half_way.answer()
    half_way.settle()
    assert not half_way.finalizer


OLD = {"source": {"image": {"reference": "shop:0.9"}}}


def test_a_database_ahead_of_todays_image_is_taken_back_by_the_image_that_took_it_there(ahead):
    ahead.spec = manifest(migrations=OLD, policy={"downgrade": "Allow"})
    ahead.knows["shop:0.9"] = 1
    finish(ahead)
    assert kinds(ahead)[-4:] == ["plan", "plan", "backup", "downgrade"]
    first, second, *_ = (task.migrations for ref, task in ahead.tasks.items() if ref.run == 2)
    assert (first.image, first.target) == ("shop:0.9", "head")
    assert (second.image, second.target) == ("shop@sha256:1234", "a1")
    assert (ahead.status.phase, ahead.heads) == (Phase.SUCCEEDED, ("a1",))
    assert ahead.settle().actions == ()


def test_without_the_wish_it_is_refused(ahead):
    ahead.spec = manifest(migrations=OLD)
    ahead.knows["shop:0.9"] = 1
    finish(ahead)
    assert ready(ahead) == ("False", "UnknownRevision")


def test_where_no_image_is_recorded_that_took_it_there_it_is_refused(ahead):
    ahead.spec = manifest(migrations=OLD, policy={"downgrade": "Allow"})
    ahead.knows["shop:0.9"] = 1
    ahead.status = replace(ahead.status, history=())
    finish(ahead)
    assert ready(ahead) == ("False", "UnknownRevision")


def test_an_image_that_does_not_know_both_ends_either_is_asked_once(ahead):
    ahead.spec = manifest(migrations=OLD, policy={"downgrade": "Allow"})
    ahead.knows |= {"shop:0.9": 1, "shop@sha256:1234": 1}
    finish(ahead)
    assert kinds(ahead)[-2:] == ["plan", "plan"]
    assert ready(ahead) == ("False", "UnknownRevision")


def test_a_restore_keeps_the_replaced_database_under_a_dated_name_for_all_of_its_attempts(half_way):
    web = WorkloadRef("Deployment", "shop-web")
    half_way.workloads = {web: WorkloadView(2, 2, 2)}
    half_way.spec = manifest(
        rollback={"onFailure": "Restore"}, drain={"workloads": [{"kind": "Deployment", "name": "shop-web"}]}
    )
    half_way.settle()
    half_way.pods_follow()
    half_way.settle()
    half_way.lose()
    half_way.now += timedelta(hours=1)
    half_way.settle()
    orders = [task.restore for task in half_way.tasks.values() if task.kind is StepKind.RESTORE]
    assert [order.keep_as for order in orders] == ["before_restore_20261123_120000"] * 2
    half_way.answer()
    half_way.settle()
    half_way.pods_follow()
    half_way.settle()
    assert half_way.status.phase is Phase.ROLLED_BACK
    assert half_way.workloads[web].replicas == 2


def test_what_is_there_again_in_name_only_is_told_with_the_backup_that_has_its_data(half_way):
    half_way.settle()
    half_way.apply(half_way.tasks[half_way.running], 1)
    ref = half_way.answer()
    result = half_way.steps[ref].result
    told = replace(result.migrate, emptied=("the column orders.note",))
    half_way.steps[ref] = replace(half_way.steps[ref], result=replace(result, migrate=told))
    finish(half_way)
    run, message = half_way.status.run, half_way.status.conditions[0].message
    assert (run.outcome, run.emptied) == (Outcome.ROLLED_BACK, ("the column orders.note",))
    assert f"the column orders.note; the data is in the backup {run.backup}. The migration had failed" in message
    assert message in [event.message for event in half_way.events]
