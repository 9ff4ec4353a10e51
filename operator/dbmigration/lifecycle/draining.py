"""Draining and resuming: no Pod that writes to the database while a backup takes its place, and all of them back afterwards.

What a workload had is written to the status before it is scaled, and is taken out of it only when it has that again: so its
replicas return on every way out, whoever dies in between. It must not know what is done while they are drained.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from dbmigration.api.conditions import Standing
from dbmigration.api.drained import Drain, DrainedWorkload
from dbmigration.api.reasons import Reason
from dbmigration.api.spec import MigrationSpec
from dbmigration.api.status import Phase, Procedure, Status, Step
from dbmigration.api.way_back import DrainWhen
from dbmigration.lifecycle.decision import Action, AddFinalizer, Decision, Emit, Scale
from dbmigration.lifecycle.observed import Observed, WorkloadRef, WorkloadView
from dbmigration.lifecycle.telling import news, standing
from dbmigration_runner.contract.task import StepKind

_WORDS_KEPT = 1000


def wanted(spec: MigrationSpec, status: Status) -> tuple[WorkloadRef, ...]:
    """Those that a decision may depend on now: what is drained, what is to be, and before anything is begun all that are named."""
    if status.drain is not None:
        return tuple(WorkloadRef(known.kind, known.name) for known in status.drain.workloads)
    run = status.run
    if spec.drain is None or run is None or run.outcome is not None or run.plan_hash:
        return ()
    return tuple(WorkloadRef(workload.kind.value, workload.name) for workload in spec.drain.workloads)


def drain(seen: Observed) -> Observed | Decision:
    """The stage: scaled to zero, and then proved to be so. A drain that takes too long is given up by whoever follows."""
    drained = seen.status.drain
    if drained is None:
        return announce(seen)
    if drained.drained_at is not None or drained.given_up:
        return seen
    if (complete := _completed(seen, drained)) != drained:
        return _begin(seen, complete)
    left = _left(seen, drained)
    if not left:
        return replace(seen, status=replace(seen.status, drain=replace(drained, drained_at=seen.now)))
    if seen.now > drained.started_at + seen.pace.drain_patience:
        return _give_up(seen, drained, left)
    pods = ", ".join(f"{view.pods} of {ref}" for ref, view in left.items() if view.pods)
    message = f"Pods are still there: {pods}." if pods else "Scaling to zero."
    decision = _rest(seen, Phase.DRAINING, Standing.WORKING, Reason.DRAINING, message)
    return replace(decision, actions=(*_contested(seen, drained), *decision.actions))


def is_due_before_the_backup(seen: Observed) -> bool:
    """It is wished for the whole run, and nothing was done yet for which it would come too late."""
    wished, run, plan = seen.spec.drain, seen.open_run, seen.status.plan
    if wished is None or wished.when is not DrainWhen.ALWAYS or run is None or run.procedure is not Procedure.MIGRATE:
        return False
    if plan is None or plan.count == 0:
        return False
    begun = run.backup or seen.latest(StepKind.BACKUP) is not None or seen.latest(seen.work) is not None
    return not begun and not seen.spec.suspend


def is_given_back(seen: Observed) -> bool:
    """A run that had drained before its backup has begun to end: the application may write again."""
    run = seen.open_run
    is_before = run is not None and run.procedure is Procedure.MIGRATE
    return is_before and seen.status.drain is not None and seen.status.phase is Phase.RESUMING


def since_before_the_backup(seen: Observed) -> bool:
    """Nothing that is drained can have written since the run's backup began: what a restore replaces holds nothing else."""
    drained = seen.status.drain
    if drained is None or not drained.before_backup:
        return False
    return drained.drained_at is not None and drained.resumed_at is None and drained.contested_at is None


def believes_what_is_not(seen: Observed, step: Step) -> bool:
    """A restore that was told that nobody writes, and then something drained was seen to rise: another attempt has to compare."""
    drained = seen.status.drain
    if drained is None or not drained.before_backup or drained.contested_at is None:
        return False
    return step.started_at <= drained.contested_at


