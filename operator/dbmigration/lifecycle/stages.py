"""The stages of a run before anything is changed, in their order: plan, weigh, take the turn, drain where that is wished, back up.

A stage returns the snapshot, with what it learnt, when the run may go on to the next one; else the decision. It must not
know what follows it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from dbmigration.api.conditions import Standing
from dbmigration.api.reasons import Reason
from dbmigration.api.spec import DowngradePolicy
from dbmigration.api.status import StepState
from dbmigration.lifecycle import attempts, draining, ends, record, schema_notes
from dbmigration.lifecycle.decision import Decision
from dbmigration.lifecycle.observed import Observed
from dbmigration.lifecycle.policies import first_refusal
from dbmigration.lifecycle.policies.when_planned import WHEN_PLANNED
from dbmigration.lifecycle.tasks import named_image, pullable
from dbmigration.lifecycle.telling import heads
from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.contract.result import Outcome, Result
from dbmigration_runner.contract.task import StepKind

Stage = Callable[[Observed], Observed | Decision]


def plan(seen: Observed) -> Observed | Decision:
    """Where is the database, and what lies between it and the target?"""
    step = seen.latest(StepKind.PLAN)
    if step is not None and step.state is StepState.SUCCEEDED:
        return seen
    answer = attempts.asked(seen, StepKind.PLAN)
    if isinstance(answer, Decision):
        return answer
    before, result, seen = seen.status, answer.result, answer.seen
    if result.outcome is Outcome.FAILED:
        return _by_the_image_that_knows_both_ends(seen, result) or attempts.refused(seen, StepKind.PLAN, result)
    if result.plan is None or result.database is None:
        return ends.fail(
            seen, Reason.TASK_INVALID, "The plan's result holds no plan: operator and runner are of different releases."
        )
    status = schema_notes.planned(record.plan_told(seen.status, result.plan, result.catalog), before)
    status = record.run_changed(
        status, fingerprint=result.database.fingerprint, image=answer.image or named_image(seen.spec)
    )
    return replace(seen, status=status)


def _by_the_image_that_knows_both_ends(seen: Observed, result: Result) -> Decision | None:
    """A database ahead of today's image is taken back, where that is wished, by the image that took it there."""
    run = seen.open_run
    assert run is not None  # noqa: S101  # the ladder is inside an open run
    wished = seen.spec.policy.downgrade is DowngradePolicy.ALLOW and bool(run.reference)
    if not wished or result.reason != RunnerReason.UNKNOWN_REVISION.value:
        return None
    if result.target is None or len(result.target) > 1 or not result.heads:
        return None  # several heads are no target that could be named to another image
    ends = set(result.heads)
    image = next(
        (
            pullable(entry.image, entry.reference)
            for entry in seen.status.history
            if set(entry.end_revisions) == ends and entry.reference
        ),
        "",
    )
    if not image or image == run.reference:
        return None
    target = result.target[0] if result.target else "base"
    status = record.run_changed(seen.status, reference=image, target_revision=target)
    because = f"{run.reference} does not know {heads(result.heads)}, so {image} is asked, which took the database there"
    return attempts.start(replace(seen, status=status), StepKind.PLAN, because)


def weigh(seen: Observed) -> Observed | Decision:
    """What the plan found is held against what the spec accepts, before a backup is made for it."""
    run = seen.open_run
    assert run is not None  # noqa: S101  # the ladder is inside an open run
    if run.plan_hash:
        return seen  # it was weighed
    if refusal := first_refusal(WHEN_PLANNED, seen):
        return ends.fail(seen, refusal.reason, refusal.message)
    if missing := draining.missing(seen):
        message = f"drain names what is not there: {missing}. Mend drain.workloads, or create it; it is tried again."
        decision = attempts.rest(seen, Standing.RETRYING, Reason.WORKLOAD_NOT_FOUND, message)
        return replace(decision, wake_at=seen.now + seen.pace.first_retry)
    return seen


def take_turn(seen: Observed) -> Observed | Decision:
    """One run at a time on one database; what this run works on is recorded here, once."""
    run, told = seen.open_run, seen.status.plan
    assert run is not None  # noqa: S101  # the ladder is inside an open run
    assert told is not None  # noqa: S101  # the stage before it
    if told.count == 0 or run.plan_hash:
        return seen
    if seen.turn_held_by is not None:
        return plan_again_when_it_is_our_turn(seen, StepKind.PLAN)
    return replace(seen, status=record.run_changed(seen.status, plan_hash=told.hash, start_revisions=told.start))


def plan_again_when_it_is_our_turn(seen: Observed, kind: StepKind) -> Decision:
    """Whoever is at work moves the database: what was looked at is looked at again when the turn comes."""
    step = seen.latest(kind)
    assert step is not None  # noqa: S101  # the stage before it
    status = record.step_ended(seen.status, step, StepState.STOPPED, seen.now, Reason.WAITING_FOR_TURN)
    return waits_for_turn(replace(seen, status=status))


def waits_for_turn(seen: Observed) -> Decision:
    """Say whom we wait for; the world looks again when that one is done."""
    message = f"{seen.turn_held_by} is working on the same database; this run follows it."
    decision = attempts.rest(seen, Standing.WORKING, Reason.WAITING_FOR_TURN, message)
    return replace(decision, wake_at=seen.now + seen.pace.longest_retry)


def drain_first(seen: Observed) -> Observed | Decision:
    """Where the application is to stand still over the migration: nothing writes from before the backup on."""
    if seen.status.drain is None and not draining.is_due_before_the_backup(seen):
        return seen
    answer = draining.drain(seen)
    drained = answer.status.drain if isinstance(answer, Observed) else None
    if isinstance(answer, Observed) and drained is not None and (why := drained.given_up):
        message = f"The workloads could not be drained, so nothing was begun: {why}."
        return ends.fail(answer, Reason.DRAIN_CONTESTED, message)
    return answer


def back_up(seen: Observed) -> Observed | Decision:
    """The way back, made and read back whole before anything is changed."""
    run, told = seen.open_run, seen.status.plan
    assert run is not None  # noqa: S101  # the ladder is inside an open run
    assert told is not None  # noqa: S101  # the first stage
    # Once an attempt to change the database exists, a backup would hold what that attempt left behind, and be no way back.
    if told.count == 0 or run.backup or seen.spec.backup.skip is not None or seen.latest(seen.work) is not None:
        return seen
    answer = attempts.asked(seen, StepKind.BACKUP)
    if isinstance(answer, Decision):
        return answer
    result, seen = answer.result, attempts.with_its_backups(answer)
    if result.outcome is Outcome.FAILED:
        if result.reason == RunnerReason.DATABASE_MOVED.value:
            return ends.supersede(seen, Reason.DATABASE_MOVED)
        return attempts.refused(seen, StepKind.BACKUP, result)
    if result.backup is None or set(result.backup.revisions) != set(run.start_revisions):
        return ends.fail(seen, Reason.TASK_INVALID, "The backup's result is not of the database that was planned.")
    return replace(seen, status=record.backup_made(seen.status, result.backup, run.image))
