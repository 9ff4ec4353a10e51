"""What a person orders by a DatabaseRestore: which order is next, and what each is told about itself.

Pure. An order is known by its uid, and by its name where it was carried out before: deleted and created anew, it is not carried
out again. Everything that it is told follows from the status of the DatabaseMigration, so that a word that was lost is said at the
next look. It must not know how an order is carried out.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from dbmigration.api.conditions import Standing, conditions
from dbmigration.api.database_restore import RestoreStatus
from dbmigration.api.reasons import Reason
from dbmigration.api.restored import Restored
from dbmigration.api.status import ConditionStatus, HandledOrder, Outcome, Phase, Run, Status
from dbmigration.lifecycle.decision import Emit, TellOrder
from dbmigration.lifecycle.observed import Observed, OrderView
from dbmigration_runner.contract.task import StepKind

_ENDS = {Outcome.SUCCEEDED: Phase.SUCCEEDED, Outcome.CANCELLED: Phase.CANCELLED}


def next_order(seen: Observed) -> OrderView | None:
    """The oldest that nobody has dealt with."""
    run = seen.status.run
    begun = run.order.uid if run is not None and run.order is not None else ""
    return next((order for order in seen.orders if order.uid != begun and _handled(seen.status, order) is None), None)


def is_withdrawn(seen: Observed) -> bool:
    """The order of the open run was deleted."""
    run = seen.open_run
    return run is not None and run.order is not None and all(order.uid != run.order.uid for order in seen.orders)


def may_be_given_up(status: Status) -> bool:
    """The open run carries out an order, and no restore was begun for it: at most its workloads are drained."""
    run = status.run
    is_ordered = run is not None and run.outcome is None and run.order is not None
    return is_ordered and all(step.name != StepKind.RESTORE.value for step in status.steps)


def is_cancelled(seen: Observed) -> bool:
    """Somebody asked for an end while it could be given up. Once its workloads come back for that, nothing else follows."""
    drained = seen.status.drain
    if not may_be_given_up(seen.status) or (drained is not None and drained.given_up):
        return False
    return seen.cancel_is_wished or seen.status.phase is Phase.RESUMING


def tell(seen: Observed, status: Status) -> tuple[TellOrder, ...]:
    """What is to be written into each order's own status, where that is not there yet."""
    told = ((order, _told(seen, status, order)) for order in seen.orders)
    return tuple(
        TellOrder(order.name, order.uid, after, _news(order.status, after))
        for order, after in told
        if after != order.status
    )


def without_migration(order: OrderView, now: datetime, reason: Reason, message: str) -> TellOrder | None:
    """It waits: the DatabaseMigration that it names is not there, or cannot be read. None where it knows."""
    after = _stands(order, Standing.RETRYING, reason, message, Phase.PENDING, now)
    return TellOrder(order.name, order.uid, after, _news(order.status, after)) if after != order.status else None


def _told(seen: Observed, status: Status, order: OrderView) -> RestoreStatus:
    handled = _handled(status, order)
    if handled is not None:
        return _ended(seen, order, handled)
    run = status.run
    if run is not None and run.outcome is None:
        if run.order is not None and run.order.uid == order.uid:
            return _under_way(seen, status, run, order)
        message = f"Run {run.number} of {seen.name} comes to its end first."
        return _stands(order, Standing.WORKING, Reason.WAITING_FOR_RUN, message, Phase.PENDING, seen.now)
    return _stands(order, Standing.WORKING, Reason.PENDING, "It is looked at next.", Phase.PENDING, seen.now)


def _under_way(seen: Observed, status: Status, run: Run, order: OrderView) -> RestoreStatus:
    """It stands as the DatabaseMigration does that carries it out."""
    ready = next(condition for condition in status.conditions if condition.type == "Ready")
    how = Standing.RETRYING if ready.status is ConditionStatus.FALSE else Standing.WORKING
    told = _stands(order, how, Reason(ready.reason), ready.message, status.phase, seen.now)
    estimate = run.order.estimate if run.order is not None else ""
    return replace(told, run=run.number, started_at=run.started_at, estimate=estimate)


def _ended(seen: Observed, order: OrderView, handled: HandledOrder) -> RestoreStatus:
    phase, how = _ENDS.get(handled.outcome, Phase.FAILED), Standing.STALLED
    reason, message = Reason(handled.reason), handled.message
    restored = handled.restored
    if handled.outcome is Outcome.SUCCEEDED:
        how = Standing.READY
    if handled.uid != order.uid:
        if handled.backup == order.backup:
            reason = Reason.ALREADY_RESTORED
            message = f"An order of this name was carried out at {handled.finished_at:%Y-%m-%dT%H:%M:%SZ}, by run {handled.run}; nothing was done again."
        else:
            phase, how, reason, restored = Phase.FAILED, Standing.STALLED, Reason.ORDER_NAME_TAKEN, None
            message = f"An order of this name put the backup {handled.backup} in place before. Create this one under another name."
    told = _stands(order, how, reason, message, phase, order.status.finished_at or seen.now)
    return replace(
        told,
        run=handled.run,
        started_at=handled.started_at,
        finished_at=handled.finished_at,
        revision=handled.revision,
        restored=restored,
        lost_rows=_lost(restored),
    )


def _lost(restored: Restored | None) -> int | None:
    return restored.lost_rows if restored is not None and restored.compared else None


def _stands(  # noqa: PLR0917  # reads as a sentence: how, why, what
    order: OrderView, how: Standing, reason: Reason, message: str, phase: Phase, now: datetime
) -> RestoreStatus:
    told = conditions(order.status.conditions, how, reason, message, generation=order.generation, now=now)
    return replace(order.status, observed_generation=order.generation, phase=phase, conditions=told)


def _news(before: RestoreStatus, after: RestoreStatus) -> Emit | None:
    """An Event for another reason, and for the estimate; the same reason in other words is no news."""
    ready = {condition.type: condition for condition in after.conditions}["Ready"]
    known = next((condition.reason for condition in before.conditions if condition.type == "Ready"), "")
    estimate = f" {after.estimate}" if after.estimate != before.estimate else ""
    if ready.reason == known and before.has_ended == after.has_ended and not estimate:
        return None
    return Emit(Reason(ready.reason), f"{ready.message}{estimate}", warning=ready.status is ConditionStatus.FALSE)


def _handled(status: Status, order: OrderView) -> HandledOrder | None:
    """What became of it, or of one of its name that was carried out."""
    itself = next((known for known in status.orders if known.uid == order.uid), None)
    return itself or next(
        (known for known in status.orders if known.name == order.name and known.outcome is Outcome.SUCCEEDED), None
    )
