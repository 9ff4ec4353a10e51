"""The stage that puts the run's backup in the place of the database, once nothing writes to that any more.

Its step can be made again after every loss: it finds what the one before it left, and goes on or begins anew. A last one that
did not tell what became of the database is looked after before the run ends. It must not drain or resume anything.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from dbmigration.api.conditions import Standing
from dbmigration.api.explanations import EXPLANATIONS, ReasonClass, classify
from dbmigration.api.reasons import Reason
from dbmigration.api.status import Step, StepState
from dbmigration.api.units import duration
from dbmigration.lifecycle import attempts, draining, ends, record, schema_notes
from dbmigration.lifecycle.attempts import Answer, Lost
from dbmigration.lifecycle.decision import Decision, StopStep
from dbmigration.lifecycle.observed import Ended, Observed, Running, StepRef, Waiting
from dbmigration.lifecycle.telling import heads, sentence
from dbmigration_runner.contract.result import Outcome, RestoreStage, Result
from dbmigration_runner.contract.task import StepKind

_LOST_RESTORES = 3
# Words of one who may have been within the fence, and may not have opened the database again.
_MAY_HAVE_FENCED = {
    Reason.CONNECTION_LOST,
    Reason.STEP_LOST,
    Reason.LOCK_LOST,
    Reason.SESSION_STAYS,
    Reason.FENCED,
    Reason.TIMED_OUT,
    Reason.CANCELLED,
    Reason.INTERNAL_ERROR,
}
_UNREAD, _LAST_READ = "What the database is could not be read either", "as it was last read:"
_BEFORE_THE_FENCE = {None, RestoreStage.VERIFIED, RestoreStage.RESTORED}


def restore(seen: Observed) -> Observed | Decision:
    """Restore, and believe it only when the heads were read back."""
    step = seen.latest(StepKind.RESTORE)
    if step is None:
        if seen.status.drain is not None and (why := seen.status.drain.given_up):
            return ends.fail(seen, Reason.DRAIN_CONTESTED, f"The workloads could not be drained: {why}.")
        return _start(seen)
    if looks := last_looks(seen):
        return _look(seen, looks)
    if isinstance(seen.view(step), Running | Waiting) and draining.believes_what_is_not(seen, step):
        return _interrupt(seen, step)
    match attempts.stand(seen, step):
        case Lost(after, words):
            return _again(after, words)
        case Answer() as answer:
            return _judge(answer.seen, answer.result)
        case known:
            return known


def look_before_leaving(seen: Observed) -> Decision | None:
    """A look behind a restore that failed and may have left the database closed, when nobody else would make one: the resource goes."""
    step = seen.latest(StepKind.RESTORE)
    view = seen.view(step) if step is not None else None
    if step is None or not isinstance(view, Ended) or view.result.outcome is Outcome.SUCCEEDED or last_looks(seen):
        return None
    if not _may_be_closed(seen, view.result):
        return None
    if step.state is StepState.STARTED:
        why = classify(view.result.reason)[0]
        seen = replace(seen, status=record.step_ended(seen.status, step, StepState.FAILED, seen.now, why))
    return attempts.start(seen, StepKind.LOOK, view.result.message)


def last_looks(seen: Observed) -> tuple[Step, ...]:
    """The looks behind the last restore: once there is one, nothing is restored any more, and its answer ends the run."""
    steps = seen.status.steps
    last = max((index for index, step in enumerate(steps) if step.name == StepKind.RESTORE.value), default=len(steps))
    return tuple(step for step in steps[last + 1 :] if step.name == StepKind.LOOK.value)


def _again(seen: Observed, words: str = "") -> Decision:
    if _losses(seen) >= _LOST_RESTORES:
        # The last one may have left the database closed to everybody, or have put the backup in its place.
        return attempts.start(seen, StepKind.LOOK, words)
    return _start(seen, words)


def _start(seen: Observed, words: str = "") -> Decision:
    begins_at = draining.told_apart_from(seen)
    if begins_at is not None:
        message = "A drained workload has risen: the restore step that compares begins with the next second."
        return replace(attempts.rest(seen, Standing.WORKING, Reason.RESTORING, message), wake_at=begins_at)
    return attempts.start(seen, StepKind.RESTORE, words)


def _judge(seen: Observed, result: Result) -> Observed | Decision:
    if result.outcome is Outcome.SUCCEEDED:
        return _restored(seen, result)
    verdict = _verdict(seen, result)
    if verdict is None:
        return attempts.refused(seen, StepKind.RESTORE, result)
    if _may_be_closed(seen, result):
        return attempts.start(seen, StepKind.LOOK, result.message)
    return ends.fail(seen, *verdict)


def _look(seen: Observed, looks: tuple[Step, ...]) -> Observed | Decision:
    """It has its own time, whatever the restores took: whoever reads the database opens it, and knows whether it is the backup."""
    step, reason, message = looks[-1], *_given_up(seen)
    if seen.now > looks[0].started_at + seen.pace.drain_patience:
        if step.state is not StepState.STARTED:
            return ends.fail(seen, reason, f"{sentence(message)} {_UNREAD}; {_LAST_READ}")
        if isinstance(seen.view(step), Waiting):
            return _withdraw(seen, step)
    answer = attempts.asked(seen, StepKind.LOOK)
    if isinstance(answer, Decision):
        return answer
    seen, result = answer.seen, answer.result
    if result.outcome is Outcome.SUCCEEDED and result.restore is not None:
        return _restored(seen, result)
    why, meaning = classify(result.reason)
    if result.heads is not None:
        if result.restore is None:
            return ends.fail(seen, reason, message)
        # It is in place, and yet at other heads than the backup.
        return ends.fail(_kept(seen, result), why, result.message)
    if meaning is ReasonClass.DECISION and result.restore is None:
        told = f"{sentence(message)} {_UNREAD}: {sentence(result.message)} {_LAST_READ.capitalize()}"
        return ends.fail(seen, reason, told)
    return attempts.retry_later(seen, StepKind.LOOK, why, result.message or why.value)


def _withdraw(seen: Observed, step: Step) -> Decision:
    """It does not even begin, and must not come when the application is back."""
    run = seen.open_run
    assert run is not None  # noqa: S101  # steps belong to an open run
    status = record.step_ended(seen.status, step, StepState.STOPPED, seen.now, Reason.STEP_OVERDUE)
    return Decision(status, (StopStep(StepRef(run.number, StepKind.LOOK, step.attempt)),), seen.now)


def _interrupt(seen: Observed, step: Step) -> Decision:
    """It obeys where it may, and the next one compares; one that comes to its end first says that it did not."""
    run = seen.open_run
    assert run is not None  # noqa: S101  # steps belong to an open run
    stop = StopStep(StepRef(run.number, StepKind.RESTORE, step.attempt))
    message = "A drained workload has risen, so what it wrote is to be looked for: the restore step is stopped and made again."
    decision = attempts.rest(seen, Standing.WORKING, Reason.STOPPING, message)
    return replace(decision, actions=(stop, *decision.actions))


def _restored(seen: Observed, result: Result) -> Observed | Decision:
    if result.restore is None or result.heads is None or set(result.heads) != set(seen.goal):
        message = f"The restore step ended at {heads(result.heads)}, not at {heads(seen.goal)}."
        return ends.fail(_kept(seen, result), Reason.VERIFICATION_FAILED, message)
    status = record.restored(seen.status, result.restore, seen.now)
    return replace(seen, status=schema_notes.restored(status, result.restore.backup))


def _kept(seen: Observed, result: Result) -> Observed:
    """The database that was replaced is there, and retention's to drop one day, whatever else is wrong."""
    return replace(seen, status=record.replaced(seen.status, result.restore, seen.now)) if result.restore else seen


