"""How a decision says where things stand: phase, conditions, Events, always in the same words.

It must not decide where things stand.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from dbmigration.api.conditions import Standing, conditions
from dbmigration.api.reasons import Reason
from dbmigration.api.restored import Restored, TableLoss
from dbmigration.api.status import Phase, Status, StepState
from dbmigration.lifecycle.decision import Emit
from dbmigration.lifecycle.observed import Ended, Observed
from dbmigration_runner.contract.counting import counted
from dbmigration_runner.contract.heads import named
from dbmigration_runner.contract.row_kinds import by_kind, explained
from dbmigration_runner.contract.task import StepKind

# Of a revision that failed behind something it had committed; true until a restore.
HALF_STAYS = (
    " What the revision did before it failed is still there, although it does not count as applied: "
    "undo it by hand, or restore the backup, before the next run."
)
# Between why the migration failed and why the downgrade did that was to undo it, where a restore follows.
DOWNGRADE_HAD_FAILED = " The downgrade had failed: "


def standing(  # noqa: PLR0917  # reads as a sentence: how, why, what
    seen: Observed, status: Status, how: Standing, reason: Reason, message: str, phase: Phase | None = None
) -> Status:
    """Set the conditions and, where it changes, the phase."""
    drained = status.drain is not None and status.drain.drained_at is not None
    besides = ("Drained",) * drained + ("RolledBack",) * (reason is Reason.ROLLED_BACK)
    return replace(
        status,
        observed_generation=seen.generation,
        phase=phase or status.phase,
        conditions=conditions(
            status.conditions, how, reason, message, generation=seen.generation, now=seen.now, besides=besides
        ),
    )


def news(seen: Observed, status: Status, reason: Reason, message: str, *, warning: bool) -> tuple[Emit, ...]:
    """An Event, unless the Ready condition said the same before: a retry is no news."""
    before = next((condition for condition in seen.status.conditions if condition.type == "Ready"), None)
    after = next((condition for condition in status.conditions if condition.type == "Ready"), None)
    if before is not None and after is not None and (before.reason, before.message) == (after.reason, after.message):
        return ()
    return (Emit(reason, message, warning),)


def warnings(seen: Observed, status: Status) -> tuple[Emit, ...]:
    """Events about what a step saw that the status now says has succeeded; a failed one's cause is news enough."""
    started = {step.job for step in seen.status.steps if step.state is StepState.STARTED}
    ended = [step for step in status.steps if step.job in started and step.state is StepState.SUCCEEDED]
    noted = status.schema_note if any(step.name == StepKind.PLAN.value for step in ended) else ""
    known = (Emit(Reason.STEP_WARNED, noted, warning=True),) if noted else ()
    return known + tuple(
        Emit(Reason.STEP_WARNED, f"{step.name}: {warning}", warning=True)
        for step in ended
        if isinstance(view := seen.view(step), Ended)
        for warning in view.result.warnings
    )


def dropped(seen: Observed, status: Status) -> tuple[Emit, ...]:
    """Events about databases that were kept, and that are no longer."""
    left = [known for known in seen.status.replaced if known not in status.replaced and known.outlived_by is not None]
    still = {known.name for known in status.replaced}
    return tuple(
        Emit(
            Reason.REPLACED_DROPPED,
            f"{known.name}, which the restore of run {known.run} had replaced, is not there any more: run {known.outlived_by} "
            "succeeded since, and the backup of this one was verified.",
        )
        for known in left
        if known.name not in still
    )


def differing(restored: Restored) -> str:
    """The rows that a restore took, reset and brought back, by kind; "" where none is known."""
    found = explained(restored.inserted, restored.updated, restored.deleted, is_done=True)
    # What an earlier release carried out has but the one sum.
    return found or (f"{counted(restored.lost_rows, 'row')} that differed" if restored.lost_rows else "")


def of_table(loss: TableLoss) -> str:
    """The same of one table, and why it may be more."""
    found = by_kind(loss.inserted, loss.updated, loss.deleted)
    if not found:
        return f"{loss.table}: {loss.untold}"
    return f"{loss.table} {found}{f' ({loss.untold})' if loss.untold else ''}"


def sentence(text: str) -> str:
    """A text that another sentence may follow."""
    trimmed = text.rstrip()
    return trimmed if trimmed.endswith((".", "!", "?", ":", "…")) else f"{trimmed}."


def heads(revisions: Iterable[str] | None) -> str:
    """Heads for a sentence."""
    if revisions is None:
        return "an unknown revision"
    return named(revisions)


def position(status: Status) -> str:
    """Where the database is, as last read."""
    if status.current_revisions is None:
        return "The database's revision could not be read."
    return f"The database is at {heads(status.current_revisions)}."
