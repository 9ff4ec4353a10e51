"""What follows a restore whose end nobody heard: a look that knows whether it took place, and that has its own time."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from dbmigration.api.reasons import Reason
from dbmigration.api.status import Outcome, Phase
from dbmigration.lifecycle.observed import Waiting
from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.contract.result import RestoreReport, RestoreStage
from dbmigration_runner.contract.task import StepKind
from tests.unit.lifecycle.drains import sizes, tick
from tests.unit.lifecycle.laboratory import Laboratory

KEPT = "before_restore_20261123_120000"
LONG_AGO = timedelta(hours=4, minutes=1)  # a restore may not take as long


def kinds(lab: Laboratory) -> list[StepKind]:
    return [ref.kind for ref in lab.started if ref.kind in {StepKind.RESTORE, StepKind.LOOK}]


def lose_all(lab: Laboratory, *, last: int = 0, each: timedelta = timedelta()) -> None:
    for after in (0, 0, last):
        assert lab.running.kind is StepKind.RESTORE
        lab.now += each
        lab.lose(after=after)
        tick(lab)
    assert lab.running.kind is StepKind.LOOK


def test_after_the_last_lost_restore_the_database_is_looked_at_which_opens_it(restoring):
    lose_all(restoring)
    restoring.play()
    assert (restoring.status.phase, restoring.status.conditions[0].reason) == (Phase.FAILED, "RollbackFailed")
    assert "lost 3 times" in restoring.status.conditions[0].message
    assert (sizes(restoring), restoring.status.drain) == ((2, 1), None)


def test_a_look_that_cannot_be_had_does_not_keep_the_application_away_for_ever(restoring):
    lose_all(restoring)
    began, patience = restoring.now, restoring.observe().pace.drain_patience
    while restoring.status.phase is not Phase.FAILED and restoring.now < began + 3 * patience:
        if restoring.running is not None:
            restoring.fail(RunnerReason.DATABASE_UNREACHABLE, heads=None)
        tick(restoring, 10)
        restoring.pods_follow()
    assert (restoring.status.phase, sizes(restoring)) == (Phase.FAILED, (2, 1))
    assert patience < restoring.now - began < 2 * patience
    assert kinds(restoring).count(StepKind.LOOK) > 1
    message = restoring.status.conditions[0].message
    assert "What the database is could not be read either; as it was last read: The database is at a1." in message


def test_a_look_that_is_refused_for_good_says_so(restoring):
    lose_all(restoring)
    restoring.fail(RunnerReason.WRONG_DATABASE, "adminUrlFrom leads to another server", heads=None)
    restoring.play()
    message = restoring.status.conditions[0].message
    assert "either: adminUrlFrom leads to another server. As it was last read: The database is at a1." in message
    assert sizes(restoring) == (2, 1)


def test_a_backup_in_place_that_is_at_other_heads_is_told(restoring):
    lose_all(restoring, last=3)
    report = RestoreReport("b", RestoreStage.SWAPPED, swapped=True, kept_as=KEPT)
    said = "The backup is in the database's place, but the database was read as at b2."
    restoring.fail(RunnerReason.VERIFICATION_FAILED, said, heads=("b2",), restore=report)
    restoring.play()
    assert restoring.status.phase is Phase.FAILED
    assert said in restoring.status.conditions[0].message
    assert [kept.name for kept in restoring.status.replaced] == [KEPT]


def test_the_last_look_is_told_what_was_to_be_restored_and_runs_as_who_may(restoring):
    """It is the application's URL and image no more than the restore was: it asks the server what became of that."""
    task = restoring.tasks[restoring.running]
    lose_all(restoring)
    look = restoring.tasks[restoring.running]
    assert look.restore == task.restore
    assert look.database == task.database
    assert look.database.admin_url_file is not None
    assert not look.runs_application


def test_a_restore_that_took_place_and_could_not_say_so_is_no_failure(restoring):
    """The third attempt exchanged the databases, and its Pod was lost before its last word."""
    lose_all(restoring, last=3)
    restoring.play()
    status = restoring.status
    assert (status.phase, status.run.outcome, restoring.heads) == (Phase.ROLLED_BACK, Outcome.ROLLED_BACK, ())
    assert (status.run.restored.kept_as, [known.name for known in status.replaced]) == (KEPT, [KEPT])
    assert f"The replaced database is kept as {KEPT}." in status.conditions[0].message
    assert (sizes(restoring), status.drain, restoring.finalizer) == ((2, 1), None, False)
    assert kinds(restoring) == [StepKind.RESTORE] * 3 + [StepKind.LOOK]


