"""What people do to a resource while it runs: edit, suspend, cancel, retry, delete, share a database."""

from __future__ import annotations

import pytest

from dbmigration.api.status import Outcome, Phase
from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.contract.task import StepKind
from tests.unit.lifecycle.laboratory import HISTORY, manifest


def reason(lab):
    return lab.status.conditions[0].reason


def test_an_edit_before_the_migrate_step_supersedes_once_its_pods_are_gone(lab):
    lab.turn()
    lab.answer()
    lab.turn()
    assert lab.running.kind is StepKind.BACKUP
    lab.spec, lab.generation = manifest(targetRevision="b2"), 2
    lab.turn()
    assert reason(lab) == "Stopping"
    lab.turn()
    assert lab.status.run.number == 1
    lab.vanish()
    lab.turn()
    assert (lab.status.history[0].outcome, lab.status.run.number) == (Outcome.SUPERSEDED, 2)
    assert lab.running.kind is StepKind.PLAN


def test_an_edit_during_the_migrate_step_waits_for_its_end(migrating):
    migrating.spec, migrating.generation = manifest(targetRevision="b2", suspend=False), 2
    migrating.turn()
    assert migrating.running.kind is StepKind.MIGRATE
    migrating.answer()
    migrating.turn()
    assert migrating.status.history[0].outcome is Outcome.SUCCEEDED
    assert (migrating.status.run.number, migrating.running.kind) == (2, StepKind.PLAN)
    assert [event.reason.value for event in migrating.events[-2:]] == ["Succeeded", "Planning"]


def test_the_success_of_an_edited_spec_is_never_that_of_the_edit(migrating):
    """Whoever waits for the new generation to be Ready would go on too early."""
    migrating.spec, migrating.generation = manifest(targetRevision="b2"), 2
    migrating.answer()
    migrating.turn()
    ready = migrating.status.conditions[0]
    assert (ready.status.value, ready.reason, ready.observed_generation) == ("Unknown", "Planning", 2)


def test_an_edit_of_a_suspended_resource_is_not_ready(migrating):
    migrating.answer()
    migrating.settle()
    migrating.spec, migrating.generation = manifest(targetRevision="b2", suspend=True), 2
    migrating.settle()
    ready = migrating.status.conditions[0]
    assert (ready.status.value, ready.reason, ready.observed_generation) == ("Unknown", "Suspended", 2)
    migrating.spec, migrating.generation = manifest(suspend=True), 3
    migrating.settle()
    assert migrating.status.run.number == 1


def test_a_wish_that_comes_back_after_another_one_was_suspended_is_planned_again(migrating):
    """Nothing was done meanwhile, and yet nobody would ever say Ready again."""
    migrating.answer()
    migrating.settle()
    migrating.spec, migrating.generation = manifest(targetRevision="b2", suspend=True), 2
    migrating.settle()
    assert (migrating.status.phase, reason(migrating)) == (Phase.PENDING, "Suspended")
    migrating.spec, migrating.generation = manifest(), 3
    migrating.settle()
    migrating.answer()
    migrating.settle()
    assert (migrating.status.phase, reason(migrating), migrating.heads) == (Phase.SUCCEEDED, "UpToDate", HISTORY[-1:])


def test_an_edit_that_suspends_in_mid_migration_is_not_ready_at_its_end(migrating):
    migrating.spec, migrating.generation = manifest(targetRevision="b2", suspend=True), 2
    migrating.answer()
    migrating.turn()
    assert (reason(migrating), migrating.status.history[0].outcome) == ("Suspended", Outcome.SUCCEEDED)


def test_suspended_from_birth_nothing_starts(lab):
    lab.spec = manifest(suspend=True)
    lab.settle()
    assert (lab.started, lab.status.run, reason(lab)) == ([], None, "Suspended")
    lab.spec, lab.generation = manifest(), 2
    lab.turn()
    assert lab.running.kind is StepKind.PLAN


