"""The life of one step, the same for every step: start, wait, run, end, and try again.

A function here returns either a decision (there is nothing more to do now) or what the step answered. It must not know what
comes before or after a step, nor what its answer means.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import assert_never

from dbmigration.api.conditions import Standing
from dbmigration.api.explanations import EXPLANATIONS, ReasonClass, classify
from dbmigration.api.reasons import Reason
from dbmigration.api.status import Phase, Procedure, Step, StepState
from dbmigration.lifecycle import ends, record
from dbmigration.lifecycle.decision import Action, AddFinalizer, Decision, StartStep, StopStep
from dbmigration.lifecycle.observed import Absent, Ended, Gone, Observed, Running, StepRef, Stopping, Waiting
from dbmigration.lifecycle.retry import delay
from dbmigration.lifecycle.tasks import task, time_limit
from dbmigration.lifecycle.telling import news, position, sentence, standing
from dbmigration.lifecycle.workload_names import job_name
from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.contract.result import Outcome, Result
from dbmigration_runner.contract.task import CHANGING, StepKind

PHASES = {
    StepKind.PLAN: (Phase.PLANNING, Reason.PLANNING, "Reading the database and the scripts."),
    StepKind.FIND: (Phase.PLANNING, Reason.FINDING_BACKUP, "Looking for the backup, and at what the database is."),
    StepKind.BACKUP: (Phase.BACKING_UP, Reason.BACKING_UP, "Writing a backup and reading it back."),
    StepKind.MIGRATE: (Phase.MIGRATING, Reason.MIGRATING, "Upgrading the database and verifying the result."),
    StepKind.DOWNGRADE: (Phase.MIGRATING, Reason.DOWNGRADING, "Undoing revisions and verifying the result."),
    StepKind.RESTORE: (Phase.RESTORING, Reason.RESTORING, "Restoring the backup in the place of the database."),
    StepKind.COMPARE: (Phase.MIGRATING, Reason.COMPARING, "Comparing the schema with the one before the upgrade."),
    StepKind.LOOK: (Phase.MIGRATING, Reason.LOOKING, "A step was lost; reading what the database really is."),
}


@dataclass(frozen=True, slots=True)
class Answer:
    """A step answered; the snapshot already holds what it read."""

    seen: Observed
    step: Step
    result: Result
    image: str


@dataclass(frozen=True, slots=True)
class Lost:
    """A step that may have changed the database ended without an answer; the snapshot says so."""

    seen: Observed
    words: str


def start(seen: Observed, kind: StepKind, because: str = "") -> Decision:
    """Begin the next attempt, unless the spec says to start nothing; `because` goes behind the usual message."""
    run = seen.open_run
    assert run is not None  # noqa: S101  # steps belong to an open run
    if seen.spec.suspend and not seen.migration_is_in_flight and run.order is None:
        return rest(seen, Standing.WORKING, Reason.SUSPENDED, "spec.suspend is true; nothing new is started.")
    last = seen.latest(kind)
    attempt = last.attempt + 1 if last else 1
    job = job_name(seen.name, seen.uid, run.number, kind, attempt)
    step = Step(name=kind.value, attempt=attempt, job=job, state=StepState.STARTED, started_at=seen.now)
    phase, reason, usual = words(seen, kind)
    message = f"{usual} ({because})" if because else usual
    status = record.step_started(seen.status, step)
    status = standing(seen, status, Standing.WORKING, reason, message, phase)
    after = replace(seen, status=status)
    hold: tuple[Action, ...] = (AddFinalizer(),) if kind in CHANGING and not seen.has_finalizer else ()
    emits = news(seen, status, reason, message, warning=False) if phase is not seen.status.phase else ()
    # An old attempt's remains would only pile up while something outside is mended.
    remains: tuple[Action, ...] = (StopStep(StepRef(run.number, kind, attempt - 2)),) if attempt > 2 else ()  # noqa: PLR2004
    wake = seen.now + time_limit(seen, kind) + seen.pace.start_grace
    return Decision(status, (*hold, _order(after, step), *remains, *emits), wake)


def follow(seen: Observed, step: Step) -> Decision | Answer | Lost:
    """See what became of an attempt that was started."""
    kind = StepKind(step.name)
    view = seen.view(step)
    if isinstance(view, Ended) and view.result.reason == RunnerReason.CANCELLED.value and not seen.cancel_is_wished:
        # It obeyed a signal, and the signal was not ours: a node that is drained means the Pod, not the migration.
        view = Gone("It was told to stop by somebody else.", Reason.STEP_INTERRUPTED)
    match view:
        case Absent():
            if kind in CHANGING:
                return _lost(seen, step, "Neither its Job nor its Pod is there any more.", Reason.STEP_LOST)
            return Decision(seen.status, (_order(seen, step),), _overdue_at(seen, step))
        case Waiting(reason, message):
            return _overdue(seen, step) or _waiting(seen, step, reason, message)
        case Running(progress):
            return _overdue(seen, step) or _running(seen, step, progress)
        case Stopping():
            return rest(seen, Standing.WORKING, Reason.STOPPING, f"The {kind.value} step is being stopped.")
        case Ended(result, image):
            state = StepState.SUCCEEDED if result.outcome is Outcome.SUCCEEDED else StepState.FAILED
            why = None if state is StepState.SUCCEEDED else classify(result.reason)[0]
            status = record.step_ended(seen.status, step, state, seen.now, why)
            # Who only reads, and did not come to the schema, changes nothing of what is known of it.
            schema = status.catalog if result.catalog is None and kind not in CHANGING else result.catalog
            # What was read while somebody still worked is no reading; a look follows, and compares with the one before.
            is_sure = kind not in CHANGING or result.outcome is Outcome.SUCCEEDED or result.changed is not None
            status = record.database_read(status, result.heads if is_sure else None, schema, seen.now)
            return Answer(replace(seen, status=status), step, result, image)
        case Gone(words_left, why_gone):
            if kind in CHANGING:
                return _lost(seen, step, words_left, why_gone)
            status = record.step_ended(seen.status, step, StepState.LOST, seen.now, why_gone)
            message = f"The {kind.value} step ended without a result: {words_left}"
            return retry_later(replace(seen, status=status), kind, why_gone, message)
        case _:
            assert_never(view)


def words(seen: Observed, kind: StepKind) -> tuple[Phase, Reason, str]:
    """Phase, reason and message of a step at work; on the way back the message also says what led there."""
    phase, reason, message = PHASES[kind]
    run = seen.open_run
    if run is None or run.failure is None:
        return phase, reason, message
    why = f"{message} The migration failed: {sentence(run.failure.message)}"
    if kind is StepKind.RESTORE:
        return phase, reason, why
    return Phase.ROLLING_BACK, Reason.ROLLING_BACK if kind is StepKind.DOWNGRADE else reason, why


def asked(seen: Observed, kind: StepKind) -> Answer | Decision:
    """What a step that changes nothing answered just now; until then it is started, waited for, or made again."""
    step = seen.latest(kind)
    if step is None:
        return start(seen, kind)
    if step.state is not StepState.STARTED:
        return again(seen, kind)
    answer = follow(seen, step)
    assert not isinstance(answer, Lost), position(answer.seen.status)  # noqa: S101  # what changes nothing is not lost
    return answer


def with_its_backups(answer: Answer) -> Observed:
    """The snapshot with what a step that reads the storage told of it, whatever became of the step."""
    return replace(answer.seen, status=record.storage_read(answer.seen.status, answer.result.storage))


def stand(seen: Observed, step: Step) -> Observed | Decision | Answer | Lost:
    """How a step that changes the database stands: done, to be waited for, answered just now, or lost, now or before."""
    match step.state:
        case StepState.SUCCEEDED:
            return seen
        case StepState.LOST:
            return Lost(seen, "")
        case StepState.FAILED | StepState.STOPPED:
            return again(seen, StepKind(step.name))
        case StepState.STARTED:
            return follow(seen, step)


def again(seen: Observed, kind: StepKind) -> Decision:
    """An attempt failed before: start the next one when its time has come, and wait until then."""
    at = seen.status.next_retry_time
    if at is None or at <= seen.now:
        return start(seen, kind)
    return Decision(seen.status, (), at)


def refused(seen: Observed, kind: StepKind, result: Result) -> Decision:
    """A step that changed nothing says no: try again later, or end the run, by the reason's class."""
    reason, meaning = classify(result.reason)
    message = result.message or reason.value
    if meaning is ReasonClass.DECISION:
        return ends.fail(seen, reason, message)
    return retry_later(seen, kind, reason, message)


