"""The stages of a run, in the order of its procedure: plan, take the turn, back up, migrate.

A stage returns the snapshot, with what it learnt, when the run may go on to the next one; else the decision. It must not
know what follows it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from dbmigration.api.conditions import Standing
from dbmigration.api.reasons import Reason
from dbmigration.api.status import StepState
from dbmigration.lifecycle import attempts, ends, record
from dbmigration.lifecycle.attempts import Answer, Lost
from dbmigration.lifecycle.decision import Decision
from dbmigration.lifecycle.observed import Observed
from dbmigration.lifecycle.policies import first_refusal
from dbmigration.lifecycle.policies.before_migrating import BEFORE_MIGRATING
from dbmigration.lifecycle.telling import heads, position, sentence
from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.contract.result import Outcome, Result
from dbmigration_runner.contract.task import StepKind

Stage = Callable[[Observed], Observed | Decision]

_LOST_MIGRATIONS = 3  # a migration that is killed every time would be killed for ever


def plan(seen: Observed) -> Observed | Decision:
    """Where is the database, and what lies between it and the target?"""
    step = seen.latest(StepKind.PLAN)
    if step is None:
        return attempts.start(seen, StepKind.PLAN)
    if step.state is StepState.SUCCEEDED:
        return seen
    if step.state is not StepState.STARTED:
        return attempts.again(seen, StepKind.PLAN)
    answer = attempts.follow(seen, step)
    if not isinstance(answer, Answer):
        return _only_decision(answer)
    result, seen = answer.result, answer.seen
    if result.outcome is Outcome.FAILED:
        return attempts.refused(seen, StepKind.PLAN, result)
    if result.plan is None or result.database is None:
        return ends.fail(
            seen, Reason.TASK_INVALID, "The plan's result holds no plan: operator and runner are of different releases."
        )
    status = record.plan_told(seen.status, result.plan, result.catalog)
    status = record.run_changed(
        status, fingerprint=result.database.fingerprint, image=answer.image or _named_image(seen)
    )
    return replace(seen, status=status)


def take_turn(seen: Observed) -> Observed | Decision:
    """One run at a time on one database; what this run works on is recorded here, once."""
    run, told = seen.open_run, seen.status.plan
    assert run is not None  # noqa: S101  # the ladder is inside an open run
    assert told is not None  # noqa: S101  # the stage before it
    if told.count == 0 or run.plan_hash:
        return seen
    if seen.turn_held_by is not None:
        # Whoever is at work moves the database: what was planned is planned again when the turn comes.
        step = seen.latest(StepKind.PLAN)
        assert step is not None  # noqa: S101  # the stage before it
        status = record.step_ended(seen.status, step, StepState.STOPPED, seen.now, Reason.WAITING_FOR_TURN)
        return waits_for_turn(replace(seen, status=status))
    return replace(seen, status=record.run_changed(seen.status, plan_hash=told.hash, start_revisions=told.start))


def waits_for_turn(seen: Observed) -> Decision:
    """Say whom we wait for; the world looks again when that one is done."""
    message = f"{seen.turn_held_by} is working on the same database; this run follows it."
    decision = attempts.rest(seen, Standing.WORKING, Reason.WAITING_FOR_TURN, message)
    return replace(decision, wake_at=seen.now + seen.pace.longest_retry)


def back_up(seen: Observed) -> Observed | Decision:
    """The way back, made and read back whole before anything is changed."""
    run, told = seen.open_run, seen.status.plan
    assert run is not None  # noqa: S101  # the ladder is inside an open run
    assert told is not None  # noqa: S101  # the first stage
    # Once a migrate attempt exists, a backup would hold what that attempt left behind, and be no way back.
    if told.count == 0 or run.backup or seen.spec.backup.skip is not None or seen.latest(StepKind.MIGRATE) is not None:
        return seen
    step = seen.latest(StepKind.BACKUP)
    if step is None:
        return attempts.start(seen, StepKind.BACKUP)
    if step.state is not StepState.STARTED:
        return attempts.again(seen, StepKind.BACKUP)
    answer = attempts.follow(seen, step)
    if not isinstance(answer, Answer):
        return _only_decision(answer)
    result, seen = answer.result, answer.seen
    if result.outcome is Outcome.FAILED:
        if result.reason == RunnerReason.DATABASE_MOVED.value:
            return ends.supersede(seen, Reason.DATABASE_MOVED)
        return attempts.refused(seen, StepKind.BACKUP, result)
    if result.backup is None or set(result.backup.revisions) != set(run.start_revisions):
        return ends.fail(seen, Reason.TASK_INVALID, "The backup's result is not of the database that was planned.")
    return replace(seen, status=record.backup_made(seen.status, result.backup, run.image))


def migrate(seen: Observed) -> Observed | Decision:
    """The upgrade with its verification; what may have been lost is looked at, never guessed."""
    if seen.status.plan is not None and seen.status.plan.count == 0:
        return seen
    step = seen.latest(StepKind.MIGRATE)
    waits = step is None or step.state in {StepState.FAILED, StepState.STOPPED}
    if waits and _backup_is_stale(seen):
        return ends.supersede(seen, Reason.BACKUP_TOO_OLD)
    if step is None:
        if refusal := first_refusal(BEFORE_MIGRATING, seen):
            return ends.fail(seen, refusal.reason, refusal.message)
        return attempts.start(seen, StepKind.MIGRATE)
    match step.state:
        case StepState.SUCCEEDED:
            return seen
        case StepState.LOST:
            return _look(seen)
        case StepState.FAILED | StepState.STOPPED:
            return attempts.again(seen, StepKind.MIGRATE)
        case StepState.STARTED:
            answer = attempts.follow(seen, step)
    match answer:
        case Decision():
            return answer
        case Lost(after, words):
            return _look(after, words)
        case Answer():
            return _judge(answer)


def _judge(answer: Answer) -> Observed | Decision:
    """What a migrate step's answer means: done, nothing happened, something happened, or nobody knows."""
    result = answer.result
    seen = replace(answer.seen, status=record.confirmed(record.migrated(answer.seen.status, result)))
    if result.outcome is Outcome.SUCCEEDED:
        return _verified(seen, result.heads)
    if result.heads is None or result.changed is None:
        # What failed of itself would fail again; only what broke from outside may be tried again after a look.
        of_itself = result.changed or result.reason == RunnerReason.MIGRATION_FAILED.value
        return _look(_as_lost(seen, Reason.MIGRATION_FAILED if of_itself else Reason.STEP_LOST), result.message)
    half_applied = result.changed and not seen.database_has_moved
    if seen.cancel_is_wished and result.reason == RunnerReason.CANCELLED.value and not half_applied:
        return ends.cancel(seen)
    if result.changed or seen.database_has_moved:
        return ends.fail(seen, *_failure(seen, result))
    if result.reason == RunnerReason.DATABASE_MOVED.value:
        return ends.supersede(seen, Reason.DATABASE_MOVED)
    return attempts.refused(seen, StepKind.MIGRATE, result)


