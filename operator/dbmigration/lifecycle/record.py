"""What a step's answer adds to the status: facts that were read from the database, and the step's own end.

Pure setters, each returns the next status. It must not judge an answer, nor touch conditions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

from dbmigration.api.conditions import cut
from dbmigration.api.reasons import Reason
from dbmigration.api.restored import Replaced, Restored, TableLoss
from dbmigration.api.status import (
    Backup,
    Failure,
    Finding,
    HandledOrder,
    Metrics,
    Plan,
    PlannedRevision,
    Procedure,
    Run,
    Status,
    Step,
    StepState,
    Verification,
)
from dbmigration.lifecycle.telling import DOWNGRADE_HAD_FAILED, sentence
from dbmigration_runner.contract.heads import named
from dbmigration_runner.contract.result import (
    BackupReport,
    PlanReport,
    RestoreReport,
    Result,
    StorageReport,
    StoredBackup,
)
from dbmigration_runner.contract.task import StepKind

N = TypeVar("N", int, float)

_STEPS_KEPT = 100
_BACKUPS_KEPT = 100
_REVISIONS_SHOWN = 50
_REPLACED_KEPT = 50
_ORDERS_KEPT = 10


def step_started(status: Status, step: Step) -> Status:
    """A new attempt; the oldest are dropped from a very long list."""
    return replace(status, steps=(*status.steps, step)[-_STEPS_KEPT:], progress="", next_retry_time=None)


def step_ended(status: Status, step: Step, state: StepState, now: datetime, reason: Reason | None = None) -> Status:
    """An attempt came to an end."""
    ended = replace(step, state=state, finished_at=now, reason=reason.value if reason else "")
    return replace(status, steps=tuple(ended if known == step else known for known in status.steps))


def run_changed(status: Status, **changes: object) -> Status:
    """The run's record, with what was not known before."""
    assert status.run is not None  # noqa: S101  # callers are inside an open run
    return replace(status, run=replace(status.run, **changes))  # type: ignore[arg-type]  # checked by the dataclass itself


def database_read(status: Status, heads: Iterable[str] | None, catalog: str | None, now: datetime) -> Status:
    """The database's heads and the fingerprint of its schema, as a step read them; no heads leave what was read before."""
    if heads is None:
        return status
    current = tuple(sorted(heads))
    return replace(status, current_revisions=current, revision=named(current), catalog=catalog or "", observed_at=now)


def plan_told(status: Status, report: PlanReport, catalog: str | None) -> Status:
    """What lies between the database and the target, and the schema's fingerprint at that moment."""
    plan = Plan(
        hash=report.hash,
        start=tuple(sorted(report.start)),
        target=tuple(sorted(report.target)),
        count=report.count,
        revisions=tuple(
            PlannedRevision(id=item.id, title=item.title[:512]) for item in report.revisions[:_REVISIONS_SHOWN]
        ),
        statements=report.statements,
        findings=tuple(
            Finding(code=item.code, message=item.message, revision=item.revision)
            for item in report.findings[:_REVISIONS_SHOWN]
        ),
        version_table=report.version_table,
        catalog=catalog or "",
        downgrade=report.downgrade,
        loses_data=report.loses_data,
    )
    return replace(status, plan=plan, target_revisions=plan.target)


def storage_read(status: Status, report: StorageReport | None) -> Status:
    """The list of backups as they lie on the storage: those that it lacks by their age, and none that is gone."""
    if report is None:
        return status
    gone, listed = set(report.gone), {known.name for known in status.backups}
    kept = [known for known in status.backups if known.name not in gone]
    found = [_backup(told) for told in report.found if told.name not in listed]
    newest_first = sorted((*kept, *found), key=lambda backup: backup.taken_at, reverse=True)
    return _listed(replace(status, backups_untold=report.untold), newest_first)


