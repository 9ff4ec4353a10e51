"""The stages that change the database, and what must be known afterwards: upgrade or downgrade, a look, the comparison.

A stage returns the snapshot, with what it learnt, when the run may go on; else the decision. A step that changes the database
is never silently made again: what was lost is looked at, what failed is undone where that is wished, or told.
"""

from __future__ import annotations

from dataclasses import replace

from dbmigration.api.explanations import ReasonClass, classify
from dbmigration.api.reasons import Reason
from dbmigration.api.status import Procedure, Status, StepState, Verification
from dbmigration.api.way_back import OnFailure
from dbmigration.lifecycle import attempts, draining, ends, record, schema_notes
from dbmigration.lifecycle.attempts import Answer, Lost
from dbmigration.lifecycle.decision import Decision, Emit
from dbmigration.lifecycle.observed import Observed
from dbmigration.lifecycle.policies import first_refusal
from dbmigration.lifecycle.policies.before_migrating import BEFORE_MIGRATING
from dbmigration.lifecycle.reference import are_of_one_form, reference_of
from dbmigration.lifecycle.telling import HALF_STAYS, heads, sentence
from dbmigration_runner.contract.counting import counted
from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.contract.result import Outcome, Result
from dbmigration_runner.contract.task import StepKind

_ITEMS_TOLD = 5
_UNTOLD = ("it differs, but no backup that is left tells in what",)
_NOTHING_STAYED = "Nothing of this run stayed, so there was nothing to undo or restore."
_LOST_MIGRATIONS = 3  # a migration that is killed every time would be killed for ever


def work(seen: Observed) -> Observed | Decision:
    """The upgrade or downgrade with its verification; what may have been lost is looked at, never guessed."""
    if seen.status.plan is not None and seen.status.plan.count == 0:
        return seen
    step = seen.latest(seen.work)
    waits = step is None or step.state in {StepState.FAILED, StepState.STOPPED}
    if waits and _backup_is_stale(seen):
        return ends.supersede(seen, Reason.BACKUP_TOO_OLD)
    if step is None:
        if not seen.is_rolling_back and (refusal := first_refusal(BEFORE_MIGRATING, seen)):
            return ends.fail(seen, refusal.reason, refusal.message)
        return attempts.start(seen, seen.work)
    match attempts.stand(seen, step):
        case Lost(after, words):
            return _look(after, words)
        case Answer() as answer:
            return _judge(answer)
        case known:
            return known


def compare(seen: Observed) -> Observed | Decision:
    """After a downgrade: is the schema the one from before the upgrade, and if not, in what does it differ?"""
    run = seen.open_run
    assert run is not None  # noqa: S101  # the ladder is inside an open run
    if seen.latest(StepKind.DOWNGRADE) is None or run.verified_by is not None:
        return _judge_comparison(seen)
    reference = reference_of(seen)
    if reference is None:
        return _compared(seen, Verification.REVISION)
    if reference.catalog == seen.status.catalog:
        return _compared(seen, Verification.SCHEMA)
    if not reference.backup:
        return _compared(seen, Verification.SCHEMA, _UNTOLD)
    answer = attempts.asked(seen, StepKind.COMPARE)
    if isinstance(answer, Decision):
        return answer
    result, seen = answer.result, answer.seen
    if result.compare is None:
        if classify(result.reason)[1] is ReasonClass.MENDABLE:
            return attempts.refused(seen, StepKind.COMPARE, result)
        return _compared(seen, Verification.SCHEMA, _UNTOLD)
    return _compared(seen, Verification.SCHEMA, result.compare.differences)


def _compared(seen: Observed, verified_by: Verification, left_behind: tuple[str, ...] = ()) -> Observed | Decision:
    return _judge_comparison(replace(seen, status=record.compared(seen.status, verified_by, left_behind)))


def _judge_comparison(seen: Observed) -> Observed | Decision:
    """A wish is fulfilled also where something is left behind, and that is told; a way back must lead back."""
    run = seen.open_run
    assert run is not None  # noqa: S101  # the ladder is inside an open run
    if not seen.is_rolling_back or not run.left_behind:
        return seen
    items = "; ".join(run.left_behind[:_ITEMS_TOLD])
    message = f"The revisions were undone, but the schema is not the one before: {items}."
    return _give_up(seen, Reason.VERIFICATION_FAILED, message, torn=False)


