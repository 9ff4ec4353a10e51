"""drain.when: Always: the application stands still from before the backup to the run's end, and returns on every way out."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from dbmigration.api.reasons import Reason
from dbmigration.api.status import Outcome, Phase
from dbmigration.lifecycle.observed import Stopping, WorkloadRef, WorkloadView
from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.contract.result import MigrateReport
from dbmigration_runner.contract.result import Outcome as Answered
from dbmigration_runner.contract.task import StepKind
from tests.unit.lifecycle.laboratory import HISTORY, Laboratory, manifest

WEB = WorkloadRef("Deployment", "shop-web")
DRAIN = {"workloads": [{"kind": WEB.kind, "name": WEB.name}], "when": "Always"}
SPEC = manifest(rollback={"onFailure": "Restore"}, drain=DRAIN)


def tick(lab: Laboratory, seconds: int = 2) -> None:
    lab.now += timedelta(seconds=seconds)
    lab.turn()


def until(lab: Laboratory, kind: StepKind) -> Laboratory:
    """Steps answer and Pods follow until this one is at work."""
    for _ in range(12):
        if lab.running is not None and lab.running.kind is kind:
            return lab
        if lab.running is not None:
            lab.answer()
        tick(lab)
        lab.pods_follow()
    raise AssertionError(lab.status.phase)


def fails_half_way(lab: Laboratory) -> None:
    lab.apply(lab.tasks[lab.running], 1)
    lab.fail(RunnerReason.MIGRATION_FAILED, changed=True, catalog=lab.catalog, migrate=MigrateReport(applied=("a1",)))


def rise(lab: Laboratory) -> None:
    lab.workloads[WEB] = replace(lab.workloads[WEB], replicas=2, scaled_by="kubectl")


def replicas(lab: Laboratory) -> int:
    return lab.workloads[WEB].replicas


@pytest.fixture
def shop(lab: Laboratory) -> Laboratory:
    lab.spec = SPEC
    lab.workloads = {WEB: WorkloadView(2, 2, 2)}
    return lab


def test_it_stands_still_from_before_the_backup_until_the_success(shop):
    until(shop, StepKind.BACKUP)
    assert (replicas(shop), shop.status.drain.drained_at is not None) == (0, True)
    until(shop, StepKind.MIGRATE)
    assert replicas(shop) == 0
    assert [condition.type for condition in shop.status.conditions][3:] == ["Drained"]
    shop.answer()
    tick(shop)
    assert (shop.status.phase, shop.status.run.outcome, replicas(shop)) == (Phase.RESUMING, None, 2)
    shop.play()
    assert (shop.status.phase, shop.heads) == (Phase.SUCCEEDED, HISTORY[-1:])
    assert (shop.status.drain, shop.finalizer) == (None, False)


def test_the_backup_waits_until_no_pod_is_left(shop):
    shop.turn()
    shop.answer()
    for _ in range(5):
        tick(shop)
    assert (replicas(shop), shop.running, shop.status.phase) == (0, None, Phase.DRAINING)
    shop.pods_follow()
    tick(shop)
    assert shop.running.kind is StepKind.BACKUP


def test_where_nothing_is_pending_nothing_stands_still(shop):
    shop.heads = HISTORY[-1:]
    shop.play()
    assert shop.status.phase is Phase.SUCCEEDED
    assert not [event for event in shop.events if event.reason is Reason.DRAINING]


def test_a_restore_by_such_a_run_has_nothing_to_compare(shop):
    fails_half_way(until(shop, StepKind.MIGRATE))
    tick(shop)
    assert shop.running.kind is StepKind.RESTORE, "it is drained already"
    assert shop.tasks[shop.running].restore.nothing_written
    assert replicas(shop) == 0
    shop.play()
    assert (shop.status.phase, shop.heads, replicas(shop)) == (Phase.ROLLED_BACK, (), 2)


@pytest.mark.parametrize("during", [StepKind.BACKUP, StepKind.MIGRATE])
def test_once_somebody_scaled_it_back_what_it_wrote_is_compared(shop, during):
    until(shop, during)
    rise(shop)
    tick(shop)
    assert replicas(shop) == 0
    assert [event for event in shop.events if event.reason is Reason.DRAIN_CONTESTED]
    fails_half_way(until(shop, StepKind.MIGRATE))
    until(shop, StepKind.RESTORE)
    assert not shop.tasks[shop.running].restore.nothing_written


def test_seen_scaled_back_only_with_the_end_of_the_restore_it_is_not_said_to_have_stood_still(shop):
    fails_half_way(until(shop, StepKind.MIGRATE))
    until(shop, StepKind.RESTORE)
    assert shop.tasks[shop.running].restore.nothing_written
    rise(shop)
    shop.answer()
    tick(shop)
    shop.play()
    (message, *_) = (condition.message for condition in shop.status.conditions)
    assert "was seen with replicas or Pods while the restore was at work; what it wrote was not looked for." in message


def test_a_restore_that_believes_in_a_drain_that_was_broken_is_stopped_and_the_next_one_compares(shop):
    fails_half_way(until(shop, StepKind.MIGRATE))
    until(shop, StepKind.RESTORE)
    first = shop.running
    shop.now += timedelta(seconds=2)  # not in the second of its start
    rise(shop)
    tick(shop)
    assert isinstance(shop.steps[first], Stopping)
    tick(shop)
    shop.answer(first, outcome=Answered.FAILED, reason=RunnerReason.CANCELLED.value, changed=False, restore=None)
    tick(shop)
    second = shop.running
    assert (second.kind, second.attempt) == (StepKind.RESTORE, first.attempt + 1)
    assert not shop.tasks[second].restore.nothing_written
    assert replicas(shop) == 0
    for _ in range(3):
        tick(shop)
        assert shop.running == second, "it knows what the first did not"
    shop.play()
    assert (shop.status.phase, replicas(shop)) == (Phase.ROLLED_BACK, 2)
    assert shop.status.run.restored.compared


def test_a_restore_that_is_stopped_within_a_second_is_made_again_once(shop):
    """A status knows seconds: a step of the second in which a workload rose could not be told from one that believes."""
    fails_half_way(until(shop, StepKind.MIGRATE))
    first = until(shop, StepKind.RESTORE).running
    tick(shop)
    rise(shop)
    shop.turn()
    shop.turn()
    shop.answer(first, outcome=Answered.FAILED, reason=RunnerReason.CANCELLED.value, changed=False, restore=None)
    for _ in range(4):
        shop.now += timedelta(milliseconds=200)
        shop.turn()
    assert shop.running is None
    for _ in range(6):
        tick(shop, 1)
        assert shop.running is not None
        assert shop.running.attempt == first.attempt + 1
    assert not shop.tasks[shop.running].restore.nothing_written


def test_drained_only_for_the_restore_all_that_was_written_is_compared(shop):
    shop.spec = manifest(rollback={"onFailure": "Restore"}, drain={**DRAIN, "when": "OnRestore"})
    fails_half_way(until(shop, StepKind.MIGRATE))
    assert replicas(shop) == 2
    until(shop, StepKind.RESTORE)
    assert not shop.tasks[shop.running].restore.nothing_written


def test_a_copy_on_the_server_is_made_by_the_backup_that_everybody_was_drained_for(shop):
    backup = {"storage": {"persistentVolumeClaim": {"claimName": "backups"}}, "clone": True}
    shop.spec = manifest(rollback={"onFailure": "Restore"}, drain=DRAIN, backup=backup)
    shop.turn()
    assert shop.tasks[shop.running].policy.clones, "an engine that makes none is told by the plan"
    until(shop, StepKind.BACKUP)
    assert shop.tasks[shop.running].backup.clone


def test_the_status_names_the_copy_until_a_restore_takes_it_or_another_backup_is_made(shop):
    backup = {"storage": {"persistentVolumeClaim": {"claimName": "backups"}}, "clone": True}
    shop.spec = manifest(rollback={"onFailure": "Restore"}, drain=DRAIN, backup=backup)
    fails_half_way(until(shop, StepKind.MIGRATE))
    assert [known.clone for known in shop.status.backups] == ["dbmigration_clone_1"]
    shop.play()
    assert shop.status.phase is Phase.ROLLED_BACK
    assert [known.clone for known in shop.status.backups] == [""]


def test_a_wish_for_a_copy_that_comes_with_nobody_drained_waits_for_the_next_run(shop):
    """It would put the application's sessions out, and a restore could not do without a comparison."""
    shop.spec = manifest(drain={**DRAIN, "when": "OnRestore"})
    shop.turn()
    shop.answer()
    backup = {"storage": {"persistentVolumeClaim": {"claimName": "backups"}}, "clone": True}
    shop.spec = manifest(drain={**DRAIN, "when": "OnRestore"}, backup=backup)
    until(shop, StepKind.BACKUP)
    assert not shop.tasks[shop.running].backup.clone