def _verdict(seen: Observed, result: Result) -> tuple[Reason, str] | None:
    """Why a restore that failed is not made again; None where it is."""
    reason, meaning = classify(result.reason)
    if reason is Reason.BACKUP_CORRUPT:
        # A backup step makes another one; here it is the only one, and an application waits for it in vain.
        return reason, result.message
    if reason is Reason.DISK_SPACE_LOW and _began(seen) + seen.pace.drain_patience < seen.now:
        # Room is made by a person, who may take hours: the application does not stand still for that.
        return reason, f"There is no room for the restore: {result.message}"
    if meaning is ReasonClass.DECISION:
        return reason, result.message or reason.value
    if meaning is ReasonClass.MENDABLE and _time_is_up(seen):
        return Reason.TIMED_OUT, f"The backup could not be restored in time: {result.message}"
    return None


def _given_up(seen: Observed) -> tuple[Reason, str]:
    """Why no other restore follows the last one, told once more from what is left of it."""
    step = seen.latest(StepKind.RESTORE)
    assert step is not None  # noqa: S101  # only such a step is looked after
    if step.state is StepState.LOST:
        message = f"The restore step was lost {_losses(seen)} times; look at the memory limits and the nodes."
        return Reason.STEP_LOST, message
    view = seen.view(step)
    if isinstance(view, Ended) and (verdict := _verdict(seen, view.result)):
        return verdict
    reason, meaning = classify(step.reason)
    message = f"The backup could not be restored: {EXPLANATIONS[reason].meaning}"
    return Reason.TIMED_OUT if meaning is ReasonClass.MENDABLE else reason, message


def _may_be_closed(seen: Observed, result: Result) -> bool:
    """Was an attempt within the fence, or perhaps, and is it not known that the database was opened again?

    One that read the heads after it had failed came in by the ordinary way. It may also have put the backup in place.
    """
    if result.heads is not None:
        return False
    reached = result.restore.stage if result.restore is not None else None
    made = (step for step in seen.status.steps if step.name == StepKind.RESTORE.value)
    return reached not in _BEFORE_THE_FENCE or any(
        step.state is StepState.LOST or classify(step.reason)[0] in _MAY_HAVE_FENCED for step in made
    )


def _losses(seen: Observed) -> int:
    return sum(1 for step in seen.status.steps if step.name == StepKind.RESTORE.value and step.state is StepState.LOST)


def _time_is_up(seen: Observed) -> bool:
    """The application stands still meanwhile: what is outside is not waited for without an end."""
    return seen.now > _began(seen) + duration(seen.spec.timeouts.restore)


def _began(seen: Observed) -> datetime:
    """When the first attempt did."""
    return next(step for step in seen.status.steps if step.name == StepKind.RESTORE.value).started_at
