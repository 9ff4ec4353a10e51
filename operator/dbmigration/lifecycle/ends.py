"""The ends of a run, each written once: succeeded, rolled back, failed, cancelled, superseded.

Every run ends in one of them, with an entry in the history and what the database was last read to be. It must not decide
which end it is.
"""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from dbmigration.api.conditions import Standing
from dbmigration.api.reasons import Reason
from dbmigration.api.restored import Order, Restored
from dbmigration.api.status import HandledOrder, HistoryEntry, Metrics, Outcome, Phase, Run, Status, Verification
from dbmigration.lifecycle import schema_notes
from dbmigration.lifecycle.decision import Action, Decision, RemoveFinalizer
from dbmigration.lifecycle.observed import Observed
from dbmigration.lifecycle.record import order_handled, outlived, run_changed, told_of
from dbmigration.lifecycle.reference import reference_of
from dbmigration.lifecycle.telling import HALF_STAYS, differing, heads, news, of_table, position, sentence, standing
from dbmigration_runner.contract.counting import counted
from dbmigration_runner.contract.result import CarriedOut

_HISTORY_KEPT = 10
_REVISIONS_KEPT = 100
_ITEMS_TOLD = 5
_TABLES_KEPT = 20  # of each order that is remembered
_KEPT = {
    Reason.RESTORE_NEEDS_ACKNOWLEDGEMENT,
    Reason.RESTORE_NOT_POSSIBLE,
    Reason.DRAIN_CONTESTED,
}  # on the way back, and yet the word to know
_USELESS = {Reason.BACKUP_CORRUPT, Reason.BACKUP_NOT_FOUND}  # nobody is sent back to that backup


def succeed(seen: Observed) -> Decision:
    """The database was read and is where the spec wants it."""
    status, run, plan = seen.status, seen.open_run, seen.status.plan
    assert run is not None  # noqa: S101  # only an open run ends
    assert plan is not None  # noqa: S101  # the ladder ends behind the plan
    where = heads(status.current_revisions)
    if plan.count == 0:
        noted = f" {sentence(status.schema_note)}" if status.schema_note else ""
        reason, message = Reason.UP_TO_DATE, f"The database is at {where}; nothing was pending.{noted}"
    else:
        skip = seen.spec.backup.skip
        backup = f" Backup: {run.backup}." if run.backup else f" No backup: {sentence(skip.reason)}" if skip else ""
        did, count = (
            ("undone", len(run.undone_revisions)) if plan.downgrade else ("applied", len(run.applied_revisions))
        )
        fewer = f"{count} of " if count < plan.count else ""
        reference = reference_of(seen) if run.emptied else None
        empty = _emptied(run, reference.backup if reference is not None else "")
        message = f"{fewer}{counted(max(count, plan.count), 'revision')} {did}; the database was read back at {where}{_verified(run)}.{empty}{backup}"
        reason = Reason.SUCCEEDED
        seen = replace(seen, status=schema_notes.completed(outlived(status, run.number)))
    status = _closed(seen, Outcome.SUCCEEDED, reason)
    status = standing(seen, status, Standing.READY, reason, message, Phase.SUCCEEDED)
    return Decision(status, (*news(seen, status, reason, message, warning=False), *_let_go(seen)))


def roll_back(seen: Observed) -> Decision:
    """The migration failed, and the database was read and is what it was before."""
    run, where = seen.open_run, heads(seen.status.current_revisions)
    assert run is not None  # noqa: S101  # only an open run ends
    assert run.failure is not None  # noqa: S101  # why it rolled back
    if run.restored is not None:
        did = f"The backup {run.restored.backup} was restored; the database was read back at {where}. {_noted(seen.status, run.restored)}{_lost(seen.status, run.restored)}{_untold(seen.status)}"
    else:
        did = f"{counted(len(run.undone_revisions), 'revision')} undone; the database was read back at {where}{_verified(run)}.{_emptied(run, run.backup)}"
    why = run.failure.message.replace(HALF_STAYS, "")
    message = f"{did} The migration had failed: {sentence(why)}"
    status = _closed(seen, Outcome.ROLLED_BACK, Reason(run.failure.reason))
    status = standing(seen, status, Standing.STALLED, Reason.ROLLED_BACK, message, Phase.ROLLED_BACK)
    return Decision(status, (*news(seen, status, Reason.ROLLED_BACK, message, warning=True), *_let_go(seen)))