def retry_later(seen: Observed, kind: StepKind, reason: Reason, message: str) -> Decision:
    """Say why, what to do and when; what is outside is mended meanwhile."""
    if _holds_the_application_back(seen, kind):
        return ends.fail(seen, Reason.TIMED_OUT, f"The {kind.value} step did not succeed in time: {message}")
    remedy = EXPLANATIONS[reason].remedy
    message = message if remedy in message else f"{sentence(message)} {remedy}"
    run = seen.open_run
    assert run is not None  # noqa: S101  # steps belong to an open run
    failures = [step for step in seen.status.steps if step.name == kind.value]
    at = seen.now + delay(seen.pace, len(failures), f"{seen.uid}/{run.number}/{kind.value}")
    status = replace(seen.status, next_retry_time=at)
    status = standing(seen, status, Standing.RETRYING, reason, message)
    # Told once: a message may name the Pod or the container of the attempt, and another word for it is no news.
    before = failures[-2].reason if len(failures) > 1 else ""
    told = () if before == reason.value else news(seen, status, reason, message, warning=True)
    return Decision(status, told, at)


def _holds_the_application_back(seen: Observed, kind: StepKind) -> bool:
    """Drained before its backup, it stands still: what is outside is not waited for without an end while nothing is changed."""
    run = seen.open_run
    assert run is not None  # noqa: S101  # steps belong to an open run
    if seen.status.drain is None or run.procedure is not Procedure.MIGRATE or kind not in {StepKind.BACKUP, seen.work}:
        return False
    first = next(step for step in seen.status.steps if step.name == kind.value)
    return seen.now > first.started_at + time_limit(seen, kind)