def test_a_restore_is_told_whose_sessions_it_may_let_be(shop):
    shop.spec = manifest(rollback={"onFailure": "Restore", "sparedUsers": ["monitor"]}, drain=DRAIN)
    fails_half_way(until(shop, StepKind.MIGRATE))
    until(shop, StepKind.RESTORE)
    assert shop.tasks[shop.running].restore.spared_users == ("monitor",)


def test_a_wish_that_comes_after_the_backup_drains_nothing_for_this_run(shop):
    shop.spec = manifest()
    until(shop, StepKind.BACKUP)
    shop.spec, shop.generation = SPEC, 2
    until(shop, StepKind.MIGRATE)
    assert (replicas(shop), shop.status.drain) == (2, None)


@pytest.mark.parametrize("at", [StepKind.BACKUP, StepKind.MIGRATE])
def test_a_failure_that_is_no_way_back_s_business_gives_it_back(shop, at):
    until(shop, at)
    shop.fail(RunnerReason.CHECK_FAILED if at is StepKind.MIGRATE else RunnerReason.BACKUP_CORRUPT)
    if at is StepKind.BACKUP:
        shop.steps[shop.started[-1]] = replace(
            shop.steps[shop.started[-1]],
            result=replace(shop.steps[shop.started[-1]].result, reason="ClientToolsTooOld"),
        )
    shop.play()
    assert (shop.status.phase, replicas(shop), shop.status.drain) == (Phase.FAILED, 2, None)