def _verified(seen: Observed, read: tuple[str, ...] | None) -> Observed | Decision:
    """The runner says so; that its own reading says so too is checked here once more."""
    told = seen.status.plan
    assert told is not None  # noqa: S101  # the first stage
    if read is None or set(read) != set(told.target):
        message = f"The migration ended at {heads(read)}, not at {heads(told.target)}."
        return ends.fail(seen, Reason.VERIFICATION_FAILED, message)
    return seen


def _look(seen: Observed, words: str = "") -> Observed | Decision:
    """Read the database after a loss, and go on from what it shows; `words` is what the lost step left."""
    lost = seen.latest(StepKind.MIGRATE)
    assert lost is not None  # noqa: S101  # only a migrate step is looked after
    step = seen.latest(StepKind.LOOK)
    if step is None or (step.state is StepState.SUCCEEDED and step.finished_at != lost.finished_at):
        return attempts.start(seen, StepKind.LOOK, words)
    if step.state is not StepState.STARTED:
        return attempts.again(seen, StepKind.LOOK)
    answer = attempts.follow(seen, step)
    if not isinstance(answer, Answer):
        return _only_decision(answer)
    result, seen = answer.result, answer.seen
    if result.outcome is Outcome.FAILED or result.heads is None:
        return attempts.refused(seen, StepKind.LOOK, result)
    run = seen.open_run
    if run is not None and result.database is not None and result.database.fingerprint != run.fingerprint:
        message = "The URL now leads to another database than the one that was being migrated; mend the Secret, then set the retry annotation."
        return ends.fail(seen, Reason.WRONG_DATABASE, message)
    return _after_look(seen, result.catalog)