def _judge(answer: Answer) -> Observed | Decision:
    """What the answer means: done, nothing happened, something happened, or nobody knows."""
    result = answer.result
    seen = replace(answer.seen, status=record.confirmed(record.migrated(answer.seen.status, result)))
    if result.outcome is Outcome.SUCCEEDED:
        return _verified(seen, result.heads)
    if result.heads is None or result.changed is None:
        # What failed of itself would fail again; only what broke from outside may be tried again after a look.
        of_itself = result.changed or result.reason == RunnerReason.MIGRATION_FAILED.value
        return _look(_as_lost(seen, Reason.MIGRATION_FAILED if of_itself else Reason.STEP_LOST), result.message)
    half_applied = result.changed and not seen.database_has_moved
    if _may_be_cancelled(seen) and result.reason == RunnerReason.CANCELLED.value and not half_applied:
        return ends.cancel(seen)
    torn = half_applied or (result.migrate is not None and result.migrate.torn)
    if result.changed or (seen.database_has_moved and not seen.is_rolling_back):
        return _give_up(seen, *_failure(seen, result, torn=torn), torn=torn)
    if result.reason == RunnerReason.DATABASE_MOVED.value and not seen.is_rolling_back:
        return ends.supersede(seen, Reason.DATABASE_MOVED)
    if seen.is_rolling_back and classify(result.reason)[1] is ReasonClass.DECISION:
        return _give_up(seen, *_failure(seen, result, torn=torn), torn=torn)
    ends_here = classify(result.reason)[1] is ReasonClass.DECISION
    if ends_here and not torn and seen.spec.rollback.on_failure is not OnFailure.NONE:
        result = replace(result, message=f"{sentence(result.message or result.reason)} {_NOTHING_STAYED}")
    return attempts.refused(seen, seen.work, result)


def _give_up(seen: Observed, reason: Reason, message: str, *, torn: bool, remedy: str = "") -> Decision:
    """The work failed and left something behind: undo it or restore, where that is wished and can be; else say how things stand.

    `remedy` is a person's, where nobody else does anything.
    """
    run, plan, wish = seen.open_run, seen.status.plan, seen.spec.rollback.on_failure
    assert run is not None  # noqa: S101  # the ladder is inside an open run
    assert plan is not None  # noqa: S101  # the first stage
    if seen.is_rolling_back:
        told = Emit(Reason.ROLLBACK_FAILED, f"The downgrade failed: {message}", warning=True)
    else:
        told = Emit(reason, message, warning=True)
    if torn:
        seen = replace(seen, status=schema_notes.left_torn(seen.status, message.removesuffix(HALF_STAYS)))
    if draining.is_given_back(seen):
        # It was ending so when the wish was changed, and the application is back.
        return ends.fail(seen, reason, f"{message}{remedy}")
    may_undo = not plan.downgrade and not seen.is_rolling_back and not torn and seen.database_has_moved
    if wish.undoes and may_undo:
        back = replace(seen, status=record.rolling_back(seen.status, Procedure.ROLL_BACK, reason, message))
        decision = attempts.start(back, StepKind.DOWNGRADE)
    elif wish.restores and run.backup:
        back = replace(seen, status=record.rolling_back(seen.status, Procedure.RESTORE, reason, message))
        decision = draining.announce(back) if back.status.drain is None else attempts.start(back, StepKind.RESTORE)
    else:
        return ends.fail(seen, reason, f"{message}{remedy}{_idle(seen, torn=torn)}")
    return replace(decision, actions=(told, *decision.actions))


def _idle(seen: Observed, *, torn: bool) -> str:
    """Why the way back that was wished for does not act; a way back that began and failed is told by the run's end."""
    run, plan, wish = seen.open_run, seen.status.plan, seen.spec.rollback.on_failure
    assert run is not None  # noqa: S101  # the ladder is inside an open run
    assert plan is not None  # noqa: S101  # the first stage
    if seen.is_rolling_back or wish is OnFailure.NONE:
        return ""
    if not wish.undoes:
        why = "the run has no backup"
    elif plan.downgrade:
        why = "it undoes upgrades, and this run was a downgrade itself"
    elif torn:
        why = "no downgrade() undoes half a revision"
    else:
        why = "no revision of this run counts as applied"
    if wish.restores:
        instead = " and the run has no backup" if wish.undoes else ""
    else:
        instead = (
            f"; {OnFailure.DOWNGRADE_OR_RESTORE.value} would restore the backup {run.backup}" if run.backup else ""
        )
    return f" {wish.value} did not act, for {why}{instead}."


def _verified(seen: Observed, read: tuple[str, ...] | None) -> Observed | Decision:
    """The runner says so; that its own reading says so too is checked here once more."""
    if read is None or set(read) != set(seen.goal):
        message = f"The {seen.work.value} step ended at {heads(read)}, not at {heads(seen.goal)}."
        return _give_up(seen, Reason.VERIFICATION_FAILED, message, torn=False)
    return seen


def _look(seen: Observed, words: str = "") -> Observed | Decision:
    """Read the database after a loss, and go on from what it shows; `words` is what the lost step left."""
    lost = seen.latest(seen.work)
    assert lost is not None  # noqa: S101  # only such a step is looked after
    step = seen.latest(StepKind.LOOK)
    if step is None or (step.state is StepState.SUCCEEDED and step.finished_at != lost.finished_at):
        return attempts.start(seen, StepKind.LOOK, words)
    answer = attempts.asked(seen, StepKind.LOOK)
    if isinstance(answer, Decision):
        return answer
    before, result, seen = seen.status, answer.result, answer.seen
    if result.outcome is Outcome.FAILED or result.heads is None:
        return attempts.refused(seen, StepKind.LOOK, result)
    run = seen.open_run
    if run is not None and result.database is not None and result.database.fingerprint != run.fingerprint:
        message = "The URL now leads to another database than the one that was being migrated; mend the Secret, then set the retry annotation."
        return ends.fail(seen, Reason.WRONG_DATABASE, message)
    return _after_look(seen, result, before)


