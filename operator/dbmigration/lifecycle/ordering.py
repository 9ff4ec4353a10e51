"""The stages before a restore that a person orders: find the backup, take the turn, and from then on there is no way but to the end.

What follows is the way back that a failed migration takes too: drain, restore, resume. Nothing is changed here: an order that is
deleted meanwhile is given up. One that is cancelled is given up also while its workloads are drained.
"""

from __future__ import annotations

from dataclasses import replace

from dbmigration.api.reasons import Reason
from dbmigration.api.restored import Order
from dbmigration.api.status import Outcome as RunOutcome
from dbmigration.api.status import Phase, Procedure, Run, StepState
from dbmigration.lifecycle import attempts, draining, ends, record
from dbmigration.lifecycle.decision import Decision
from dbmigration.lifecycle.observed import Observed, OrderView
from dbmigration.lifecycle.stages import plan_again_when_it_is_our_turn
from dbmigration_runner.contract.result import Outcome
from dbmigration_runner.contract.task import StepKind


def opened(seen: Observed, order: OrderView) -> Observed:
    """The next run carries out this order; what the spec asks for by now counts as done with it, for it shall not undo it."""
    last = seen.status.run
    is_same = last is not None and last.identity == seen.identity
    rested = last is not None and (
        last.outcome is RunOutcome.SUCCEEDED or (last.order is not None and last.order.rests)
    )
    made_room = last is not None and (
        last.outcome is RunOutcome.SUPERSEDED or (last.order is not None and last.order.defers and not rested)
    )
    run = Run(
        number=last.number + 1 if last else 1,
        procedure=Procedure.ORDER,
        identity=seen.identity,
        generation=seen.generation,
        started_at=seen.now,
        backup=order.backup,
        order=Order(
            name=order.name,
            uid=order.uid,
            backup=order.backup,
            accept_data_loss=order.accept_data_loss,
            rests=is_same and rested,
            defers=not is_same or made_room,
        ),
    )
    status = record.run_begun(seen.status, run, retry=seen.retry, cancel=seen.cancel)
    # What the target means is known only of the spec that was planned.
    target = status.target_revisions if is_same else ()
    return replace(seen, status=replace(status, phase=Phase.PENDING, target_revisions=target))


def find(seen: Observed) -> Observed | Decision:
    """Is the backup there, whose is it, and was this order carried out before?"""
    if seen.spec.backup.storage is None:
        return ends.fail(seen, Reason.BACKUP_NOT_FOUND, "backup.storage is not set, so there is no backup.")
    step = seen.latest(StepKind.FIND)
    if step is not None and step.state is StepState.SUCCEEDED:
        return seen
    answer = attempts.asked(seen, StepKind.FIND)
    if isinstance(answer, Decision):
        return answer
    result, seen = answer.result, attempts.with_its_backups(answer)
    if result.outcome is Outcome.FAILED:
        return attempts.refused(seen, StepKind.FIND, result)
    if result.find is None or result.database is None:
        return ends.fail(
            seen, Reason.TASK_INVALID, "The step's result tells nothing: operator and runner are of different releases."
        )
    if result.find.before is not None:
        return ends.carried_out_before(seen, result.find.before)
    if result.find.backup is None:
        return ends.fail(seen, Reason.BACKUP_NOT_FOUND, "The step's result tells of no backup.")
    status = record.backup_found(seen.status, result.find.backup, result.find.version_table, result.find.written)
    status = record.run_changed(
        status, fingerprint=result.database.fingerprint, start_revisions=seen.status.current_revisions or ()
    )
    return replace(seen, status=status)


def commit(seen: Observed) -> Observed | Decision:
    """One run at a time on one database. From here on only a cancel gives the order up, and only until its restore begins."""
    if seen.turn_held_by is not None:
        return plan_again_when_it_is_our_turn(seen, StepKind.FIND)
    status = record.run_changed(seen.status, procedure=Procedure.RESTORE)
    return draining.announce(replace(seen, status=status))
