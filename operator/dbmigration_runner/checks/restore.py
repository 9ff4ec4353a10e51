"""The emergency way back: a verified backup takes the database's place, and what was written since is known and told.

Under the run's lock, in this order, so that a kill at any line leaves the old database or the restored one, each whole:

    1. the dump is read and hashed: nothing is begun with a damaged one    4. compare the two, row by row
    2. restore it beside the database, and verify it there                 5. write down what is lost, or refuse
    3. fence: nobody but us is in the database                             6. exchange them; 7. look

The long restore comes before the fence: who was not drained goes on meanwhile, also where it fails. Nobody writes
between the comparison and the exchange. This module knows neither an engine nor how a lock is held.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dbmigration_runner.checks import orders
from dbmigration_runner.checks.backup import admin_engine, said_of
from dbmigration_runner.checks.estimate import estimate
from dbmigration_runner.checks.loss import LossList, read_record, write_record
from dbmigration_runner.checks.manifest import NAME, Manifest, read_manifest
from dbmigration_runner.contract.heads import named
from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.contract.result import Outcome, RestoreReport, RestoreStage, Result, TableLoss
from dbmigration_runner.contract.row_kinds import by_kind, explained
from dbmigration_runner.engines import read_catalog
from dbmigration_runner.engines.catalog import Catalog, has_readable_lines
from dbmigration_runner.engines.dump_streams import StoredFile
from dbmigration_runner.engines.messages import short
from dbmigration_runner.engines.restore import Wanted, restore_for
from dbmigration_runner.errors import Refusal, RunnerError
from dbmigration_runner.heartbeat import Heartbeat
from dbmigration_runner.step import Seen

if TYPE_CHECKING:
    from collections.abc import Callable

    from dbmigration_runner.contract.task import RestoreOrder
    from dbmigration_runner.engines.interface import Engine, Lock, Session
    from dbmigration_runner.engines.restore import Restore
    from dbmigration_runner.step import Step

ESTIMATE_SECONDS = 1.0  # the application waits, and nobody is asked
_NAMED = 5
KEEP_AS = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")


@dataclass
class Work:
    """One restore on its way."""

    step: Step
    order: RestoreOrder
    manifest: Manifest
    way: Restore
    report: RestoreReport

    @property
    def path(self) -> Path:
        """Where the dump is."""
        return Path(self.order.directory) / self.manifest.file

    @property
    def known_by(self) -> Engine:
        """What tells which database this is: as the plan did, where there was one, for another role may be told more."""
        planned = self.step.task.expected is not None and self.step.task.expected.fingerprint
        return self.step.engine if planned else self.way.engine

    def reach(self, stage: RestoreStage, **facts: object) -> None:
        """Say how far it came; whoever is killed from here on has come this far."""
        self.report = replace(self.report, stage=stage, **facts)  # type: ignore[arg-type]
        self.step.log.say("restore-stage", stage=stage.value)


def restore(step: Step) -> Result:
    """Raises RunnerError where nothing was begun; the answer to a failure is that the database is the old one."""
    work = _begun(step, *_ordered(step))
    way, path = work.way, work.path
    with contextlib.ExitStack() as held:
        held.callback(way.close)
        lock = way.lock(step.check)
        held.callback(lock.release)
        kept = way.swapped()
        if kept is not None:
            return _done_before(work, kept)
        with work.known_by.connect() as session:
            step.recognise(session)
        with way.engine.connect() as session:
            step.await_guests(session)
            undone = _schema_since(work, session) if work.order.by is not None else ()
        if not way.is_filled:
            _verify_dump(work, path)
        way.refuse_impossible()
        if work.order.by is None and not work.order.nothing_written:  # a person's order was told it when it was found
            step.log.say("restore-estimate", written=estimate(step.engine, work.manifest, seconds=ESTIMATE_SECONDS))
        try:
            with said_of(path.parent):
                _exchange(work, lock)
            step.warnings += undone
        except RunnerError as error:
            left = " ".join(way.discard())
            error.message = short(f"{left} {error.message}" if left else error.message)
            seen = _look(work)
            return step.failed(error, changed=False, heads=seen.heads, catalog=seen.catalog, restore=work.report)
        except BaseException:
            way.discard()
            raise
        return _looked(work)


def done_before(step: Step) -> Result | None:
    """What a restore would answer whose end nobody heard; None where it did not take place, and then its fence is lifted.

    Nothing is begun. Raises RunnerError where the database cannot be reached, or is held by somebody.
    """
    try:
        found = _ordered(step)
    except Refusal as error:  # the database can be read all the same
        step.warnings.append(f"Whether the backup was put in place could not be asked: {error.message}")
        return None
    work = _begun(step, *found)
    with contextlib.ExitStack() as held:
        held.callback(work.way.close)
        held.callback(work.way.lock(step.check).release)
        kept = work.way.swapped()
        return None if kept is None else _done_before(work, kept)


def _begun(step: Step, order: RestoreOrder, manifest: Manifest) -> Work:
    path = Path(order.directory) / manifest.file
    with said_of(Path(order.directory)):
        way = restore_for(step.engine, admin_engine(step), wanted(step, order, manifest, path))
    return Work(step, order, manifest, way, RestoreReport(order.backup))


def _exchange(work: Work, lock: Lock) -> None:
    """From the fresh copy to the swap."""
    step, way, order = work.step, work.way, work.order
    with contextlib.ExitStack() as fenced, LossList(Path(order.directory), order) as losses:
        with Heartbeat(lock) as heartbeat:

            def alive() -> None:
                step.check()
                heartbeat.check()

            step.warnings += way.fill(alive)
            work.reach(RestoreStage.RESTORED)
            fenced.enter_context(way.fence(alive))
            work.reach(RestoreStage.FENCED)
            if way.is_compared:
                _compare(work, losses, alive)
            alive()
        write_record(Path(order.directory), order, work.report)
        orders.begun(order, work.report)
        kept = way.swap(lock, step.check)
        work.reach(RestoreStage.SWAPPED, swapped=True, kept_as=kept)


def _schema_since(work: Work, session: Session) -> tuple[str, ...]:
    """What a person may not know that he undoes: a function that was mended by hand, say. Of a run's own it is the purpose."""
    manifest = work.manifest
    if not has_readable_lines(manifest.catalog_digest):
        return ()
    now = read_catalog(work.way.engine, session).without(manifest.version_table)
    since = Catalog(manifest.catalog).without(manifest.version_table).difference(now)
    if not since:
        return ()
    return (
        short(
            f"The schema is the backup's again; in the replaced database it differs (+ only there, - not there): {since}"
        ),
    )