def test_suspended_in_mid_run_the_step_ends_and_the_next_one_waits(lab):
    lab.turn()
    lab.spec, lab.generation = manifest(suspend=True), 2
    lab.answer()
    lab.settle()
    assert (lab.running, reason(lab)) == (None, "Suspended")
    lab.spec, lab.generation = manifest(), 3
    lab.turn()
    assert lab.running.kind is StepKind.BACKUP


def test_suspension_never_stops_a_migration(migrating):
    migrating.spec, migrating.generation = manifest(suspend=True), 2
    migrating.turn()
    migrating.answer()
    migrating.settle()
    assert migrating.status.phase is Phase.SUCCEEDED


def test_cancelled_before_the_migration_nothing_was_changed(lab):
    lab.turn()
    lab.cancel = "now"
    lab.turn()
    lab.vanish()
    lab.turn()
    assert (lab.status.phase, lab.status.run.outcome) == (Phase.CANCELLED, Outcome.CANCELLED)
    assert lab.applied == []
    lab.settle()
    assert lab.status.run.number == 1


def test_cancelled_in_mid_migration_the_database_is_looked_at_before_the_end(migrating):
    task = migrating.tasks[migrating.running]
    migrating.cancel = "now"
    migrating.turn()
    migrating.apply(task, 1)
    migrating.vanish()
    migrating.turn()
    assert migrating.running.kind is StepKind.LOOK
    migrating.answer()
    migrating.turn()
    assert (migrating.status.phase, migrating.status.current_revisions) == (Phase.CANCELLED, ("a1",))
    assert "a1" in migrating.status.conditions[0].message
    assert not migrating.finalizer


def test_a_migration_that_ended_before_it_could_be_cancelled_has_succeeded(migrating):
    migrating.answer()
    migrating.cancel = "too late"
    migrating.settle()
    assert migrating.status.run.outcome is Outcome.SUCCEEDED
    assert migrating.status.run.number == 1


def test_a_retry_token_repeats_once(lab):
    lab.turn()
    lab.fail(RunnerReason.MULTIPLE_HEADS)
    lab.settle()
    lab.retry = "again"
    lab.turn()
    assert lab.status.run.number == 2
    lab.fail(RunnerReason.MULTIPLE_HEADS)
    lab.settle()
    assert lab.status.run.number == 2


def test_the_token_that_was_there_at_birth_is_not_a_wish(lab):
    lab.cancel = lab.retry = "left over"
    lab.turn()
    assert lab.running.kind is StepKind.PLAN


def test_a_deleted_resource_goes_at_once_before_the_migration(lab):
    lab.turn()
    lab.deleting = True
    decision = lab.turn()
    assert decision.actions == ()
    assert not lab.finalizer


def test_a_deleted_resource_is_held_until_its_migration_has_ended(migrating):
    migrating.deleting = True
    migrating.turn()
    assert migrating.finalizer
    migrating.answer()
    migrating.turn()
    assert not migrating.finalizer


@pytest.mark.parametrize("held", ["shop/other"])
def test_a_database_that_another_resource_works_on_is_waited_for_and_planned_again(lab, held):
    lab.turn()
    lab.turn_held_by = held
    lab.answer()
    decision = lab.turn()
    assert reason(lab) == "WaitingForTurn"
    assert held in lab.status.conditions[0].message
    assert decision.wake_at is not None
    lab.settle()
    assert [ref.kind.value for ref in lab.started] == ["plan"]
    lab.turn_held_by, lab.heads = None, ("a1",)
    lab.turn()
    assert (lab.running.kind, lab.running.attempt) == (StepKind.PLAN, 2)
    lab.answer()
    lab.turn()
    lab.answer()
    lab.turn()
    lab.answer()
    lab.settle()
    assert lab.status.run.applied_revisions == HISTORY[1:]


def test_no_more_runs_at_once_than_there_is_room_for(lab):
    lab.has_room = False
    lab.settle()
    assert (lab.started, reason(lab)) == ([], "WaitingForTurn")
    lab.has_room = True
    lab.turn()
    assert lab.running.kind is StepKind.PLAN