@pytest.mark.parametrize("at", [StepKind.BACKUP, StepKind.MIGRATE])
def test_what_is_outside_is_not_waited_for_without_an_end_while_the_application_stands_still(shop, at):
    until(shop, at)
    for _ in range(400):
        if shop.running is not None:
            assert shop.running.kind is at
            shop.fail(RunnerReason.DATABASE_UNREACHABLE)
        tick(shop, 300)
        shop.pods_follow()
        if shop.status.run.outcome is not None:
            break
    assert (shop.status.phase, shop.status.conditions[0].reason) == (Phase.FAILED, "TimedOut")
    assert (replicas(shop), shop.heads) == (2, ())


def test_pods_that_do_not_leave_end_the_run_before_anything_is_begun(shop):
    until(shop, StepKind.PLAN)
    shop.answer()
    for _ in range(3):
        tick(shop)
    tick(shop, 601)
    for _ in range(4):
        tick(shop)
    assert replicas(shop) == 2
    shop.pods_follow()
    tick(shop)
    assert (shop.status.phase, shop.status.conditions[0].reason) == (Phase.FAILED, "DrainContested")
    assert "nothing was begun" in shop.status.conditions[0].message
    assert [ref.kind for ref in shop.started] == [StepKind.PLAN]


def test_suspended_before_anything_is_changed_it_does_not_stand_still_for_an_unknown_time(shop):
    until(shop, StepKind.BACKUP)
    shop.spec, shop.generation = {**SPEC, "suspend": True}, 2
    for _ in range(6):
        tick(shop)
        shop.steps = {ref: view for ref, view in shop.steps.items() if ref != shop.started[-1]}
        shop.pods_follow()
    assert (replicas(shop), shop.status.drain, shop.running) == (2, None, None)
    assert shop.status.conditions[0].reason == "Suspended"
    shop.spec, shop.generation = SPEC, 3
    shop.play()
    shop.play()
    assert (shop.status.phase, shop.heads, replicas(shop)) == (Phase.SUCCEEDED, HISTORY[-1:], 2)


def test_cancelled_before_the_migration_it_returns_and_a_cancel_that_is_taken_back_begins_anew(shop):
    until(shop, StepKind.BACKUP)
    shop.cancel = "now"
    tick(shop)
    shop.vanish()
    tick(shop)
    assert (shop.status.phase, replicas(shop)) == (Phase.RESUMING, 2)
    shop.cancel = ""
    shop.play()
    shop.play()
    assert shop.status.phase is Phase.SUCCEEDED
    assert [entry.outcome for entry in shop.status.history] == [Outcome.SUCCEEDED, Outcome.SUPERSEDED]
    assert (replicas(shop), shop.heads) == (2, HISTORY[-1:])


def test_a_restore_that_is_wished_for_while_the_application_returns_comes_too_late(shop):
    """What it writes by now would be thrown away without a word."""
    shop.spec = manifest(drain=DRAIN)
    fails_half_way(until(shop, StepKind.MIGRATE))
    tick(shop)
    assert (shop.status.phase, replicas(shop)) == (Phase.RESUMING, 2)
    shop.spec, shop.generation = SPEC, 2
    for _ in range(2):
        tick(shop)
        shop.pods_follow()
    assert StepKind.RESTORE not in {ref.kind for ref in shop.started}
    assert shop.status.history[0].outcome is Outcome.FAILED