def backup_made(status: Status, report: BackupReport, image: str) -> Status:
    """A verified backup, newest first; what the runner pruned is no longer listed."""
    backup = replace(_backup(report), image=image, clone=report.clone[:63])
    gone = {*report.pruned, backup.name}
    # The runner removed every copy that was on the server before.
    kept = tuple(replace(known, clone="") for known in status.backups if known.name not in gone)
    left = {*report.dropped, *report.missing}
    replaced = tuple(known for known in status.replaced if known.name not in left)
    return run_changed(_listed(replace(status, replaced=replaced), (backup, *kept)), backup=backup.name)


def _listed(status: Status, backups: Sequence[Backup]) -> Status:
    untold = status.backups_untold + len(backups[_BACKUPS_KEPT:])
    return replace(status, backups=tuple(backups[:_BACKUPS_KEPT]), backups_untold=untold)


def _backup(report: StoredBackup) -> Backup:
    return Backup(
        name=report.name,
        location=report.location,
        size_bytes=report.size_bytes,
        sha256=report.sha256,
        revisions=tuple(sorted(report.revisions)),
        image=report.image[:600],
        taken_at=datetime.fromisoformat(report.taken_at),
        verified_at=datetime.fromisoformat(report.verified_at),
        restorable=report.restorable,
        note=report.restorable_note[:2048],
        catalog=report.catalog,
        schema_note=report.schema_note,
    )


def backup_found(status: Status, report: StoredBackup, version_table: str, estimate: str) -> Status:
    """The backup that an order names, as its manifest tells; one that the status did not know of is listed by its age."""
    assert status.run is not None  # noqa: S101  # callers are inside an open run
    assert status.run.order is not None  # noqa: S101  # the same
    order = replace(
        status.run.order,
        sha256=report.sha256,
        revisions=tuple(sorted(report.revisions)),
        version_table=version_table,
        estimate=estimate,
    )
    status = run_changed(status, order=order)
    return storage_read(status, StorageReport((report,), status.backups_untold))


def order_handled(status: Status, handled: HandledOrder) -> Status:
    """An order came to its end; the newest are remembered."""
    others = tuple(known for known in status.orders if known.uid != handled.uid)
    return replace(status, orders=(handled, *others)[:_ORDERS_KEPT])


def migrated(status: Status, result: Result) -> Status:
    """What this attempt applied or undid, and what it cost."""
    run = status.run
    if run is None or result.migrate is None:
        return status
    resources = result.resources
    before = status.metrics or Metrics()
    metrics = replace(
        before,
        peak_cpu_percent=_peak(before.peak_cpu_percent, resources.peak_cpu_percent if resources else None),
        peak_memory_bytes=_peak(before.peak_memory_bytes, resources.peak_memory_bytes if resources else None),
        peak_disk_percent=_peak(before.peak_disk_percent, resources.peak_disk_percent if resources else None),
        lock_waits=before.lock_waits + result.migrate.lock_waits,
    )
    told = result.migrate.applied
    if result.kind is StepKind.DOWNGRADE:
        back = _joined(run.emptied, result.migrate.emptied)[:_REVISIONS_SHOWN]
        status = run_changed(status, undone_revisions=_joined(run.undone_revisions, told), emptied=back)
    else:
        status = run_changed(status, applied_revisions=_joined(run.applied_revisions, told))
    return replace(status, metrics=metrics)


def confirmed(status: Status) -> Status:
    """With what lost attempts did, as far as the heads tell that were read since."""
    run, plan, heads = status.run, status.plan, status.current_revisions
    if run is None or plan is None or heads is None:
        return status
    if run.procedure is Procedure.RESTORE:
        return status
    if run.procedure is Procedure.ROLL_BACK:
        return _undone(status, run, tuple(reversed(run.applied_revisions)), done=set(heads) == set(run.start_revisions))
    if plan.downgrade:
        way = tuple(revision.id for revision in plan.revisions)
        return _undone(status, run, way, done=set(heads) == set(plan.target))
    planned = [revision.id for revision in plan.revisions]
    reached = max((planned.index(head) + 1 for head in heads if head in planned), default=0)
    if reached <= len(run.applied_revisions):
        return status
    return run_changed(status, applied_revisions=tuple(planned[:reached]))