def _after_look(seen: Observed, catalog: str | None) -> Decision:
    run, lost = seen.open_run, seen.latest(StepKind.MIGRATE)
    assert run is not None  # noqa: S101  # the ladder is inside an open run
    assert lost is not None  # noqa: S101  # only a migrate step is looked after
    of_itself = lost.reason == Reason.MIGRATION_FAILED.value
    why = Reason(lost.reason)  # a step that somebody stopped in good order is no loss, however often
    seen = replace(seen, status=record.confirmed(record.step_ended(seen.status, lost, StepState.FAILED, seen.now, why)))
    before = seen.status.plan.catalog if seen.status.plan is not None else ""
    if not seen.database_has_moved and catalog and before and catalog != before:
        message = "The migrate step did not end well, and the schema is another one although the revision is the same: a revision is half applied."
        return ends.fail(seen, Reason.MIGRATION_FAILED, message)
    if of_itself:
        message = "The migration failed, and what it left could only be read afterwards; the error is in its Pod's log."
        return ends.fail(seen, Reason.MIGRATION_FAILED, message)
    if seen.cancel_is_wished:
        return ends.cancel(seen)
    losses = sum(
        1 for step in seen.status.steps if step.name == StepKind.MIGRATE.value and step.reason == Reason.STEP_LOST.value
    )
    if losses >= _LOST_MIGRATIONS:
        message = f"The migrate step was lost {losses} times; look at the memory limits and the nodes."
        return ends.fail(seen, Reason.STEP_LOST, message)
    return attempts.start(seen, StepKind.MIGRATE)


def _as_lost(seen: Observed, why: Reason) -> Observed:
    step = seen.latest(StepKind.MIGRATE)
    assert step is not None  # noqa: S101  # it has just answered
    return replace(seen, status=record.step_ended(seen.status, step, StepState.LOST, seen.now, why))


def _backup_is_stale(seen: Observed) -> bool:
    """So old a way back would throw away what was written since; while nothing was changed a fresh one costs only time."""
    run = seen.open_run
    taken = next(
        (known.taken_at for known in seen.status.backups if run is not None and known.name == run.backup), seen.now
    )
    return seen.now - taken > seen.pace.backup_age and not seen.database_has_moved


def _failure(seen: Observed, result: Result) -> tuple[Reason, str]:
    """A reason that would be tried again is a failed migration once something was changed."""
    known = {
        Reason.VERIFICATION_FAILED,
        Reason.CHECK_FAILED,
        Reason.TIMED_OUT,
        Reason.MIGRATION_FAILED,
        Reason.ENVIRONMENT_EXITED,
    }
    reason = next((reason for reason in known if reason.value == result.reason), Reason.MIGRATION_FAILED)
    run = seen.open_run
    applied = len(run.applied_revisions) if run else 0
    total = seen.status.plan.count if seen.status.plan else 0
    torn = ""
    if (result.changed and not seen.database_has_moved) or (result.migrate is not None and result.migrate.torn):
        torn = (
            " What the revision did before it failed is still there, although it does not count as applied: "
            "undo it by hand, or restore the backup, before the next run."
        )
    return reason, f"{sentence(result.message)} {applied} of {total} revision(s) were applied.{torn}"


def _named_image(seen: Observed) -> str:
    image = seen.spec.migrations.source.image
    return image.reference if image else ""


def _only_decision(answer: Decision | Lost) -> Decision:
    assert isinstance(answer, Decision), position(answer.seen.status)  # noqa: S101  # only a migrate step can be lost
    return answer
