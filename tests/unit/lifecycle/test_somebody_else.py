"""What somebody else does to a step: ends its Pod by a signal, or with all its traces."""

from __future__ import annotations

import pytest

from dbmigration.api.status import Phase
from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.contract.result import MigrateReport
from dbmigration_runner.contract.task import StepKind
from tests.unit.lifecycle.laboratory import HISTORY, Laboratory


def told_to_stop(lab: Laboratory, *, after: int = 0) -> None:
    """The step obeys SIGTERM, which a drained node sends, and reports in good order; a migration came so far."""
    ref = lab.running
    assert ref is not None
    done = lab.apply(lab.tasks[ref], after) if ref.kind is StepKind.MIGRATE else ()
    report = MigrateReport(applied=done) if done else None
    lab.fail(RunnerReason.CANCELLED, changed=bool(done), heads=lab.heads, migrate=report)


@pytest.mark.parametrize("answered_before", [0, 1])
def test_a_plan_or_backup_that_a_drained_node_stops_is_made_again(lab, answered_before):
    lab.turn()
    for _ in range(answered_before):
        lab.answer()
        lab.turn()
    kind = lab.running.kind
    told_to_stop(lab)
    lab.wait(lab.turn())
    assert lab.status.conditions[0].reason == "StepInterrupted"
    lab.turn()
    assert (lab.running.kind, lab.running.attempt) == (kind, 2)


@pytest.mark.parametrize("revisions", [0, 1, 2, 3])
def test_a_migration_that_a_drained_node_stops_is_looked_at_and_goes_on(migrating, revisions):
    told_to_stop(migrating, after=revisions)
    migrating.turn()
    assert migrating.running.kind is StepKind.LOOK
    for _ in range(2):
        migrating.answer()
        migrating.turn()
    migrating.settle()
    assert migrating.status.phase is Phase.SUCCEEDED
    assert migrating.applied == list(HISTORY)


def test_a_cancelled_migration_that_obeys_is_not_started_again(migrating):
    migrating.cancel = "now"
    told_to_stop(migrating, after=1)
    migrating.settle()
    assert (migrating.status.phase, migrating.heads) == (Phase.CANCELLED, ("a1",))


@pytest.mark.parametrize("revisions", [0, 1, 2, 3])
def test_what_a_lost_migration_applied_is_told_too(migrating, revisions):
    migrating.lose(after=revisions)
    migrating.turn()
    migrating.answer()
    migrating.turn()
    assert migrating.status.run.applied_revisions == HISTORY[:revisions]
    migrating.answer()
    migrating.settle()
    assert migrating.status.run.applied_revisions == HISTORY


def test_what_an_attempt_applied_that_was_given_up_too_early_is_told_too(migrating):
    first = migrating.running
    migrating.lose()
    migrating.turn()
    migrating.answer()
    migrating.turn()
    migrating.apply(migrating.tasks[first], 1)
    migrating.answer()
    migrating.settle()
    assert migrating.status.run.applied_revisions == HISTORY
