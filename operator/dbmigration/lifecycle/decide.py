"""The next thing to do, from one snapshot; no I/O, no clock, no memory. Total: every snapshot has an answer.

How it reads, from the top: a resource that goes away; no run, or one that has ended; a run that is cancelled, or that an edit
makes pointless; else the stages of its procedure. It must not know how any of it is done.
"""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from dbmigration.api.conditions import Standing
from dbmigration.api.reasons import Reason
from dbmigration.api.status import Outcome, Phase, Procedure, Run, Step, StepState
from dbmigration.lifecycle import attempts, draining, ends, ordering, orders, record, restoring
from dbmigration.lifecycle.decision import Action, AddFinalizer, Decision, ForgetRuns, RemoveFinalizer, StopStep
from dbmigration.lifecycle.observed import Absent, Ended, Gone, Observed, Running, StepRef, Stopping, Waiting
from dbmigration.lifecycle.procedures import PROCEDURES
from dbmigration.lifecycle.stages import waits_for_turn
from dbmigration.lifecycle.tasks import named_image
from dbmigration.lifecycle.telling import dropped, standing, warnings
from dbmigration_runner.contract.task import CHANGING, StepKind


def decide(seen: Observed) -> Decision:
    """Answer a snapshot, and pass on what a step that has just succeeded warned of, and to each order what became of it."""
    decision = _decide(seen)
    before = (*warnings(seen, decision.status), *dropped(seen, decision.status))
    told = orders.tell(seen, decision.status)
    return replace(decision, actions=(*before, *decision.actions, *told)) if before or told else decision


def _decide(seen: Observed) -> Decision:
    seen = draining.notice(seen)
    if seen.deleting:
        return _leave(seen)
    decision = _answer(seen)
    if seen.open_run is None:
        return decision
    if not _ends_the_run(seen, decision) and draining.is_given_back(seen):
        # An end that was taken back: what was true while the application stood still is so no longer.
        decision = _begin(ends.supersede(seen, Reason.RESUMING))
    if not _ends_the_run(seen, decision):
        return _held(seen, draining.hold_down(seen, decision))
    # Whatever the end is, what was drained for the run is back before it.
    return draining.resume(seen) or _follow_up(seen, draining.resumed(seen, decision))


def _held(seen: Observed, decision: Decision) -> Decision:
    """Whoever was killed between writing a drain down and holding the resource for it is made up for before anything is scaled."""
    holds = seen.has_finalizer or any(isinstance(action, AddFinalizer) for action in decision.actions)
    if decision.status.drain is None or holds:
        return decision
    return replace(decision, actions=(AddFinalizer(), *decision.actions))


def _ends_the_run(seen: Observed, decision: Decision) -> bool:
    run, after = seen.open_run, decision.status.run
    return run is not None and after is not None and (after.number != run.number or after.outcome is not None)


def _answer(seen: Observed) -> Decision:
    run = seen.open_run
    if run is None:
        if not _run_is_due(seen):
            return _rest(seen)
        return _begin(seen) if seen.has_room or orders.next_order(seen) else _wait_for_room(seen)
    if (seen.cancel_is_wished and not seen.is_rolling_back) or orders.is_cancelled(seen):
        return _stop(seen, Reason.CANCELLED)
    if run.order is not None:
        may_be_given_up = run.procedure is Procedure.ORDER and orders.is_withdrawn(seen)
        return _stop(seen, Reason.ORDER_WITHDRAWN) if may_be_given_up else _go_on(seen)
    if orders.next_order(seen) and not seen.migration_is_in_flight:
        return _stop(seen, Reason.RESTORE_ORDERED)
    if run.identity != seen.identity and not seen.migration_is_in_flight:
        return _stop(seen, Reason.PENDING)
    if seen.spec.suspend and seen.status.drain is not None and not seen.migration_is_in_flight:
        return _stop(seen, Reason.SUSPENDED)  # nobody knows for how long: the application does not stand still for it
    return _go_on(seen)


def _go_on(seen: Observed) -> Decision:
    """Walk the procedure to the first stage that is not done."""
    run = seen.open_run
    assert run is not None  # noqa: S101  # the caller looked
    if _waits_for_turn(seen):
        return waits_for_turn(seen)
    for stage in PROCEDURES[run.procedure]:
        answer = stage(seen)
        if isinstance(answer, Decision):
            return answer
        if answer.open_run is None:
            return _begin(answer)  # the stage found the run superseded
        seen = answer
    if run.order is not None:
        return ends.carry_out(seen)
    return ends.roll_back(seen) if seen.is_rolling_back else ends.succeed(seen)