def _compare(work: Work, losses: LossList, alive: Callable[[], None]) -> None:
    """What a restore would take back; raises RunnerError (RestoreNeedsAcknowledgement) where that was not accepted."""
    order = work.order
    lost = work.way.compare(losses.add if order.accept_data_loss else lambda _: None, alive)
    sums = {kind: sum(getattr(loss, kind) for loss in lost) for kind in ("inserted", "updated", "deleted")}
    rows = sum(sums.values())
    work.reach(RestoreStage.COMPARED, compared=True, lost=lost, lost_tables=len(lost), lost_rows=rows, **sums)
    work.step.log.say("restore-compared", tables=len(lost), rows=rows, **sums)
    if lost and not order.accept_data_loss:
        raise Refusal(
            RunnerReason.RESTORE_NEEDS_ACKNOWLEDGEMENT,
            f"Nothing was changed. {_told(work.manifest.taken_at, lost, work.report)}",
        )
    file, sha256 = losses.publish()
    work.report = replace(work.report, list_file=file, list_sha256=sha256)


def _told(taken_at: str, lost: tuple[TableLoss, ...], report: RestoreReport) -> str:
    """What a restore would take back, in sentences: each kind of rows by its name, in all and by table."""
    written = [loss for loss in lost if loss.rows]
    others = [f"{loss.table}: {loss.untold}." for loss in lost if loss.untold]
    tables = [f"{loss.table} {by_kind(loss.inserted, loss.updated, loss.deleted)}" for loss in written[:_NAMED]]
    if len(written) > _NAMED:
        tables.append(f"{len(written) - _NAMED} more tables")
    found = explained(report.inserted, report.updated, report.deleted, is_done=False)
    told = [
        f"A restore of the backup of {taken_at} would undo what the application or the migration itself wrote: {found}. "
        f"By table: {'; '.join(tables)}."
        if written
        else f"No row is known to differ from the backup of {taken_at}, but the database was not left as it was."
    ]
    more = [f"And {len(others) - _NAMED} more."] if len(others) > _NAMED else []
    return " ".join((*told, *others[:_NAMED], *more))


def _done_before(work: Work, kept: str) -> Result:
    """An earlier attempt came to the swap, and was ended before it could tell."""
    work.report = replace(
        read_record(Path(work.order.directory), work.order) or work.report,
        stage=RestoreStage.SWAPPED,
        swapped=True,
        kept_as=kept,
    )
    return _looked(work)