def rest(seen: Observed, how: Standing, reason: Reason, message: str) -> Decision:
    """Nothing to do now but to say so."""
    status = standing(seen, seen.status, how, reason, message)
    return Decision(status, news(seen, status, reason, message, warning=how is Standing.RETRYING))


def _order(seen: Observed, step: Step) -> StartStep:
    run = seen.open_run
    assert run is not None  # noqa: S101  # steps belong to an open run
    kind = StepKind(step.name)
    return StartStep(StepRef(run.number, kind, step.attempt), task(seen, step), time_limit(seen, kind))


def _waiting(seen: Observed, step: Step, reason: Reason, message: str) -> Decision:
    decision = rest(seen, Standing.RETRYING, reason, message)
    return replace(decision, wake_at=_overdue_at(seen, step))


def _running(seen: Observed, step: Step, progress: str) -> Decision:
    phase, reason, message = words(seen, StepKind(step.name))
    status = standing(seen, replace(seen.status, progress=progress), Standing.WORKING, reason, message, phase)
    return Decision(status, (), _overdue_at(seen, step))


def _overdue_at(seen: Observed, step: Step) -> datetime:
    return step.started_at + time_limit(seen, StepKind(step.name)) + seen.pace.start_grace


def _overdue(seen: Observed, step: Step) -> Decision | None:
    """A Pod's own deadline counts from its start; one that never starts, or never ends, has only ours."""
    if seen.now < _overdue_at(seen, step):
        return None
    run = seen.open_run
    assert run is not None  # noqa: S101  # steps belong to an open run
    ref = StepRef(run.number, StepKind(step.name), step.attempt)
    if ref.kind in CHANGING:
        return Decision(seen.status, (StopStep(ref),))
    status = record.step_ended(seen.status, step, StepState.STOPPED, seen.now, Reason.STEP_OVERDUE)
    message = f"The {step.name} step did not come to an end in time."
    decision = retry_later(replace(seen, status=status), StepKind(step.name), Reason.STEP_OVERDUE, message)
    return replace(decision, actions=(StopStep(ref), *decision.actions))


def _lost(seen: Observed, step: Step, words: str, why: Reason) -> Lost:
    status = record.step_ended(seen.status, step, StepState.LOST, seen.now, why)
    return Lost(replace(seen, status=status), words)