def _follow_up(seen: Observed, decision: Decision) -> Decision:
    """A run that ended for a spec of before its end says nothing of today's spec: what follows is told in the same write.

    Otherwise whoever waits for this generation to be Ready (kubectl wait, Flux, Helm) would believe the last one's success.
    """
    after = replace(seen, status=decision.status)
    run = after.status.run
    if after.open_run is not None or run is None:
        return decision
    if _run_is_due(after):
        following = _begin(after)
    elif run.identity != seen.identity:
        following = _rest(after)
    else:
        return decision
    return replace(following, actions=(*decision.actions, *following.actions))


def _run_is_due(seen: Observed) -> bool:
    """Is there work that nobody did, or that somebody wants repeated? An order is for the hour at which all else stands still."""
    run = seen.status.run
    if orders.next_order(seen) is not None:
        return True
    if seen.spec.suspend:
        return False
    if run is None or run.identity != seen.identity or seen.retry_is_wished:
        return True
    if run.order is not None and run.order.rests:
        return False  # an order that failed leaves the resource at rest, as it found it
    if run.order is not None and run.order.defers and _was_given_up(seen, run):
        return True
    if run.order is None and seen.status.phase is Phase.PENDING:
        return (
            True  # it rested, suspended, with another wish meanwhile: only a plan can say again that all is as wished
        )
    return run.outcome is not Outcome.SUCCEEDED and seen.generation > run.generation


def _was_given_up(seen: Observed, run: Run) -> bool:
    """An order that failed, or was withdrawn, before anything was done for it; not one that somebody cancelled."""
    why = seen.status.history[0].reason if seen.status.history else ""
    return run.procedure is Procedure.ORDER and run.outcome is not Outcome.SUCCEEDED and why != Reason.CANCELLED.value


def _begin(seen: Observed) -> Decision:
    """Open the next run: for an order where there is one, else for what the spec asks for. Start its first step."""
    order = orders.next_order(seen)
    if order is not None:
        decision = _go_on(opened := ordering.opened(seen, order))
        return replace(decision, actions=(*decision.actions, *_forget(seen, opened.status.run)))
    last = seen.status.run
    number = last.number + 1 if last else 1
    run = Run(
        number=number,
        identity=seen.identity,
        generation=seen.generation,
        started_at=seen.now,
        target_revision=seen.spec.target_revision,
        reference=named_image(seen.spec),
    )
    status = record.run_begun(seen.status, run, retry=seen.retry, cancel=seen.cancel)
    decision = attempts.start(replace(seen, status=replace(status, phase=Phase.PENDING)), StepKind.PLAN)
    return replace(decision, actions=(*decision.actions, *_forget(seen, run)))


def _forget(seen: Observed, run: Run | None) -> tuple[Action, ...]:
    oldest_kept = (run.number if run is not None else 0) - seen.pace.kept_runs
    return (ForgetRuns(oldest_kept),) if any(known <= oldest_kept for known in seen.kept_runs) else ()


def _wait_for_room(seen: Observed) -> Decision:
    """Too many runs are at work; the world looks again when one ends."""
    message = "As many runs as the operator allows at once are at work; this one follows."
    status = standing(seen, seen.status, Standing.WORKING, Reason.WAITING_FOR_TURN, message, Phase.PENDING)
    return Decision(status, wake_at=seen.now + seen.pace.longest_retry)


def _rest(seen: Observed) -> Decision:
    """Nothing to do; what a crash left behind is put right, and a new generation is acknowledged."""
    actions: tuple[Action, ...] = (RemoveFinalizer(),) if seen.has_finalizer else ()
    status = seen.status
    run = status.run
    if run is None or run.identity != seen.identity:
        # Only a suspended resource rests although its spec asks for work that nobody did.
        reason, message = Reason.SUSPENDED, "spec.suspend is true; nothing is started."
        status = standing(seen, status, Standing.WORKING, reason, message, Phase.PENDING)
    elif run.order is not None and status.phase is Phase.PENDING:
        status = ends.stand_as_before(seen, run.order)
    elif status.observed_generation != seen.generation:
        conditions = tuple(replace(condition, observed_generation=seen.generation) for condition in status.conditions)
        status = replace(status, observed_generation=seen.generation, conditions=conditions)
    return Decision(status, actions)