def _undone(status: Status, run: Run, way: tuple[str, ...], *, done: bool) -> Status:
    """All before the first of the way that is a head again."""
    heads = status.current_revisions or ()
    reached = len(way) if done else min((way.index(head) for head in heads if head in way), default=0)
    return status if reached <= len(run.undone_revisions) else run_changed(status, undone_revisions=way[:reached])


def rolling_back(status: Status, procedure: Procedure, reason: Reason, message: str) -> Status:
    """From here on the run goes back; why is kept, and why the first way back did not lead there goes behind it."""
    assert status.run is not None  # noqa: S101  # callers are inside an open run
    first = status.run.failure
    if first is None:
        why = Failure(reason=reason.value, message=message)
    else:
        both = f"{sentence(cut(first.message))}{DOWNGRADE_HAD_FAILED}{cut(message)}"
        why = replace(first, message=both)
    return run_changed(status, procedure=procedure, failure=why)


def restored(status: Status, report: RestoreReport, now: datetime) -> Status:
    """The backup is in the place of the database; nothing of what the run applied is left. The replaced one is kept."""
    status = replaced(status, report, now)
    taken = (replace(known, clone="") if known.name == report.backup else known for known in status.backups)
    return run_changed(replace(status, backups=tuple(taken)), restored=told_of(report))


def replaced(status: Status, report: RestoreReport, now: datetime) -> Status:
    """A database that a restore replaced is kept under this name."""
    assert status.run is not None  # noqa: S101  # callers are inside an open run
    if not report.kept_as or any(known.name == report.kept_as for known in status.replaced):
        return status
    kept = Replaced(name=report.kept_as, replaced_at=now, run=status.run.number)
    known = (kept, *status.replaced)
    untold = status.replaced_untold + len(known[_REPLACED_KEPT:])
    return replace(status, replaced=known[:_REPLACED_KEPT], replaced_untold=untold)


def told_of(report: RestoreReport) -> Restored:
    """What a restore did, in the status' words."""
    lost = tuple(
        TableLoss(
            table=loss.table,
            inserted=loss.inserted,
            updated=loss.updated,
            deleted=loss.deleted,
            untold=loss.untold[:512],
        )
        for loss in report.lost[:100]
    )
    return Restored(
        backup=report.backup,
        kept_as=report.kept_as,
        compared=report.compared,
        lost_rows=report.lost_rows,
        inserted=report.inserted,
        updated=report.updated,
        deleted=report.deleted,
        lost=lost,
        list_file=report.list_file,
        list_sha256=report.list_sha256,
    )


def outlived(status: Status, run: int) -> Status:
    """A run changed the database and succeeded: what earlier ones replaced is needed less from here on."""
    outlived_all = tuple(
        known if known.outlived_by is not None else replace(known, outlived_by=run) for known in status.replaced
    )
    return replace(status, replaced=outlived_all)


def compared(status: Status, verified_by: Verification, left_behind: Iterable[str] = ()) -> Status:
    """By what a downgrade was verified, and what was found."""
    return run_changed(status, verified_by=verified_by, left_behind=tuple(left_behind)[:_REVISIONS_SHOWN])


def _joined(before: tuple[str, ...], told: tuple[str, ...]) -> tuple[str, ...]:
    return (*before, *(item for item in told if item not in before))[:1000]


def run_begun(status: Status, run: Run, *, retry: str, cancel: str) -> Status:
    """A new run: nothing of the last one's record stays but its history, its backups and what was read."""
    return replace(
        status,
        run=run,
        plan=None,
        steps=(),
        progress="",
        metrics=None,
        next_retry_time=None,
        last_handled_retry=retry,
        last_handled_cancel=cancel,
    )


def _peak(one: N | None, other: N | None) -> N | None:
    known = [value for value in (one, other) if value is not None]
    return max(known) if known else None
