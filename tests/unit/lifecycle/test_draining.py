"""Draining, contests and resuming, claim by claim; and that no loss of a restore leaves anybody shut out."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from dbmigration.api.reasons import Reason
from dbmigration.api.status import Outcome, Phase
from dbmigration.lifecycle.decide import decide
from dbmigration.lifecycle.observed import Waiting, WorkloadRef, WorkloadView
from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.contract.task import StepKind
from tests.unit.lifecycle.drains import STORE, WEB, sizes, tick
from tests.unit.lifecycle.laboratory import Laboratory, manifest


def told(lab: Laboratory, reason: Reason) -> list[str]:
    return [event.message for event in lab.events if event.reason is reason]


def rise(lab: Laboratory, ref: WorkloadRef, replicas: int, who: str) -> None:
    lab.workloads[ref] = replace(lab.workloads[ref], replicas=replicas, scaled_by=who)


def test_what_each_had_is_written_down_before_any_is_scaled(failed):
    failed.turn()
    assert [known.replicas for known in failed.status.drain.workloads] == [None, None]
    assert sizes(failed) == (2, 1)
    tick(failed)
    assert [known.replicas for known in failed.status.drain.workloads] == [2, 1]
    assert sizes(failed) == (0, 0)
    assert failed.finalizer


def test_pods_that_stay_are_waited_for_and_named(draining):
    draining.workloads[WEB] = replace(draining.workloads[WEB], pods=1)
    draining.workloads[STORE] = replace(draining.workloads[STORE], pods=0)
    for _ in range(5):
        tick(draining)
    assert draining.running is None
    assert draining.status.conditions[0].message == "Pods are still there: 1 of Deployment shop-web."


def test_a_workload_that_is_gone_is_drained(draining):
    del draining.workloads[STORE]
    draining.pods_follow()
    tick(draining)
    assert draining.running.kind is StepKind.RESTORE
    draining.play()
    assert (draining.status.phase, sizes(draining)) == (Phase.ROLLED_BACK, (2,))


@pytest.mark.parametrize("made", ["while the Pods go", "while it is restored"])
def test_one_that_is_made_only_meanwhile_is_held_down_and_gets_what_it_was_made_with(failed, made):
    """It was there at the plan, and was deleted since: whoever makes it again does not know of the restore."""
    del failed.workloads[STORE]
    failed.turn()
    tick(failed)
    assert sizes(failed) == (0,)
    if made == "while it is restored":
        failed.pods_follow()
        tick(failed)
        assert failed.running is not None
    failed.workloads[STORE] = WorkloadView(3, 3, 3, scaled_by="argocd-controller")
    tick(failed)
    assert sizes(failed) == (0, 0)
    if made == "while it is restored":
        assert told(failed, Reason.DRAIN_CONTESTED) == [
            "StatefulSet shop-store was scaled to 3 by argocd-controller. It is scaled to zero again; pause whoever does that."
        ]
        assert failed.status.drain.contested_at == failed.now
    failed.play()
    assert failed.status.phase is Phase.ROLLED_BACK
    assert sizes(failed) == (2, 3)


@pytest.mark.parametrize("stage", ["draining", "restoring"])
def test_whoever_scales_it_back_is_named_and_undone(stage, request):
    lab = request.getfixturevalue(stage)
    rise(lab, WEB, 2, "kube-controller-manager")
    tick(lab)
    assert sizes(lab) == (0, 0)
    (message,) = told(lab, Reason.DRAIN_CONTESTED)
    assert "Deployment shop-web" in message
    assert "kube-controller-manager" in message


def test_nobody_is_named_for_what_a_killed_operator_did_not_scale(failed):
    """Else whoever applied the manifest last week would be asked to pause."""
    failed.workloads[WEB] = replace(failed.workloads[WEB], scaled_by="helm", scaled_at=failed.now)
    failed.workloads[STORE] = replace(failed.workloads[STORE], scaled_by="helm", scaled_at=failed.now)
    tick(failed)
    failed.write(decide(failed.observe()).status)
    assert [known.replicas for known in failed.status.drain.workloads] == [2, 1]
    assert sizes(failed) == (2, 1)
    tick(failed)
    assert sizes(failed) == (0, 0)
    assert not told(failed, Reason.DRAIN_CONTESTED)
    failed.workloads[WEB] = replace(failed.workloads[WEB], replicas=2, scaled_at=failed.now)
    tick(failed)
    (message,) = told(failed, Reason.DRAIN_CONTESTED)
    assert "Deployment shop-web was scaled to 2 by helm" in message


@pytest.mark.parametrize("pause", ["at work", "refused"])
def test_while_it_is_drained_it_is_looked_at_again_and_again(restoring, pause):
    if pause == "refused":
        restoring.fail(RunnerReason.DATABASE_UNREACHABLE)
    tick(restoring)
    wake = restoring.turn().wake_at
    assert wake <= restoring.now + restoring.observe().pace.look_at_workloads


def test_a_drain_that_somebody_contests_for_too_long_is_given_up(draining):
    for _ in range(400):
        rise(draining, WEB, 2, "argocd-controller")
        tick(draining)
        if draining.status.phase is not Phase.DRAINING:
            break
    draining.play()
    assert (draining.status.phase, draining.status.conditions[0].reason) == (Phase.FAILED, "DrainContested")
    assert "argocd-controller" in draining.status.conditions[0].message
    assert (sizes(draining), draining.status.drain, draining.finalizer) == ((2, 1), None, False)


def test_why_a_drain_was_given_up_is_still_known_when_all_are_back_and_it_stays_so(draining):
    """Read afresh with the replicas back it would be another story; with the last Pod gone meanwhile, a restore beside the application."""
    draining.workloads[WEB] = replace(draining.workloads[WEB], pods=1)
    draining.workloads[STORE] = replace(draining.workloads[STORE], pods=0)
    for _ in range(2):
        tick(draining, 601)
    assert draining.status.phase is Phase.RESUMING
    for ref in (WEB, STORE):  # what was given back was lost, and the last Pod ended
        draining.workloads[ref] = WorkloadView(0)
    draining.play()
    assert (draining.status.phase, draining.status.conditions[0].reason) == (Phase.FAILED, "DrainContested")
    assert "Deployment shop-web has 1 Pods and is scaled to 0." in draining.status.conditions[0].message
    assert StepKind.RESTORE not in {ref.kind for ref in draining.started}
    assert sizes(draining) == (2, 1)


def test_an_autoscaler_that_wants_another_number_does_not_hold_up_the_end(restoring):
    restoring.answer()
    for _ in range(6):
        tick(restoring)
        restoring.pods_follow()
        rise(restoring, WEB, 3, "kube-controller-manager")
    assert (restoring.status.phase, restoring.status.drain) == (Phase.ROLLED_BACK, None)
    assert sizes(restoring) == (3, 1)


def test_replicas_that_a_killed_operator_did_not_give_back_are_given_back(restoring):
    restoring.answer()
    tick(restoring)
    assert restoring.status.phase is Phase.RESUMING
    for ref in (WEB, STORE):
        rise(restoring, ref, 0, "")
    restoring.play()
    assert (restoring.status.phase, sizes(restoring)) == (Phase.ROLLED_BACK, (2, 1))


def test_pods_that_do_not_become_ready_end_the_run_and_are_told(restoring):
    restoring.answer()
    tick(restoring)
    tick(restoring)
    tick(restoring, 600)
    assert restoring.status.phase is Phase.ROLLED_BACK
    assert told(restoring, Reason.WORKLOADS_NOT_READY)


@pytest.mark.parametrize("stage", ["draining", "restoring"])
def test_neither_suspend_nor_cancel_nor_an_edit_stops_an_emergency(stage, request):
    lab = request.getfixturevalue(stage)
    lab.cancel = "now"
    lab.spec = manifest(suspend=True, migrations={"source": {"image": {"reference": "shop:2"}}})
    lab.generation = 2
    tick(lab)
    lab.pods_follow()
    lab.play()
    assert lab.status.history[0].outcome is Outcome.ROLLED_BACK
    assert (sizes(lab), lab.heads, lab.status.drain) == ((2, 1), (), None)


@pytest.mark.parametrize("stage", ["draining", "restoring"])
def test_deleted_in_an_emergency_it_goes_with_all_replicas_back(stage, request):
    lab = request.getfixturevalue(stage)
    lab.deleting = True
    for _ in range(3):
        tick(lab)
        assert lab.finalizer
        assert sizes(lab) == ((0, 0) if stage == "restoring" else (2, 1))
        if stage == "draining":
            break
    lab.play()
    assert not lab.finalizer
    assert sizes(lab) == (2, 1)


def test_deleted_while_it_restores_it_is_held_down_still(restoring):
    restoring.deleting = True
    rise(restoring, WEB, 2, "kubectl")
    tick(restoring)
    assert sizes(restoring) == (0, 0)


def test_a_restore_that_is_lost_while_the_resource_goes_is_gone_on_with(restoring):
    """Its Pod may have left the database closed to everybody, and nobody else would open it."""
    restoring.deleting = True
    restoring.lose()
    tick(restoring)
    assert restoring.running.attempt == 2
    assert restoring.finalizer
    restoring.play()
    assert not restoring.finalizer
    assert (sizes(restoring), restoring.heads) == ((2, 1), ())


def test_a_namespace_that_goes_is_not_held_up_by_a_job_that_it_does_not_take(restoring):
    restoring.deleting = True
    restoring.lose()
    tick(restoring)
    restoring.steps[restoring.started[-1]] = Waiting(Reason.POD_REJECTED, "the namespace is being terminated")
    restoring.play()
    assert not restoring.finalizer
    assert sizes(restoring) == (2, 1)


def test_a_damaged_backup_does_not_keep_the_application_away(restoring):
    """It would be read again for the four hours that a restore may take, and be as damaged."""
    backup = restoring.status.run.backup
    restoring.fail(RunnerReason.BACKUP_CORRUPT, "its SHA-256 is another")
    restoring.play()
    assert (restoring.status.phase, restoring.status.conditions[0].reason) == (Phase.FAILED, "RollbackFailed")
    assert (sizes(restoring), restoring.status.drain, restoring.finalizer) == ((2, 1), None, False)
    message = restoring.status.conditions[0].message
    assert "its SHA-256 is another" in message
    assert "Restore another backup" in message
    assert f"Restore the backup {backup}" not in message


def test_a_disk_without_room_is_waited_for_as_long_as_pods_are_and_then_the_application_comes_back(restoring):
    """Room is made by a person; the four hours that a restore may take would be an outage for nothing."""
    started, patience = restoring.now, timedelta(minutes=10)
    while restoring.status.phase is not Phase.FAILED and restoring.now < started + 2 * patience:
        if restoring.running is not None:
            assert sizes(restoring) == (0, 0)
            restoring.fail(RunnerReason.DISK_SPACE_LOW, "80 GB are needed, 12 GB are free")
        tick(restoring, 10)
        restoring.pods_follow()
    assert restoring.now > started + patience
    condition = restoring.status.conditions[0]
    assert (restoring.status.phase, condition.reason) == (Phase.FAILED, "RollbackFailed")
    assert "There is no room for the restore: 80 GB are needed" in condition.message
    assert (sizes(restoring), restoring.status.drain, restoring.finalizer) == ((2, 1), None, False)