def carry_out(seen: Observed) -> Decision:
    """The backup that was ordered is in the place of the database, which was read and is what the backup was."""
    run, where = seen.open_run, heads(seen.status.current_revisions)
    assert run is not None  # noqa: S101  # only an open run ends
    assert run.restored is not None  # noqa: S101  # the last stage
    message = (
        f"The backup {run.restored.backup} was restored; the database was read back at {where}. "
        f"{_noted(seen.status, run.restored)}{_lost(seen.status, run.restored)}"
        f"{_untold(seen.status)}"
    )
    return _end_order(seen, Outcome.SUCCEEDED, Reason.RESTORED, message)


def carried_out_before(seen: Observed, before: CarriedOut) -> Decision:
    """The storage remembers that this order was carried out, which nobody else does: what the spec asked for then is done with."""
    restored = told_of(before.restore) if before.restore is not None else None
    status = run_changed(seen.status, identity=before.identity, restored=restored)
    target = before.target if before.identity == seen.identity else ()
    seen = replace(seen, status=replace(status, target_revisions=target))
    message = f"The backup {before.backup} was restored at {before.at}, as the record beside it tells; nothing was done again."
    return _end_order(seen, Outcome.SUCCEEDED, Reason.ALREADY_RESTORED, message)


def withdraw(seen: Observed) -> Decision:
    """The order was deleted before anything was done for it."""
    message = "The DatabaseRestore was deleted before anything was done for it."
    return _end_order(seen, Outcome.CANCELLED, Reason.ORDER_WITHDRAWN, message)


def _end_order(seen: Observed, outcome: Outcome, reason: Reason, message: str) -> Decision:
    """The order's own end; the resource is Ready only where the database is known to be where the spec wants it."""
    run = seen.open_run
    assert run is not None  # noqa: S101  # only an open run ends
    order = run.order
    assert order is not None  # noqa: S101  # only such a run comes here
    handled = _handled(seen, run, order, outcome, reason, message)
    status, told = _standing_behind(seen, order_handled(_closed(seen, outcome, reason), handled), order, handled)
    emits = news(seen, status, reason, told, warning=outcome is not Outcome.SUCCEEDED)
    return Decision(status, (*emits, *_let_go(seen)))


def stand_as_before(seen: Observed, order: Order) -> Status:
    """How an order had left the resource, told again: meanwhile something else was wished, and suspended."""
    handled = next((known for known in seen.status.orders if known.uid == order.uid), None)
    return _standing_behind(seen, seen.status, order, handled)[0] if handled is not None else seen.status


def _standing_behind(seen: Observed, status: Status, order: Order, handled: HandledOrder) -> tuple[Status, str]:
    """The resource where that became of an order, and what is said of it."""
    reason, is_done = Reason(handled.reason), handled.outcome is Outcome.SUCCEEDED
    target = status.target_revisions
    is_at_target = bool(target) and set(target) == set(status.current_revisions or ())
    told = f"DatabaseRestore {order.name}: {sentence(handled.message)}"
    if is_at_target and (is_done or order.rests):
        why = reason if is_done else Reason.UP_TO_DATE
        status = standing(seen, status, Standing.READY, why, f"{told} {position(status)}", Phase.SUCCEEDED)
    elif is_done:
        wish = seen.spec.target_revision
        where = heads(status.current_revisions)
        told += f" The database rests at {where}: nothing goes on to {wish} until the spec changes or the retry annotation is set."
        status = standing(seen, status, Standing.STALLED, reason, told, Phase.RESTORED)
    else:
        phase = Phase.CANCELLED if handled.outcome is Outcome.CANCELLED else Phase.FAILED
        status = standing(seen, status, Standing.STALLED, reason, f"{told} {position(status)}", phase)
    return status, told