def _looked(work: Work) -> Result:
    step, way = work.step, work.way
    try:
        orders.done(work.order, work.report)
    except OSError as error:
        step.warnings.append(f"That the order was carried out could not be recorded: {error.strerror}.")
    step.warnings += way.confirm()
    seen = _look(work, anew=True)
    if seen.heads != tuple(sorted(work.manifest.revisions)):
        return step.result(
            Outcome.FAILED,
            RunnerReason.VERIFICATION_FAILED,
            f"The backup is in the database's place, but the database was read as at {named(seen.heads or ())}.",
            changed=True,
            heads=seen.heads,
            catalog=seen.catalog,
            restore=work.report,
        )
    work.reach(RestoreStage.LOOKED)
    kept = work.report.kept_as
    return step.result(
        Outcome.SUCCEEDED,
        RunnerReason.DONE,
        f"The database is the backup {work.order.backup} again, at {named(seen.heads)}; the replaced one is kept as {kept}.",
        changed=True,
        heads=seen.heads,
        catalog=seen.catalog,
        restore=work.report,
    )


def _look(work: Work, *, anew: bool = False) -> Seen:
    """Read the database that stands in the place now; `anew`: it is another one than was planned."""
    heads: tuple[str, ...] | None = None
    try:
        if anew:
            with work.known_by.connect() as session:
                work.step.facts = work.known_by.facts(session)
        with work.way.engine.connect() as session:
            heads = work.way.engine.heads(session, work.manifest.version_table)
            schema = read_catalog(work.way.engine, session)
            return Seen(heads, schema, work.manifest.version_table)
    except RunnerError as error:
        work.step.warnings.append(f"The database could not be read: {error.message}")
        return Seen(heads)


def _ordered(step: Step) -> tuple[RestoreOrder, Manifest]:
    order = step.task.restore
    if order is None:
        raise Refusal(RunnerReason.TASK_INVALID, "The task does not say what to restore.")
    if not KEEP_AS.fullmatch(order.keep_as):
        raise Refusal(RunnerReason.TASK_INVALID, "What the replaced database is kept as is no short word.")
    manifest = read_manifest(Path(order.directory), order.backup) if NAME.fullmatch(order.backup) else None
    if manifest is None or Path(manifest.file).name != manifest.file or manifest.engine != step.engine.name:
        raise Refusal(
            RunnerReason.BACKUP_NOT_FOUND,
            f"The backup {order.backup} is not in {order.directory}, or its manifest cannot be read. Nothing was begun.",
        )
    with said_of(Path(order.directory)):
        return orders.continued(order), manifest


def wanted(step: Step, order: RestoreOrder, manifest: Manifest, path: Path) -> Wanted:
    """What an engine is told of the backup; for a clone of it the same as for its restore."""
    run, by = step.task.run, order.by
    # Nobody's but this order's, also for a run of another object that carries it out once more.
    whose = f"{run.uid}/{run.number}" if by is None else f"order/{run.namespace}/{run.name}/{by.name}"
    return Wanted(
        path=path,
        sha256=order.sha256,
        rows=manifest.rows,
        sizes=manifest.sizes or manifest.rows,
        revisions=manifest.revisions,
        version_table=manifest.version_table,
        catalog=Catalog(manifest.catalog) if has_readable_lines(manifest.catalog_digest) else None,
        surroundings=manifest.surroundings,
        token=f"{whose}/{order.backup}",
        keep_as=order.keep_as,
        application_name=step.application_name,
        size_bytes=manifest.data_bytes,
        # Those of the application come in by the same role: without them a fence would be none.
        spared_users=tuple(user for user in order.spared_users if user != step.engine.url.username),
        grace_seconds=step.task.locks.grace_seconds,
        nothing_written=order.nothing_written,
        left_out=manifest.left_out,
    )


def _verify_dump(work: Work, path: Path) -> None:
    """Raises Refusal (BackupNotFound, BackupCorrupt); then nothing was touched."""
    step, order = work.step, work.order
    if not path.is_file() or path.is_symlink():
        raise Refusal(
            RunnerReason.BACKUP_NOT_FOUND, f"The dump {path.name} is gone; nothing was begun. Restore another backup."
        )
    with said_of(path.parent), StoredFile(path) as file:
        while file.read():
            step.check()
    if file.sha256 != order.sha256:
        raise Refusal(
            RunnerReason.BACKUP_CORRUPT,
            f"The dump {path.name} is not the one that was verified when it was made: its SHA-256 is another. Nothing was "
            "begun. Check the volume, and restore another backup.",
        )
    work.reach(RestoreStage.VERIFIED)
