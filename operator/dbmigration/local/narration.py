"""Tells whoever watches what has become different, one sentence a fact, from one status to the next.

Pure. It must not tell anything that is not in the status.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from dbmigration.api.status import Backup, ConditionStatus, Plan, Procedure, Status, Step, StepState
from dbmigration.lifecycle.progress import size
from dbmigration.lifecycle.telling import DOWNGRADE_HAD_FAILED, heads
from dbmigration_runner.contract.counting import counted
from dbmigration_runner.contract.heads import named
from dbmigration_runner.contract.task import StepKind

_BEGINNINGS = {
    StepKind.PLAN: "Reading the database and the scripts",
    StepKind.FIND: "Looking for the backup, and at what the database is",
    StepKind.BACKUP: "Writing a backup and reading it back",
    StepKind.MIGRATE: "Upgrading and verifying",
    StepKind.DOWNGRADE: "Undoing revisions and verifying",
    StepKind.COMPARE: "Comparing the schema with the one before the upgrade",
    StepKind.RESTORE: "Restoring the backup",
    StepKind.LOOK: "Looking at the database after a loss",
}


def news(before: Status, now: Status) -> Iterator[str]:
    """What happened between two looks."""
    if now.run is not None and (before.run is None or before.run.number != now.run.number):
        yield f"Run {now.run.number}."
    yield from _endings(before, now)
    yield from _failures(before, now)
    yield from _beginnings(before, now)
    if now.progress and now.progress != before.progress:
        yield f"  {now.progress}"
    yield from _trouble(before, now)


def _failures(before: Status, now: Status) -> Iterator[str]:
    if now.run is None or now.run.failure is None:
        return
    told = before.run.failure.message if before.run is not None and before.run.failure is not None else ""
    migration, _, downgrade = now.run.failure.message.partition(DOWNGRADE_HAD_FAILED)
    then = (
        "The backup is to be restored."
        if now.run.procedure is Procedure.RESTORE
        else "What it applied is to be undone."
    )
    if not told:
        yield f"The migration failed: {migration} {then}"
    if downgrade and DOWNGRADE_HAD_FAILED not in told:
        yield f"The downgrade failed: {downgrade} {then}"


def _endings(before: Status, now: Status) -> Iterator[str]:
    known = {step.job: step for step in before.steps}
    for step in now.steps:
        old = known.get(step.job)
        if old is None or (old.state is StepState.STARTED and step.state is not StepState.STARTED):
            yield from _ending(step, now)


def _beginnings(before: Status, now: Status) -> Iterator[str]:
    known = {step.job for step in before.steps}
    for step in now.steps:
        if step.job not in known and step.state is StepState.STARTED:
            again = f" (attempt {step.attempt})" if step.attempt > 1 else ""
            yield f"{_BEGINNINGS[StepKind(step.name)]}{again} …"


def _ending(step: Step, now: Status) -> Iterator[str]:
    match step.state:
        case StepState.STARTED:
            return
        case StepState.SUCCEEDED:
            yield _answer(step, now)
        case _:
            yield f"The {step.name} step: {step.state.value}{f' ({step.reason})' if step.reason else ''}."


def _answer(step: Step, now: Status) -> str:
    match StepKind(step.name):
        case StepKind.PLAN:
            return planned(now.plan) if now.plan else "Planned."
        case StepKind.BACKUP:
            return backed_up(now.backups[0]) if now.backups else "Backed up."
        case StepKind.COMPARE:
            left = len(now.run.left_behind) if now.run else 0
            differs = f"The schema differs in {counted(left, 'item')}."
            return differs if left else "The schema is the one before the upgrade."
        case StepKind.FIND:
            estimate = f" {now.run.order.estimate}" if now.run and now.run.order else ""
            return f"Found: {now.run.backup if now.run else 'the backup'}.{estimate}"
        case StepKind.MIGRATE | StepKind.DOWNGRADE | StepKind.RESTORE | StepKind.LOOK:
            return f"The database was read: it is at {heads(now.current_revisions)}."


def _trouble(before: Status, now: Status) -> Iterator[str]:
    said = {(condition.type, condition.reason, condition.message) for condition in before.conditions}
    for condition in now.conditions[:1]:
        if (condition.type, condition.reason, condition.message) in said:
            continue
        if condition.status is ConditionStatus.FALSE and now.next_retry_time is not None:
            yield f"{condition.reason}: {condition.message} It is tried again at {now.next_retry_time:%H:%M:%S} UTC."


def planned(plan: Plan) -> str:
    """A plan in one sentence."""
    if plan.count == 0:
        return f"Planned: nothing is pending, the database is at {heads(plan.start)}."
    statements = f", {counted(plan.statements, 'statement')}" if plan.statements is not None else ""
    undone = " to undo" if plan.downgrade else ""
    return f"Planned: {counted(plan.count, 'revision')}{undone}{statements}, from {short_heads(plan.start)} to {short_heads(plan.target)}."


def backed_up(backup: Backup) -> str:
    """A backup in one sentence."""
    return f"Backed up: {backup.name}, {size(backup.size_bytes)}, sha256 {backup.sha256[:12]}…, read back whole; {restorable(backup.restorable, backup.note)}."


def restorable(found: bool | None, note: str) -> str:  # noqa: FBT001  # the three answers of a probe
    """What the restore probe found, in words."""
    match found:
        case True:
            return "its schema was restored in a probe"
        case False:
            return f"NOT restorable: {note.rstrip('.')}"
        case None:
            return ": ".join(part for part in ("not probed", note.rstrip(".")) if part)


def short_heads(revisions: tuple[str, ...] | None) -> str:
    """Heads for a table; what nobody could read is said to be so."""
    if revisions is None:
        return "unknown"
    return named(revisions)


def span(length: timedelta) -> str:
    """A duration for humans."""
    seconds = int(length.total_seconds())
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