def _handled(  # noqa: PLR0917  # reads as a sentence: which, how, why
    seen: Observed, run: Run, order: Order, outcome: Outcome, reason: Reason, message: str
) -> HandledOrder:
    restored = run.restored
    if restored is not None:
        restored = replace(restored, lost=restored.lost[:_TABLES_KEPT])
    return HandledOrder(
        name=order.name,
        uid=order.uid,
        backup=order.backup,
        run=run.number,
        outcome=outcome,
        reason=reason.value,
        message=message,
        started_at=run.started_at,
        finished_at=seen.now,
        revision=seen.status.revision,
        restored=restored,
    )


def fail(seen: Observed, reason: Reason, message: str) -> Decision:
    """The spec or a person must decide; the message says what the database is."""
    told = f"{sentence(message)} {position(seen.status)}"
    run = seen.open_run
    if run is not None and run.order is not None:
        outcome = Outcome.SUCCEEDED if reason is Reason.ALREADY_RESTORED else Outcome.FAILED
        return _end_order(seen, outcome, reason, f"{sentence(message)}{_go_on(seen, run.order.backup, reason)}")
    if run is not None and run.failure is not None:
        which = "another backup" if reason in _USELESS else f"the backup {run.backup}"
        go_on = _go_on(seen, run.backup, reason)
        by_hand = f" Restore {which}, or mend it by hand." if run.backup else " Mend it by hand."
        # Whoever cuts a long message cuts its end.
        told = (
            f"The way back failed: {told}{go_on or by_hand} The migration had failed: {sentence(run.failure.message)}"
        )
        reason = reason if reason in _KEPT else Reason.ROLLBACK_FAILED
    status = _closed(seen, Outcome.FAILED, reason)
    status = standing(seen, status, Standing.STALLED, reason, told, Phase.FAILED)
    return Decision(status, (*news(seen, status, reason, told, warning=True), *_let_go(seen)))


def cancel(seen: Observed) -> Decision:
    """It was stopped because somebody asked; nothing runs any more."""
    if seen.open_run is not None and seen.open_run.order is not None:
        message = "It was cancelled before anything was restored."
        return _end_order(seen, Outcome.CANCELLED, Reason.CANCELLED, message)
    message = (
        f"The run was cancelled. {position(seen.status)} Set the retry annotation, or change the spec, to run again."
    )
    status = replace(_closed(seen, Outcome.CANCELLED, Reason.CANCELLED), last_handled_cancel=seen.cancel)
    status = standing(seen, status, Standing.STALLED, Reason.CANCELLED, message, Phase.CANCELLED)
    return Decision(status, (*news(seen, status, Reason.CANCELLED, message, warning=True), *_let_go(seen)))


def supersede(seen: Observed, reason: Reason) -> Observed:
    """The run makes room for the next one, which begins in the same decision."""
    return replace(seen, status=_closed(seen, Outcome.SUPERSEDED, reason))


def _closed(seen: Observed, outcome: Outcome, reason: Reason) -> Status:
    run = seen.open_run
    assert run is not None  # noqa: S101  # only an open run ends
    entry = HistoryEntry(
        number=run.number,
        outcome=outcome,
        reason=reason.value,
        procedure=run.procedure,
        order=run.order.name if run.order is not None else "",
        image=run.image,
        reference=run.reference,
        start_revisions=run.start_revisions or (seen.status.plan.start if seen.status.plan else ()),
        end_revisions=seen.status.current_revisions or (),
        started_at=run.started_at,
        finished_at=seen.now,
        backup=run.backup,
        applied=run.applied_revisions[-_REVISIONS_KEPT:],
        catalog=seen.status.plan.catalog if seen.status.plan else "",
    )
    metrics = replace(seen.status.metrics or Metrics(), duration_seconds=(seen.now - run.started_at).total_seconds())
    status = run_changed(seen.status, outcome=outcome, finished_at=seen.now)
    history = (entry, *status.history)[:_HISTORY_KEPT]
    return replace(status, history=history, metrics=metrics, progress="", next_retry_time=None)