def told_apart_from(seen: Observed) -> datetime | None:
    """From when on a step's start is later than the rise of a workload in a status, which knows seconds; None where it is by now."""
    contested_at = seen.status.drain.contested_at if seen.status.drain is not None else None
    if contested_at is None or seen.now.replace(microsecond=0) > contested_at:
        return None
    return contested_at.replace(microsecond=0) + timedelta(seconds=1)


def notice(seen: Observed) -> Observed:
    """What is drained has risen, or is made only now: that is known before anything is concluded from a drain."""
    drained = seen.status.drain
    if drained is None or drained.drained_at is None or drained.resumed_at is not None:
        return seen
    drained = _completed(seen, drained)
    is_ours = seen.status.phase is Phase.RESUMING
    if drained.contested_at is None and not is_ours and _left(seen, drained):
        drained = replace(drained, contested_at=seen.now)
    return replace(seen, status=replace(seen.status, drain=drained))


def hold_down(seen: Observed, decision: Decision) -> Decision:
    """As long as something is drained, whoever scales it back, or makes it only now, is named and undone."""
    drained = seen.status.drain
    if drained is None or drained.drained_at is None or drained.resumed_at is not None:
        return decision
    look = seen.now + seen.pace.look_at_workloads  # they are not watched
    wake = min(decision.wake_at or look, look)
    return replace(decision, actions=(*_contested(seen, drained), *decision.actions), wake_at=wake)


def resume(seen: Observed) -> Decision | None:
    """Before a run may end, or its resource go: all replicas back, their Pods ready; None where they are, or nothing was drained."""
    drained = seen.status.drain
    if drained is None:
        return None
    if drained.resumed_at is None:
        scale = tuple(
            Scale(ref, before)
            for ref, before in _named(drained).items()
            if (view := seen.workloads.get(ref)) is not None
            and (view.replicas != before or view.is_unsettled)
            and not _is_anothers(seen, view)
        )
        if scale:
            decision = _rest(
                seen, Phase.RESUMING, Standing.WORKING, Reason.RESUMING, "The workloads get their replicas back."
            )
            return replace(decision, actions=(*scale, *decision.actions))
    back_since = drained.resumed_at or seen.now
    drained = replace(drained, resumed_at=back_since)
    seen = replace(seen, status=replace(seen.status, drain=drained))
    if not _unready(seen, drained) or seen.now > back_since + seen.pace.resume_patience:
        return None
    message = f"Waiting for Pods to become ready: {_unready(seen, drained)}."
    return _rest(seen, Phase.RESUMING, Standing.WORKING, Reason.RESUMING, message)


def resumed(seen: Observed, decision: Decision) -> Decision:
    """All are back: nothing is drained any more; Pods that are not ready by now are told."""
    drained = seen.status.drain
    if drained is None:
        return decision
    unready = _unready(seen, drained)
    told: tuple[Action, ...] = ()
    if unready:
        told = (Emit(Reason.WORKLOADS_NOT_READY, f"Not all Pods became ready: {unready}.", warning=True),)
    left = tuple(condition for condition in decision.status.conditions if condition.type != "Drained")
    status = replace(decision.status, drain=None, conditions=left)
    return replace(decision, status=status, actions=(*told, *decision.actions))


def missing(seen: Observed) -> str:
    """What the spec would drain and nobody finds; "" where all is there, or nothing is to be done."""
    plan, wished = seen.status.plan, seen.spec.drain
    if wished is None or plan is None or plan.count == 0:
        return ""
    refs = (WorkloadRef(workload.kind.value, workload.name) for workload in wished.workloads)
    return ", ".join(str(ref) for ref in refs if ref not in seen.workloads)


def announce(seen: Observed) -> Decision:
    """Write down what is to be drained. It is looked at from now on, and scaled when it was seen."""
    wished = seen.spec.drain.workloads if seen.spec.drain is not None else ()
    named = tuple(DrainedWorkload(kind=workload.kind.value, name=workload.name) for workload in wished)
    is_first = is_due_before_the_backup(seen)
    status = replace(seen.status, drain=Drain(workloads=named, started_at=seen.now, before_backup=is_first))
    decision = _rest(
        replace(seen, status=status),
        Phase.DRAINING,
        Standing.WORKING,
        Reason.DRAINING,
        "Looking at what is to be drained.",
    )
    hold: tuple[Action, ...] = () if seen.has_finalizer else (AddFinalizer(),)
    return replace(decision, actions=(*hold, *decision.actions), wake_at=seen.now)


