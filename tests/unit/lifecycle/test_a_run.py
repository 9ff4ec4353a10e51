"""A run from its beginning to its end, claim by claim."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from dbmigration.api.reasons import Reason
from dbmigration.api.status import Outcome, Phase, StepState
from dbmigration.lifecycle.observed import Waiting
from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.contract.result import MigrateReport
from dbmigration_runner.contract.task import StepKind
from tests.unit.lifecycle.laboratory import FACTS, HISTORY, Laboratory, manifest


def ready(lab: Laboratory) -> tuple[str, ...]:
    return tuple(condition.status.value for condition in lab.status.conditions)


def reason(lab: Laboratory) -> str:
    return lab.status.conditions[0].reason


def kinds(lab: Laboratory) -> list[str]:
    return [ref.kind.value for ref in lab.started]


def test_plan_backup_migrate_and_nothing_else(lab):
    for _ in range(3):
        lab.turn()
        lab.answer()
    lab.turn()
    assert kinds(lab) == ["plan", "backup", "migrate"]
    assert (lab.status.phase, ready(lab)) == (Phase.SUCCEEDED, ("True", "False", "False"))
    assert lab.status.current_revisions == ("c3",)
    assert lab.status.run.applied_revisions == HISTORY
    assert lab.applied == list(HISTORY)
    assert not lab.finalizer


def test_a_finished_resource_rests_without_a_write(lab):
    for _ in range(3):
        lab.turn()
        lab.answer()
    lab.settle()
    writes = lab.writes
    assert lab.settle().actions == ()
    assert lab.writes == writes


def test_nothing_pending_succeeds_without_a_backup(lab):
    lab.heads = ("c3",)
    lab.turn()
    lab.answer()
    lab.turn()
    assert kinds(lab) == ["plan"]
    assert (lab.status.phase, reason(lab)) == (Phase.SUCCEEDED, "UpToDate")


def test_the_stated_risk_replaces_the_backup(lab):
    lab.spec = manifest(backup={"skip": {"reason": "a scratch database"}})
    lab.turn()
    lab.answer()
    lab.turn()
    assert kinds(lab) == ["plan", "migrate"]


def test_the_finalizer_is_there_before_the_migrate_step_and_only_then(lab):
    lab.turn()
    lab.answer()
    lab.turn()
    assert not lab.finalizer
    lab.answer()
    decision = lab.turn()
    names = [type(action).__name__ for action in decision.actions]
    assert names.index("AddFinalizer") < names.index("StartStep")


def test_a_new_image_is_a_new_run_with_only_its_own_revisions(lab):
    lab.spec = manifest(targetRevision="a1")
    for _ in range(3):
        lab.turn()
        lab.answer()
    lab.settle()
    lab.spec, lab.generation = manifest(targetRevision="head"), 2
    for _ in range(3):
        lab.turn()
        lab.answer()
    lab.settle()
    assert lab.status.run.number == 2
    assert lab.status.run.applied_revisions == ("b2", "c3")
    assert [entry.outcome for entry in lab.status.history] == [Outcome.SUCCEEDED, Outcome.SUCCEEDED]
    assert lab.status.backups[0].revisions == ("a1",)


def test_a_field_that_does_not_decide_starts_nothing(lab):
    for _ in range(3):
        lab.turn()
        lab.answer()
    lab.settle()
    lab.spec, lab.generation = manifest(locks={"timeout": "1s"}, suspend=True), 2
    lab.settle()
    assert lab.status.run.number == 1
    assert lab.status.observed_generation == 2
    assert {condition.observed_generation for condition in lab.status.conditions} == {2}


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (RunnerReason.AUTHENTICATION_FAILED, Reason.AUTHENTICATION_FAILED),
        (RunnerReason.DATABASE_UNREACHABLE, Reason.DATABASE_UNREACHABLE),
        (RunnerReason.LOCK_HELD, Reason.LOCK_HELD),
    ],
)
def test_what_can_be_mended_outside_is_tried_again_for_ever(lab, said, shown):
    for attempt in range(1, 30):
        lab.turn()
        assert lab.running.attempt == attempt
        lab.fail(said)
        decision = lab.turn()
        assert (ready(lab), reason(lab)) == (("False", "True", "False"), shown.value)
        assert lab.status.next_retry_time == decision.wake_at > lab.now
        lab.wait(decision)
    lab.turn()
    lab.answer()
    lab.turn()
    assert lab.status.phase is Phase.BACKING_UP
    assert lab.status.next_retry_time is None


def test_the_waits_grow_and_are_capped(lab):
    waits = []
    for _ in range(12):
        lab.turn()
        lab.fail(RunnerReason.DATABASE_UNREACHABLE)
        decision = lab.turn()
        waits.append((decision.wake_at - lab.now).total_seconds())
        lab.wait(decision)
    assert waits[0] <= 6
    assert waits[0] < waits[3] < waits[5]
    assert max(waits) <= 360


@pytest.mark.parametrize(
    "said", [RunnerReason.MULTIPLE_HEADS, RunnerReason.UNKNOWN_REVISION, RunnerReason.SCRIPT_ERROR]
)
def test_what_a_person_must_decide_ends_the_run(lab, said):
    lab.turn()
    lab.fail(said, "two heads")
    lab.turn()
    assert (lab.status.phase, ready(lab), reason(lab)) == (Phase.FAILED, ("False", "False", "True"), said.value)
    assert kinds(lab) == ["plan"]


def test_after_a_failure_a_new_generation_runs_again_even_if_nothing_that_decides_changed(lab):
    lab.turn()
    lab.fail(RunnerReason.MULTIPLE_HEADS)
    lab.settle()
    assert lab.status.run.number == 1
    lab.generation = 2
    lab.turn()
    assert lab.status.run.number == 2


def test_a_waiting_step_says_why_and_goes_on_once_it_is_mended(lab):
    lab.turn()
    ref = lab.running
    lab.steps[ref] = Waiting(Reason.SECRET_NOT_FOUND, 'secret "shop-db" not found')
    lab.turn()
    assert (ready(lab), reason(lab)) == (("False", "True", "False"), "SecretNotFound")
    lab.answer(ref)
    lab.turn()
    assert lab.status.phase is Phase.BACKING_UP


def test_a_step_that_never_ends_is_stopped_and_tried_again(lab):
    decision = lab.turn()
    lab.wait(decision)
    decision = lab.turn()
    assert reason(lab) == "StepOverdue"
    assert lab.running is None
    lab.wait(decision)
    lab.turn()
    assert lab.running.attempt == 2


def test_a_lost_plan_or_backup_is_simply_made_again(lab):
    lab.turn()
    lab.lose()
    lab.wait(lab.turn())
    lab.turn()
    lab.answer()
    lab.turn()
    lab.lose()
    decision = lab.turn()
    assert reason(lab) == "StepLost"
    lab.wait(decision)
    lab.turn()
    assert (lab.running.kind, lab.running.attempt) == (StepKind.BACKUP, 2)


def test_two_attempts_of_a_backup_never_share_a_name(lab):
    lab.turn()
    lab.answer()
    lab.turn()
    lab.lose()
    lab.wait(lab.turn())
    lab.turn()
    names = [task.backup.name for task in lab.tasks.values() if task.backup]
    assert len(names) == len(set(names)) == 2


def test_a_backup_of_another_moment_of_the_database_begins_the_run_anew(lab):
    lab.turn()
    lab.answer()
    lab.turn()
    lab.heads = ("a1",)
    lab.fail(RunnerReason.DATABASE_MOVED)
    lab.turn()
    assert (lab.status.history[0].outcome, lab.status.run.number) == (Outcome.SUPERSEDED, 2)
    lab.answer()
    lab.turn()
    assert lab.status.plan.start == ("a1",)


def test_a_failed_migration_says_where_the_database_is(migrating):
    migrating.apply(migrating.tasks[migrating.running], 1)
    migrating.fail(RunnerReason.MIGRATION_FAILED, "b2: relation exists.", changed=True, heads=("a1",))
    migrating.turn()
    message = migrating.status.conditions[0].message
    assert (migrating.status.phase, reason(migrating)) == (Phase.FAILED, "MigrationFailed")
    assert "b2: relation exists." in message
    assert "at a1" in message
    assert migrating.status.current_revisions == ("a1",)
    assert not migrating.finalizer


def test_what_a_failed_revision_left_behind_others_of_its_run_is_told(migrating):
    migrating.apply(migrating.tasks[migrating.running], 1)
    torn = MigrateReport(applied=("a1",), failed_revision="b2", torn=True)
    migrating.fail(RunnerReason.MIGRATION_FAILED, "b2 failed.", changed=True, heads=("a1",), migrate=torn)
    migrating.turn()
    assert "What the revision did before it failed is still there" in migrating.status.conditions[0].message


def test_a_lock_budget_that_ran_out_before_the_first_change_is_tried_again(migrating):
    migrating.fail(RunnerReason.LOCK_BUDGET_EXHAUSTED)
    decision = migrating.turn()
    assert ready(migrating) == ("False", "True", "False")
    migrating.wait(decision)
    migrating.turn()
    assert (migrating.running.kind, migrating.running.attempt) == (StepKind.MIGRATE, 2)
    assert kinds(migrating).count("backup") == 1


def test_success_that_the_reading_does_not_confirm_is_no_success(migrating):
    migrating.answer(heads=("b2",))
    migrating.turn()
    assert (migrating.status.phase, reason(migrating)) == (Phase.FAILED, "VerificationFailed")


def test_a_lost_migrate_pod_is_looked_at_and_never_replaced(migrating):
    migrating.lose()
    migrating.turn()
    assert migrating.running.kind is StepKind.LOOK
    assert [step.state for step in migrating.status.steps if step.name == "migrate"] == [StepState.LOST]
    migrating.answer()
    migrating.turn()
    assert (migrating.running.kind, migrating.running.attempt) == (StepKind.MIGRATE, 2)
    migrating.answer()
    migrating.settle()
    assert migrating.status.phase is Phase.SUCCEEDED
    assert migrating.applied == list(HISTORY)


@pytest.mark.parametrize("revisions", [0, 1, 2, 3])
def test_wherever_a_migration_was_lost_each_revision_is_applied_once(migrating, revisions):
    migrating.lose(after=revisions)
    for _ in range(2):
        migrating.turn()
        migrating.answer()
    migrating.settle()
    assert migrating.status.phase is Phase.SUCCEEDED
    assert migrating.applied == list(HISTORY)
    assert kinds(migrating).count("backup") == 1


def test_a_schema_that_differs_at_the_same_revision_is_half_applied_and_nothing_goes_on(migrating):
    migrating.lose()
    migrating.turn()
    migrating.answer(catalog="1:something-else")
    migrating.turn()
    assert (migrating.status.phase, reason(migrating)) == (Phase.FAILED, "MigrationFailed")
    assert "half applied" in migrating.status.conditions[0].message


def test_a_fingerprint_of_another_release_does_not_show_a_half_applied_revision(migrating):
    migrating.lose()
    migrating.turn()
    migrating.answer(catalog="2:something-else")
    migrating.turn()
    assert (migrating.running.kind, migrating.running.attempt) == (StepKind.MIGRATE, 2)


@pytest.mark.parametrize(("revisions", "is_told"), [(0, False), (1, True), (2, True), (3, False)])
def test_where_a_lost_revision_may_be_half_applied_behind_others_it_is_not_run_again(migrating, revisions, is_told):
    migrating.lose(after=revisions)
    migrating.turn()
    migrating.answer(database=replace(FACTS, engine="mysql", flavour="MariaDB"))
    migrating.turn()
    failed = (migrating.status.phase, reason(migrating)) == (Phase.FAILED, "MigrationFailed")
    assert (failed, migrating.running is None) == (is_told, is_told)
    assert ("nobody can tell whether the next one is half applied" in migrating.status.conditions[0].message) is is_told


def test_a_migration_that_is_lost_every_time_ends(migrating):
    for _ in range(20):
        if migrating.running is None:
            break
        if migrating.running.kind is StepKind.MIGRATE:
            migrating.lose()
        else:
            migrating.answer()
        decision = migrating.turn()
        if decision.wake_at and migrating.running is None:
            migrating.wait(decision)
            migrating.turn()
    assert (migrating.status.phase, reason(migrating)) == (Phase.FAILED, "StepLost")


def test_a_vanished_migrate_job_is_a_lost_one(migrating):
    migrating.vanish()
    migrating.turn()
    assert migrating.running.kind is StepKind.LOOK


def test_a_vanished_plan_job_is_made_again_under_its_name(lab):
    lab.turn()
    lab.vanish()
    lab.turn()
    assert [ref.attempt for ref in lab.started] == [1, 1]


def test_a_migration_that_failed_of_itself_is_not_tried_again_even_if_nobody_could_read_what_it_left(migrating):
    migrating.fail(RunnerReason.MIGRATION_FAILED, "r2: division by zero", changed=None, heads=None)
    migrating.turn()
    assert migrating.running.kind is StepKind.LOOK
    migrating.answer()
    migrating.turn()
    assert (migrating.status.phase, reason(migrating)) == (Phase.FAILED, "MigrationFailed")
    assert kinds(migrating).count("migrate") == 1


def test_after_a_loss_another_database_behind_the_url_ends_the_run(migrating):
    migrating.lose()
    migrating.turn()
    migrating.answer(database=replace(FACTS, fingerprint="postgresql:9/9"))
    migrating.turn()
    assert (migrating.status.phase, reason(migrating)) == (Phase.FAILED, "WrongDatabase")


def test_a_backup_that_grew_old_while_the_migration_waited_is_taken_anew(migrating):
    migrating.fail(RunnerReason.LOCK_BUDGET_EXHAUSTED)
    migrating.turn()
    migrating.now += timedelta(hours=25)
    migrating.turn()
    assert (migrating.status.history[0].reason, migrating.status.run.number) == ("BackupTooOld", 2)
    for _ in range(3):
        migrating.answer()
        migrating.turn()
    assert migrating.status.phase is Phase.SUCCEEDED
    assert [backup.name.split("-")[1] for backup in migrating.status.backups] == ["2", "1"]
