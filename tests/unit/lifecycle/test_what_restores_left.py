"""Databases that restores replaced: who is told to drop which, and when; claim by claim."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from dbmigration.api.reasons import Reason
from dbmigration.api.restored import Replaced
from dbmigration.lifecycle.observed import WorkloadRef, WorkloadView
from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.contract.result import MigrateReport
from dbmigration_runner.contract.task import StepKind
from tests.unit.lifecycle.laboratory import Laboratory, manifest

WEB = WorkloadRef("Deployment", "shop-web")
WEEK = timedelta(days=7)


def spec(image: str, target: str = "head", **rollback: object) -> dict[str, object]:
    return manifest(
        migrations={"source": {"image": {"reference": image}}},
        targetRevision=target,
        rollback={"onFailure": "Restore", **rollback},
        drain={"workloads": [{"kind": WEB.kind, "name": WEB.name}]},
        policy={"downgrade": "Allow"},
    )


def finish(lab: Laboratory) -> None:
    lab.play(30)
    assert lab.status.run.outcome is not None


def release(lab: Laboratory, image: str, target: str = "head", **rollback: object) -> str:
    """Another release runs to its end; the names that its backup was told to drop."""
    lab.spec = spec(image, target, **rollback)
    lab.generation += 1
    finish(lab)
    orders = [task.backup for ref, task in lab.tasks.items() if ref.run == lab.status.run.number and task.backup]
    return orders[-1].drop_replaced if orders else ()


def migrate(lab: Laboratory) -> None:
    """A first release is at its migrate step."""
    lab.spec = spec("shop:1")
    lab.workloads = {WEB: WorkloadView(2, 2, 2)}
    for _ in range(2):
        lab.turn()
        lab.answer()
    lab.turn()


def fail_half_way(lab: Laboratory) -> None:
    """It applies one revision and fails; the run comes to its end."""
    migrate(lab)
    lab.apply(lab.tasks[lab.running], 1)
    lab.fail(RunnerReason.MIGRATION_FAILED, changed=True, catalog=lab.catalog, migrate=MigrateReport(applied=("a1",)))
    finish(lab)


@pytest.fixture
def restored(lab: Laboratory) -> Laboratory:
    """A release failed half-way and the backup was restored."""
    fail_half_way(lab)
    assert [known.name for known in lab.status.replaced] == [lab.status.run.restored.kept_as]
    return lab


def test_it_is_named_with_the_time_and_the_run(restored):
    (kept,) = restored.status.replaced
    assert (kept.run, kept.outlived_by) == (1, None)
    assert restored.status.run.started_at <= kept.replaced_at <= restored.now


def test_what_half_a_revision_left_is_not_said_to_be_there_when_it_was_restored_away(lab):
    migrate(lab)
    torn = MigrateReport(failed_revision="a1", torn=True)
    lab.fail(RunnerReason.MIGRATION_FAILED, "a1 is half applied.", changed=True, catalog="half", migrate=torn)
    lab.turn()
    assert "still there" in lab.status.run.failure.message
    finish(lab)
    assert lab.status.run.restored is not None
    assert lab.status.conditions[0].message.endswith("a1 is half applied. 0 of 3 revisions were applied.")


def test_a_list_that_is_full_says_how_many_older_ones_it_does_not_name(lab):
    older = [Replaced(name=f"shop_{n}", replaced_at=lab.now - n * WEEK, run=1) for n in range(1, 51)]
    lab.status = replace(lab.status, replaced=tuple(older))
    fail_half_way(lab)
    names = [known.name for known in lab.status.replaced]
    assert (names[0], names[-1], len(names)) == (lab.status.run.restored.kept_as, "shop_49", 50)
    assert lab.status.replaced_untold == 1
    assert "names 50 replaced databases; 1 older one" in lab.status.conditions[0].message


def test_the_backup_of_the_run_that_follows_the_disaster_drops_nothing_however_old_it_is(restored):
    restored.now += 10 * WEEK
    assert release(restored, "shop:2", "a1") == ()
    assert [known.outlived_by for known in restored.status.replaced] == [2]


def test_after_a_later_success_the_backup_of_the_next_run_drops_it_and_an_event_tells(restored):
    (kept,) = restored.status.replaced
    release(restored, "shop:2", "a1")
    restored.now += WEEK
    assert release(restored, "shop:3", "b2") == (kept.name,)
    (event,) = [event for event in restored.events if event.reason is Reason.REPLACED_DROPPED]
    assert kept.name in event.message
    assert restored.status.replaced == ()


def test_it_stays_for_as_long_as_the_manifest_says(restored):
    (kept,) = restored.status.replaced
    release(restored, "shop:2", "a1")
    assert release(restored, "shop:3", "b2") == ()
    assert release(restored, "shop:4", "c3", keepReplaced="0s") == (kept.name,)


def test_a_run_that_changed_nothing_is_no_success_that_counts(restored):
    release(restored, "shop:2", "base")
    assert restored.status.conditions[0].reason == "UpToDate"
    assert restored.status.replaced[0].outlived_by is None


def test_one_that_could_not_be_dropped_is_kept_in_mind_and_tried_again(restored):
    (kept,) = restored.status.replaced
    release(restored, "shop:2", "a1")
    restored.now += WEEK
    restored.spec, restored.generation = spec("shop:3", "b2"), restored.generation + 1
    restored.turn()
    restored.answer()
    restored.turn()
    assert restored.running.kind is StepKind.BACKUP
    ref = restored.answer()
    result = restored.steps[ref].result
    restored.steps[ref] = replace(
        restored.steps[ref], result=replace(result, backup=replace(result.backup, dropped=(), missing=()))
    )
    finish(restored)
    assert [known.name for known in restored.status.replaced] == [kept.name]
    assert not [event for event in restored.events if event.reason is Reason.REPLACED_DROPPED]
    assert release(restored, "shop:4", "c3") == (kept.name,)