def _completed(seen: Observed, drained: Drain) -> Drain:
    """With what each has that is seen for the first time; what is not there cannot write, and may be made yet."""
    views = {known: seen.workloads.get(WorkloadRef(known.kind, known.name)) for known in drained.workloads}
    workloads = tuple(
        replace(known, replicas=view.replicas) if view is not None and known.replicas is None else known
        for known, view in views.items()
    )
    return replace(drained, workloads=workloads)


def _begin(seen: Observed, drained: Drain) -> Decision:
    """Write down what each of them has, and then scale it to zero."""
    found = _named(drained).items()
    names = ", ".join(f"{ref} ({replicas})" for ref, replicas in found)
    seen = replace(seen, status=replace(seen.status, drain=drained))
    decision = _rest(seen, Phase.DRAINING, Standing.WORKING, Reason.DRAINING, f"Scaling to zero: {names}.")
    return replace(decision, actions=(*_held_down(seen, drained), *decision.actions))


def _give_up(seen: Observed, drained: Drain, left: Mapping[WorkloadRef, WorkloadView]) -> Decision:
    """It took too long. Why is written down first: once replicas are given back nobody could see it, nor think otherwise."""
    why = ", ".join(
        f"{ref} has {view.pods} Pods and is scaled to {view.replicas}{f' by {view.scaled_by}' if view.scaled_by else ''}"
        for ref, view in left.items()
    )
    seen = replace(seen, status=replace(seen.status, drain=replace(drained, given_up=why[:_WORDS_KEPT])))
    decision = _rest(seen, Phase.DRAINING, Standing.WORKING, Reason.DRAINING, f"The drain is given up: {why}.")
    return replace(decision, wake_at=seen.now)


def _left(seen: Observed, drained: Drain) -> dict[WorkloadRef, WorkloadView]:
    """Those that still have replicas or Pods, or have them again."""
    return {
        ref: view for ref, view in seen.workloads.items() if ref in _named(drained) and (view.replicas or view.pods)
    }


def _held_down(seen: Observed, drained: Drain) -> tuple[Scale, ...]:
    return tuple(Scale(ref, 0) for ref, view in seen.workloads.items() if ref in _named(drained) and view.replicas)


def _contested(seen: Observed, drained: Drain) -> tuple[Action, ...]:
    """Who scaled something back, for an Event, and zero for it. What was never scaled, for the last of us died, is nobody's fault."""
    risen = {
        ref: view
        for ref, view in seen.workloads.items()
        if ref in _named(drained) and view.replicas and not (view.scaled_at and view.scaled_at <= drained.started_at)
    }
    if not risen:
        return _held_down(seen, drained)
    who = "; ".join(
        f"{ref} was scaled to {view.replicas} by {view.scaled_by or 'somebody whose name the server did not keep'}"
        for ref, view in risen.items()
    )
    told = Emit(Reason.DRAIN_CONTESTED, f"{who}. It is scaled to zero again; pause whoever does that.", warning=True)
    return (told, *_held_down(seen, drained))


def _is_anothers(seen: Observed, view: WorkloadView) -> bool:
    """It got its replicas back before, and somebody gave it others since: an autoscaler, say. That is no longer fought."""
    return seen.status.phase is Phase.RESUMING and view.replicas > 0 and bool(view.scaled_by)


def _named(drained: Drain) -> dict[WorkloadRef, int]:
    """Those that were seen, and so perhaps scaled, with what they had before."""
    return {
        WorkloadRef(known.kind, known.name): known.replicas for known in drained.workloads if known.replicas is not None
    }


def _unready(seen: Observed, drained: Drain) -> str:
    return ", ".join(
        f"{ref} has {view.ready} of {view.replicas}"
        for ref, view in seen.workloads.items()
        if ref in _named(drained) and view.ready < min(view.replicas, _named(drained)[ref])
    )


def _rest(seen: Observed, phase: Phase, how: Standing, reason: Reason, message: str) -> Decision:
    status = standing(seen, seen.status, how, reason, message, phase)
    told = news(seen, status, reason, message, warning=False) if phase is not seen.status.phase else ()
    return Decision(status, told, seen.now + seen.pace.look_at_workloads)