def _after_look(seen: Observed, read: Result, before: Status) -> Decision:
    """`before` is what was known of the database until this look."""
    lost = seen.latest(seen.work)
    assert lost is not None  # noqa: S101  # only such a step is looked after
    of_itself = lost.reason == Reason.MIGRATION_FAILED.value
    why = Reason(lost.reason)  # a step that somebody stopped in good order is no loss, however often
    seen = replace(seen, status=record.confirmed(record.step_ended(seen.status, lost, StepState.FAILED, seen.now, why)))
    name = seen.work.value
    if half_done := _half_done(seen, read, before):
        return _give_up(seen, Reason.MIGRATION_FAILED, half_done, torn=True, remedy=_by_hand(seen))
    if of_itself:
        message = (
            f"The {name} step failed, and what it left could only be read afterwards; the error is in its Pod's log."
        )
        return _give_up(seen, Reason.MIGRATION_FAILED, message, torn=False)
    if _may_be_cancelled(seen):
        return ends.cancel(seen)
    losses = sum(1 for step in seen.status.steps if step.name == name and step.reason == Reason.STEP_LOST.value)
    if losses >= _LOST_MIGRATIONS:
        message = f"The {name} step was lost {losses} times; look at the memory limits and the nodes."
        return _give_up(seen, Reason.STEP_LOST, message, torn=False)
    return attempts.start(seen, seen.work)


def _half_done(seen: Observed, read: Result, before: Status) -> str:
    """Why a revision is taken to be half applied, or half undone; "" where it is there as a whole or not at all."""
    name, done = seen.work.value, "undone" if seen.work is StepKind.DOWNGRADE else "applied"
    has_moved = set(read.heads or ()) != set(before.current_revisions or ())
    is_another = are_of_one_form(before.catalog, read.catalog or "") and before.catalog != read.catalog
    if not has_moved and is_another:
        return (
            f"The {name} step did not end well, and the schema is another one although the revision is the same: "
            f"a revision is half {done}."
        )
    if (flavour := _commits_by_itself(read)) and has_moved and set(read.heads or ()) != set(seen.goal):
        return (
            f"The {name} step did not end well, and the database is between two revisions. {flavour} commits a revision piece by "
            f"piece before it counts as {done}: nobody can tell whether the next one is half {done}."
        )
    return ""


def _by_hand(seen: Observed) -> str:
    """What a person does about half a revision; of a way back the end of the run says it."""
    run = seen.open_run
    if seen.is_rolling_back or run is None:
        return ""
    restore = f", or restore the backup {run.backup}" if run.backup else ""
    return f" Look at what it changes and mend it by hand{restore}, before the next run."


def _commits_by_itself(read: Result) -> str:
    """The name of a server that keeps what a killed revision did; "" where a revision is there as a whole or not at all."""
    known = read.database
    return known.flavour if known is not None and known.engine != "postgresql" else ""


def _may_be_cancelled(seen: Observed) -> bool:
    """Somebody asked for an end; a way back that has begun is gone to its end first."""
    return seen.cancel_is_wished and not seen.is_rolling_back


def _as_lost(seen: Observed, why: Reason) -> Observed:
    step = seen.latest(seen.work)
    assert step is not None  # noqa: S101  # it has just answered
    return replace(seen, status=record.step_ended(seen.status, step, StepState.LOST, seen.now, why))


def _backup_is_stale(seen: Observed) -> bool:
    """So old a way back would throw away what was written since; while nothing was changed a fresh one costs only time."""
    run = seen.open_run
    taken = next(
        (known.taken_at for known in seen.status.backups if run is not None and known.name == run.backup), seen.now
    )
    is_old = seen.now - taken > seen.pace.backup_age
    return is_old and not seen.database_has_moved and not seen.is_rolling_back


def _failure(seen: Observed, result: Result, *, torn: bool) -> tuple[Reason, str]:
    """A reason that would be tried again is a failed migration once something was changed."""
    known = {
        Reason.VERIFICATION_FAILED,
        Reason.CHECK_FAILED,
        Reason.TIMED_OUT,
        Reason.MIGRATION_FAILED,
        Reason.ENVIRONMENT_EXITED,
    }
    reason = next((reason for reason in known if reason.value == result.reason), Reason.MIGRATION_FAILED)
    run, plan = seen.open_run, seen.status.plan
    assert run is not None  # noqa: S101  # the ladder is inside an open run
    assert plan is not None  # noqa: S101  # the first stage
    if seen.work is StepKind.MIGRATE:
        did = _so_many(len(run.applied_revisions), plan.count, "applied")
    else:
        count = len(run.applied_revisions) if seen.is_rolling_back else plan.count
        did = _so_many(len(run.undone_revisions), count, "undone")
    return reason, f"{sentence(result.message)} {did}{HALF_STAYS if torn else ''}"


def _so_many(done: int, count: int, did: str) -> str:
    return f"{done} of {counted(count, 'revision')} {'was' if count == 1 else 'were'} {did}."