def _verified(run: Run) -> str:
    """How a downgrade was verified, to go behind the place that it reached."""
    match run.verified_by:
        case None:
            return ""
        case Verification.REVISION:
            return ", verified by revision only: nobody had recorded its schema in today's form"
        case Verification.SCHEMA if not run.left_behind:
            return ", and its schema is the one before the upgrade"
        case Verification.SCHEMA:
            more = len(run.left_behind) - _ITEMS_TOLD
            items = "; ".join(run.left_behind[:_ITEMS_TOLD]) + (f"; and {more} more" if more > 0 else "")
            return f", but its schema is not the one before the upgrade: {items}"
        case _:
            assert_never(run.verified_by)


def _emptied(run: Run, backup: str) -> str:
    """What is there again in name only, and where its data is."""
    if not run.emptied:
        return ""
    more = len(run.emptied) - _ITEMS_TOLD
    items = ", ".join(run.emptied[:_ITEMS_TOLD]) + (f" and {more} more" if more > 0 else "")
    where = f"in the backup {backup}" if backup else "in a backup from before that upgrade, if one is left"
    return f" There again, but without the data that the upgrade had dropped: {items}; the data is {where}."


def _noted(status: Status, restored: Restored) -> str:
    """That the backup is of a schema which an earlier one of its revision had not: half of a revision may be in it."""
    note = next((known.schema_note for known in status.backups if known.name == restored.backup), "")
    return f"Of that backup: {sentence(note)} " if note else ""


def _lost(status: Status, restored: Restored) -> str:
    """What the restore undid, and where the replaced database is."""
    kept = f" The replaced database is kept as {restored.kept_as}." if restored.kept_as else ""
    if not restored.compared and status.drain is not None and status.drain.contested_at is not None:
        return (
            "A workload that was drained since before the backup was seen with replicas or Pods while the restore was at work; what "
            f"it wrote was not looked for.{kept}"
        )
    if not restored.compared:
        return f"The workloads were drained since before the backup; what was written since was not looked for.{kept}"
    if not restored.lost:
        return f"Nothing had been written since the backup.{kept}"
    counts = "; ".join(of_table(loss) for loss in restored.lost[:_ITEMS_TOLD])
    more = len(restored.lost) - _ITEMS_TOLD
    listed = f" They are listed in {restored.list_file}." if restored.list_file else ""
    if found := differing(restored):
        begin = f"Against the backup there were {found}. By table"
    else:  # a failed downgrade's own drops look like this, and say nothing of anybody's writes
        begin = "No row is known to have been written since the backup, but not all could be compared"
    return f"{begin}: {counts}{f'; and {more} more tables' if more > 0 else ''}.{listed}{kept}"


def _untold(status: Status) -> str:
    """A list that is cut says so; what it does not name is a person's to drop."""
    if not status.replaced_untold:
        return ""
    return (
        f" status.replaced names {len(status.replaced)} replaced databases; {counted(status.replaced_untold, 'older one')} had no room in it: "
        "drop by hand what the operator does not drop any more."
    )


def _go_on(seen: Observed, backup: str, reason: Reason) -> str:
    """The one command that goes on, where there is one."""
    if reason is not Reason.RESTORE_NEEDS_ACKNOWLEDGEMENT:
        return ""
    command = f"dbmigration restore {seen.name} --namespace {seen.namespace} --backup {backup} --accept-data-loss"
    return f" If that may be: `{command}`."


def _let_go(seen: Observed) -> tuple[Action, ...]:
    return (RemoveFinalizer(),) if seen.has_finalizer else ()