def test_an_order_that_took_place_and_could_not_say_so_is_carried_out(lab):
    lab.stored = {"old": ("a1",)}
    for _ in range(4):
        lab.settle()
        lab.answer() if lab.running is not None else None
    lab.order("old")
    while lab.running is None or lab.running.kind is not StepKind.RESTORE:
        lab.settle()
        if lab.running.kind is not StepKind.RESTORE:
            lab.answer()
    lose_all(lab, last=1)
    lab.play()
    assert lab.swapped == ["back"]
    assert (lab.status.phase, lab.heads, lab.said[-1].status.phase) == (Phase.RESTORED, ("a1",), Phase.SUCCEEDED)
    assert lab.status.run.restored.backup == "old"


def test_the_last_look_has_its_own_time_whatever_the_restores_took(restoring):
    """Three losses of 90 minutes are longer than timeouts.restore."""
    lose_all(restoring, last=3, each=timedelta(minutes=90))
    restoring.fail(RunnerReason.DATABASE_UNREACHABLE, heads=None)
    for _ in range(30):
        tick(restoring, 10)
    assert restoring.status.phase is not Phase.RESUMING
    assert sizes(restoring) == (0, 0)
    restoring.play()
    assert restoring.status.phase is Phase.ROLLED_BACK


def test_one_that_is_at_work_when_its_time_is_over_is_heard(restoring):
    """Its Pod came late; while it reads it would open the database, and its word is the one that counts."""
    lose_all(restoring, last=3)
    tick(restoring, 700)
    tick(restoring)
    restoring.play()
    assert restoring.status.phase is Phase.ROLLED_BACK


def test_one_that_does_not_even_begin_does_not_come_when_the_application_is_back(restoring):
    lose_all(restoring)
    look = restoring.running
    restoring.steps[look] = Waiting(Reason.POD_REJECTED, "exceeded quota")
    tick(restoring, 590)
    assert sizes(restoring) == (0, 0)
    tick(restoring, 20)
    assert look not in restoring.steps
    restoring.play()
    assert (restoring.status.phase, sizes(restoring)) == (Phase.FAILED, (2, 1))


@pytest.mark.parametrize("last", [0, 3], ids=["before the exchange", "behind it"])
def test_a_restore_that_could_not_open_the_database_again_is_looked_after(restoring, last):
    """The server went away within the fence, and the time is over: no other restore would open it."""
    restoring.now += LONG_AGO
    restoring.apply(restoring.tasks[restoring.running], last)
    restoring.fail(RunnerReason.CONNECTION_LOST, "The session with the database was lost", heads=None)
    tick(restoring)
    assert restoring.running.kind is StepKind.LOOK
    assert sizes(restoring) == (0, 0)
    restoring.play()
    message = restoring.status.conditions[0].message
    if last:
        assert (restoring.status.phase, restoring.status.run.restored.kept_as) == (Phase.ROLLED_BACK, KEPT)
    else:
        assert restoring.status.phase is Phase.FAILED
        assert "could not be restored in time: The session with the database was lost" in message
        assert "could not be read" not in message
    assert (sizes(restoring), restoring.status.drain) == ((2, 1), None)


def test_within_its_time_it_is_restored_again(restoring):
    restoring.fail(RunnerReason.CONNECTION_LOST, heads=None)
    tick(restoring)
    tick(restoring, 60)
    assert kinds(restoring) == [StepKind.RESTORE] * 2


@pytest.mark.parametrize("stage", RestoreStage)
@pytest.mark.parametrize("is_read", [True, False], ids=["read", "unread"])
def test_only_who_may_have_closed_the_database_and_did_not_read_it_since_is_looked_after(restoring, stage, is_read):
    """Who read the heads after the failure came in by the ordinary way; another look would keep the application waiting."""
    report = RestoreReport("b", stage)
    heads = restoring.heads if is_read else None
    restoring.fail(RunnerReason.RESTORE_NOT_POSSIBLE, "a slot was made", heads=heads, restore=report)
    tick(restoring)
    is_looked_at = not is_read and stage not in {RestoreStage.VERIFIED, RestoreStage.RESTORED}
    assert kinds(restoring) == [StepKind.RESTORE] + [StepKind.LOOK] * is_looked_at
    restoring.play()
    assert (restoring.status.phase, restoring.status.conditions[0].reason) == (Phase.FAILED, "RestoreNotPossible")
    assert "a slot was made" in restoring.status.conditions[0].message


