"""What a run left of a revision is known until the schema is whole again: told by the next plan, and in every backup of it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from dbmigration.api.status import Phase
from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.contract.result import MigrateReport
from dbmigration_runner.contract.task import StepKind
from tests.unit.lifecycle.laboratory import Laboratory, manifest

NOTE = "Run 1 left a part of a revision behind. b2 is half applied."


def go(lab: Laboratory, until: StepKind | None = None) -> None:
    """Steps answer one after the other, until such a one runs or none does."""
    lab.turn()
    for _ in range(20):
        if lab.running is None or lab.running.kind is until:
            return
        lab.answer()
        lab.now += timedelta(seconds=2)
        lab.turn()


def again(lab: Laboratory, until: StepKind | None = None, **changes: object) -> None:
    """The spec changes, and the next run comes so far."""
    lab.spec = manifest(**changes)
    lab.generation += 1
    go(lab, until)


@pytest.fixture
def torn(lab: Laboratory) -> Laboratory:
    """The run applied a1 and half of b2, and nobody undid it."""
    go(lab, StepKind.MIGRATE)
    lab.apply(lab.tasks[lab.running], 1)
    lab.left = "half"
    told = MigrateReport(applied=("a1",), failed_revision="b2", torn=True)
    lab.fail(RunnerReason.MIGRATION_FAILED, "b2 is half applied.", changed=True, catalog=lab.catalog, migrate=told)
    lab.turn()
    assert lab.status.phase is Phase.FAILED
    assert lab.status.schema_note.startswith(NOTE)
    return lab


def test_the_next_run_tells_it_in_its_plan_an_event_and_its_backup(torn):
    seen = len(torn.events)
    again(torn, StepKind.MIGRATE, targetRevision="c3")
    finding = torn.status.plan.findings[0]
    assert (finding.code, finding.message) == ("SchemaNoted", torn.status.schema_note)
    assert torn.status.schema_note in [event.message for event in torn.events[seen:]]
    assert torn.status.backups[0].schema_note == torn.status.schema_note
    assert not torn.status.backups[1].schema_note


def test_a_run_without_a_backup_or_without_anything_to_do_tells_it_too(torn):
    again(torn, targetRevision="a1", backup={"skip": {"reason": "scratch"}})
    assert torn.status.phase is Phase.SUCCEEDED
    assert torn.status.conditions[0].message.endswith(torn.status.schema_note)
    again(torn, StepKind.MIGRATE, backup={"skip": {"reason": "scratch"}})
    assert torn.status.plan.findings[0].message == torn.status.schema_note


def test_it_is_over_when_the_revisions_are_there_as_a_whole(torn):
    again(torn, targetRevision="c3")
    assert (torn.status.phase, torn.status.schema_note) == (Phase.SUCCEEDED, "")


@pytest.mark.parametrize(("left", "is_over"), [("", True), ("half", False)])
def test_undoing_other_revisions_does_not_undo_it_unless_the_schema_says_so(torn, left, is_over):
    again(torn, StepKind.DOWNGRADE, targetRevision="base", policy={"downgrade": "Allow"})
    torn.left = left
    go(torn)
    assert torn.status.phase is Phase.SUCCEEDED
    assert (not torn.status.schema_note) is is_over


def test_a_schema_that_became_another_one_was_worked_at(torn):
    torn.left = ""
    again(torn, StepKind.MIGRATE, targetRevision="c3")
    assert not torn.status.schema_note
    assert not torn.status.plan.findings
    assert not torn.status.backups[0].schema_note


@pytest.mark.parametrize("which", [0, 1])
def test_a_restored_backup_brings_back_what_was_known_when_it_was_taken(torn, which):
    again(torn, StepKind.MIGRATE, targetRevision="c3")
    torn.answer()
    go(torn)
    assert not torn.status.schema_note
    backup = torn.status.backups[which]
    torn.order(backup.name)
    for _ in range(6):  # drained, fenced, restored, back
        go(torn)
        torn.pods_follow()
    assert torn.status.run.restored.backup == backup.name
    assert torn.status.schema_note == backup.schema_note
    assert bool(backup.schema_note) is (which == 0)