def _stop(seen: Observed, why: Reason) -> Decision:
    """Stop the step that runs, wait until nothing of it is left, then end the run.

    A migration that answered meanwhile is heard: what it says of the database is true, stopped or not.
    """
    step = next((step for step in seen.status.steps if step.state is StepState.STARTED), None)
    if step is None:
        return _stopped(seen, why)
    kind = StepKind(step.name)
    if kind in {StepKind.LOOK, StepKind.COMPARE}:
        return _go_on(seen)  # reading what a migration left behind is never stopped; its answer ends the run
    view = seen.view(step)
    if kind in CHANGING and isinstance(view, Ended | Absent | Gone):
        return _go_on(seen)
    match view:
        case Ended() | Absent() | Gone():
            status = record.step_ended(seen.status, step, StepState.STOPPED, seen.now, why)
            return _stopped(replace(seen, status=status), why)
        case Waiting() | Running() | Stopping():
            message = f"The {step.name} step is being stopped."
            decision = attempts.rest(seen, Standing.WORKING, Reason.STOPPING, message)
            stop: tuple[Action, ...] = () if isinstance(view, Stopping) else (StopStep(_ref(seen, step)),)
            return replace(decision, actions=(*stop, *decision.actions))
        case _:
            assert_never(view)


def _stopped(seen: Observed, why: Reason) -> Decision:
    """Nothing runs any more; a lost migration is looked at before the run may end."""
    last = seen.latest(seen.work)
    if last is not None and last.state is StepState.LOST:
        return _go_on(seen)
    if why is Reason.CANCELLED:
        return ends.cancel(seen)
    if why is Reason.ORDER_WITHDRAWN:
        return ends.withdraw(seen)
    return _begin(ends.supersede(seen, why))


def _leave(seen: Observed) -> Decision:
    """The resource goes: at once, unless a step that changes the database still works, or workloads are drained."""
    step = seen.latest(seen.work) if seen.open_run else None
    if not seen.has_finalizer:
        return Decision(seen.status)
    if step is not None and _must_come_to_its_end(seen, step):
        decision = _go_on(seen) if step.name == StepKind.RESTORE.value else Decision(seen.status)
        if not _ends_the_run(seen, decision):
            return draining.hold_down(seen, decision)
    elif seen.open_run and not _withdrawn(seen) and (look := restoring.look_before_leaving(seen)):
        return draining.hold_down(seen, look)
    decision = draining.resume(seen) or draining.resumed(seen, Decision(seen.status, (RemoveFinalizer(),)))
    return replace(decision, actions=(*_withdrawn(seen), *decision.actions))


def _must_come_to_its_end(seen: Observed, step: Step) -> bool:
    """It works; or it was a restore that may have left the database closed, and nobody else would open it."""
    view = seen.view(step)
    if step.name != StepKind.RESTORE.value:
        return step.state is StepState.STARTED and not isinstance(view, Absent | Ended | Gone)
    is_open = step.state in {StepState.STARTED, StepState.LOST} and not isinstance(view, Ended)
    if not is_open and not restoring.last_looks(seen):
        return False
    return seen.status.phase is not Phase.RESUMING and not _withdrawn(seen)


def _withdrawn(seen: Observed) -> tuple[Action, ...]:
    """A restore's or a look's Pod that nobody takes: a namespace that is being deleted must not wait for it, nor may it come later."""
    if seen.open_run is None or seen.work is not StepKind.RESTORE:
        return ()
    return tuple(
        StopStep(_ref(seen, step))
        for step in seen.status.steps
        if step.state is StepState.STARTED
        and isinstance(view := seen.view(step), Waiting)
        and view.reason is Reason.POD_REJECTED
    )


def _waits_for_turn(seen: Observed) -> bool:
    run = seen.open_run
    step = seen.latest(StepKind.FIND if run is not None and run.order is not None else StepKind.PLAN)
    planned_in_vain = step is not None and step.reason == Reason.WAITING_FOR_TURN.value
    return planned_in_vain and seen.turn_held_by is not None


def _ref(seen: Observed, step: Step) -> StepRef:
    run = seen.open_run
    assert run is not None  # noqa: S101  # steps belong to an open run
    return StepRef(run.number, StepKind(step.name), step.attempt)