def test_rows_that_may_not_go_are_told_with_the_one_command_that_goes_on(restoring):
    restoring.fail(RunnerReason.RESTORE_NEEDS_ACKNOWLEDGEMENT, "3 rows were written", heads=("a2",))
    restoring.play()
    condition = restoring.status.conditions[0]
    assert condition.reason == "RestoreNeedsAcknowledgement"
    assert "3 rows were written" in condition.message
    command = f"dbmigration restore shop --namespace shop --backup {restoring.status.run.backup} --accept-data-loss"
    assert f" If that may be: `{command}`. The migration had failed: " in condition.message


def test_what_an_attempt_before_the_last_may_have_closed_is_opened_too(restoring):
    restoring.lose()
    tick(restoring)
    restoring.fail(RunnerReason.BACKUP_CORRUPT, "its SHA-256 is another", heads=None)
    restoring.play()
    assert kinds(restoring) == [StepKind.RESTORE] * 2 + [StepKind.LOOK]
    assert "its SHA-256 is another" in restoring.status.conditions[0].message


def test_what_is_known_of_it_is_told_also_when_nothing_is_left_of_the_restore(restoring):
    restoring.now += LONG_AGO
    lost = restoring.fail(RunnerReason.CONNECTION_LOST, heads=None)
    tick(restoring)
    del restoring.steps[lost]
    restoring.play()
    message = restoring.status.conditions[0].message
    assert "The way back failed: The backup could not be restored: The connection broke in mid-work" in message


def test_a_backup_in_place_that_cannot_be_read_is_looked_at_until_it_can(restoring):
    lose_all(restoring, last=3)
    report = RestoreReport("b", RestoreStage.SWAPPED, swapped=True, kept_as=KEPT)
    restoring.fail(RunnerReason.VERIFICATION_FAILED, "read as at nothing", heads=None, restore=report)
    tick(restoring)
    assert restoring.status.phase is not Phase.RESUMING
    tick(restoring, 60)
    assert restoring.running.kind is StepKind.LOOK
    restoring.play()
    assert restoring.status.phase is Phase.ROLLED_BACK


def test_a_resource_that_goes_waits_for_that_look(restoring):
    restoring.now += LONG_AGO
    restoring.fail(RunnerReason.CONNECTION_LOST, heads=None)
    tick(restoring)
    restoring.deleting = True
    tick(restoring)
    assert restoring.finalizer
    assert sizes(restoring) == (0, 0)
    restoring.play()
    assert (sizes(restoring), restoring.finalizer) == ((2, 1), False)


@pytest.mark.parametrize("is_heard", [True, False], ids=["heard before it goes", "heard as it goes"])
def test_a_resource_that_goes_does_not_leave_a_database_closed(restoring, is_heard):
    restoring.fail(RunnerReason.CONNECTION_LOST, heads=None)
    if is_heard:
        tick(restoring)
    restoring.deleting = True
    tick(restoring)
    assert (restoring.running.kind, restoring.finalizer, sizes(restoring)) == (StepKind.LOOK, True, (0, 0))
    restoring.play()
    assert kinds(restoring) == [StepKind.RESTORE, StepKind.LOOK]
    assert (sizes(restoring), restoring.finalizer) == ((2, 1), False)


def test_a_resource_that_goes_waits_for_nothing_when_the_database_was_read_since(restoring):
    restoring.fail(RunnerReason.CONNECTION_LOST)
    restoring.deleting = True
    restoring.play()
    assert kinds(restoring) == [StepKind.RESTORE]
    assert (sizes(restoring), restoring.finalizer) == ((2, 1), False)


def test_a_look_of_the_migration_is_not_taken_for_that_of_the_restore(restoring):
    """All of this may happen within a second."""
    first = restoring.status.steps[0]
    look = replace(first, name=StepKind.LOOK.value, started_at=restoring.now)
    restoring.status = replace(restoring.status, steps=(look, *restoring.status.steps))
    for _ in range(3):
        restoring.lose()
        restoring.turn()
    assert kinds(restoring) == [StepKind.RESTORE] * 3 + [StepKind.LOOK]
