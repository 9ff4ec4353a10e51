"""The stage that puts the run's backup in the place of the database, once nothing writes to that any more.

Its step can be made again after every loss: it finds what the one before it left, and goes on or begins anew. It must not
drain or resume anything.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from dbmigration.api.explanations import ReasonClass, classify
from dbmigration.api.reasons import Reason
from dbmigration.api.status import StepState
from dbmigration.api.units import duration
from dbmigration.lifecycle import attempts, ends, record
from dbmigration.lifecycle.attempts import Answer, Lost
from dbmigration.lifecycle.decision import Decision
from dbmigration.lifecycle.observed import Observed
from dbmigration.lifecycle.telling import heads
from dbmigration_runner.contract.result import Outcome, Result
from dbmigration_runner.contract.task import StepKind

_LOST_RESTORES = 3


def restore(seen: Observed) -> Observed | Decision:
    """Restore, and believe it only when the heads were read back."""
    step = seen.latest(StepKind.RESTORE)
    if step is None:
        if seen.status.drain is not None and (why := seen.status.drain.given_up):
            return ends.fail(seen, Reason.DRAIN_CONTESTED, f"The workloads could not be drained: {why}.")
        return attempts.start(seen, StepKind.RESTORE)
    match attempts.stand(seen, step):
        case Lost(after, words):
            return _again(after, words)
        case Answer() as answer:
            return _judge(answer.seen, answer.result)
        case known:
            return known


def _again(seen: Observed, words: str = "") -> Decision:
    losses = sum(
        1 for step in seen.status.steps if step.name == StepKind.RESTORE.value and step.state is StepState.LOST
    )
    if losses >= _LOST_RESTORES:
        return _look(seen, f"The restore step was lost {losses} times; look at the memory limits and the nodes.")
    return attempts.start(seen, StepKind.RESTORE, words)


def _look(seen: Observed, message: str) -> Decision:
    """The last one may have left the database closed to everybody: whoever reads it next opens it first."""
    lost, step = seen.latest(StepKind.RESTORE), seen.latest(StepKind.LOOK)
    assert lost is not None  # noqa: S101  # only such a step is looked after
    if step is None or (lost.finished_at is not None and step.started_at < lost.finished_at):
        return attempts.start(seen, StepKind.LOOK)
    if _time_is_up(seen):
        return ends.fail(seen, Reason.STEP_LOST, f"{message} What the database is could not be read either.")
    answer = attempts.asked(seen, StepKind.LOOK)
    if isinstance(answer, Decision):
        return answer
    if answer.result.heads is None:
        return attempts.refused(answer.seen, StepKind.LOOK, answer.result)
    return ends.fail(answer.seen, Reason.STEP_LOST, message)


def _judge(seen: Observed, result: Result) -> Observed | Decision:
    if result.outcome is Outcome.FAILED:
        if result.reason == Reason.BACKUP_CORRUPT.value:
            # A backup step makes another one; here it is the only one, and an application waits for it in vain.
            return ends.fail(seen, Reason.BACKUP_CORRUPT, result.message)
        if result.reason == Reason.DISK_SPACE_LOW.value and _began(seen) + seen.pace.drain_patience < seen.now:
            # Room is made by a person, who may take hours: the application does not stand still for that.
            return ends.fail(seen, Reason.DISK_SPACE_LOW, f"There is no room for the restore: {result.message}")
        if classify(result.reason)[1] is ReasonClass.MENDABLE and _time_is_up(seen):
            return ends.fail(seen, Reason.TIMED_OUT, f"The backup could not be restored in time: {result.message}")
        return attempts.refused(seen, StepKind.RESTORE, result)
    if result.restore is None or result.heads is None or set(result.heads) != set(seen.goal):
        message = f"The restore step ended at {heads(result.heads)}, not at {heads(seen.goal)}."
        return ends.fail(seen, Reason.VERIFICATION_FAILED, message)
    return replace(seen, status=record.restored(seen.status, result.restore, seen.now))


def _time_is_up(seen: Observed) -> bool:
    """The application stands still meanwhile: what is outside is not waited for without an end."""
    return seen.now > _began(seen) + duration(seen.spec.timeouts.restore)


def _began(seen: Observed) -> datetime:
    """When the first attempt did."""
    return next(step for step in seen.status.steps if step.name == StepKind.RESTORE.value).started_at
