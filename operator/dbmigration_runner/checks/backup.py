"""The way back, made before anything is changed: dump, read back, try, record, forget the superfluous.

Under the run's lock, in this order, so that a kill at any line leaves either a backup that is whole or none:

    1. remove what is left over or superfluous   5. restore its schema in a probe database
    2. one snapshot: heads, schema, tables       6. rename it to its name, write the manifest
    3. write the dump of it, as <name>.partial   7. remove backups beyond retention
    4. read it back from the disk, to the end     8. drop replaced databases that are to go

The application's code is never run. This module knows neither an engine nor how a lock is held.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dbmigration_runner.checks.backup_progress import BackupProgress
from dbmigration_runner.checks.manifest import (
    NAME,
    PARTIAL,
    SUFFIX,
    Manifest,
    now,
    plain_name,
    read_manifests,
    report_of,
    sync_directory,
    write_manifest,
)
from dbmigration_runner.checks.replaced import forget
from dbmigration_runner.checks.restorable import require_restorable
from dbmigration_runner.checks.retention import CORRUPT, give_up, prune, remove_left_overs
from dbmigration_runner.checks.schema_note import schema_note
from dbmigration_runner.checks.stored import is_of_database, is_of_object, stored
from dbmigration_runner.contract.heads import named
from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.contract.result import BackupReport, Outcome, Result
from dbmigration_runner.engines import engine_for
from dbmigration_runner.engines.dump import dump_for
from dbmigration_runner.errors import Refusal, RunnerError
from dbmigration_runner.heartbeat import Heartbeat

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from dbmigration_runner.contract.task import BackupOrder, Task
    from dbmigration_runner.engines.dump import Decoded, Dump, Probe, Snapshot, Stored
    from dbmigration_runner.engines.interface import Engine, Lock
    from dbmigration_runner.step import Step

PRIVATE_DIRECTORY = 0o700
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_RIGHTS = (errno.EACCES, errno.EPERM, errno.EROFS)
_GROWTH = 10  # a database that grew more than this since its last backup is told nothing by that one's size
_SHOWN = 5


@dataclass(frozen=True)
class Written:
    """A dump on the volume under its partial name, and the snapshot that it is of."""

    path: Path
    stored: Stored
    snapshot: Snapshot
    taken_at: str


def backup(step: Step) -> Result:
    """Do the backup step; raises RunnerError where there is no new backup."""
    admin = admin_engine(step)
    with step.engine.connect() as session:
        step.meet(session)
    lock = step.engine.lock(exclusive=True, should_stop=step.check, wait_seconds=step.task.locks.grace_seconds)
    try:
        with step.engine.connect() as session:
            step.await_guests(session)
        with Heartbeat(lock) as heartbeat:

            def alive() -> None:
                step.check()
                heartbeat.check()

            far = BackupProgress(step.log.say)
            server = step.facts.server if step.facts is not None else ""
            report = back_up(step.task, step.engine, lock=lock, alive=alive, admin=admin, far=far, server=server)
        report, told = forget(_order(step.task), report, step.engine, admin)
        step.warnings += told
        lock.check()  # since the last beat it may have gone: then somebody may have migrated while the dump was verified
        seen = step.look()
        order = _order(step.task)
        directory = Path(order.directory)
        with contextlib.suppress(OSError):  # the backup is made, whether the others can be told of or not
            there = read_manifests(directory)
            step.warnings += [_loses(made.left_out) for made in there if made.name == order.name and made.left_out]
            step.storage = stored(directory, there, (*order.known, order.name), step.task.run, step.engine)
    finally:
        lock.release()
    step.warnings += [note for note in (report.restorable_note, _told(report)) if note]
    return step.result(
        Outcome.SUCCEEDED,
        RunnerReason.DONE,
        f"A backup of {report.size_bytes} bytes was written, read back and decoded.",
        heads=seen.heads,
        catalog=seen.catalog,
        backup=report,
    )


def _told(report: BackupReport) -> str:
    """Of whom the note is, where it stands alone."""
    return f"Of the backup {report.name}: {report.schema_note}" if report.schema_note else ""


def _loses(left_out: tuple[str, ...]) -> str:
    """What is not in a backup, and how it could be."""
    return (
        f"Not in the backup are the rows of tables that belong to extensions: {_listed(left_out)}. Its restore compares, and"
        " does not lose them unasked. ALTER EXTENSION … DROP TABLE … makes a table one that is backed up."
    )


def admin_engine(step: Step) -> Engine | None:
    """The same server by the URL of who may do more, where there is one."""
    path = step.task.database.admin_url_file
    if path is None:
        return None
    return engine_for(Path(path).read_text(encoding="utf-8"), application_name=step.application_name)


def back_up(
    task: Task,
    engine: Engine,
    *,
    lock: Lock,
    alive: Callable[[], None],
    admin: Engine | None = None,
    far: BackupProgress | None = None,
    server: str = "",
) -> BackupReport:
    """Take and verify the task's backup; the caller holds `lock` until this returns.

    `alive` is called at least twice a second, and raises Stopped where the step is to end or the lock is lost. `admin` is
    the same database by a URL that leads past a pooler and may create databases. `far` is told how far it is. `server` is
    as in DatabaseFacts.

    Raises RunnerError: DatabaseMoved, BackupFailed, BackupCorrupt, BackupVolumeFull, BackupNotRestorable,
    ClientToolsTooOld and what an engine's sessions raise. Then there is no new backup, and no old one within retention is
    gone.
    """
    order, far = _order(task), far or BackupProgress()
    if order.probe_required:
        require_restorable(engine, admin)
    directory = Path(order.directory)
    with said_of(directory):
        _prepare(directory)
        # Retention may have been lowered because the volume is full: what it gives up makes room for this one.
        give_up(directory, order.keep_last)
        dump = dump_for(engine, admin, lock)
        written = write_dump(task, dump, directory / f"{order.name}{dump.suffix}{PARTIAL}", alive, far)
        try:
            decoded = verify_dump(dump, written, alive, far)
            probe = dump.probe(written.path, written.snapshot, alive)
            manifest = _manifest(task, dump, written, decoded, probe)
            manifest = replace(manifest, database=plain_name(engine.url.database), server=server)
            ours = (
                known
                for known in read_manifests(directory)
                if is_of_object(known, task.run) and is_of_database(known, engine)
            )
            manifest = replace(manifest, schema_note=schema_note(manifest, ours, order.schema_note))
            _publish(written.path, directory, manifest)
        except BaseException:
            with contextlib.suppress(OSError):
                written.path.unlink()
            raise
        _refuse_no_way_back(order, probe)
        pruned = prune(directory, order.keep_last, made=order.name)
    return BackupReport(**vars(report_of(directory, manifest)), pruned=pruned)


def write_dump(
    task: Task, dump: Dump, path: Path, alive: Callable[[], None], far: BackupProgress | None = None
) -> Written:
    """Dump one snapshot of the database to a new file, and sync it; nothing is left of a dump that failed.

    Raises Refusal (DatabaseMoved, BackupVolumeFull) before anything is written.
    """
    order, told = _order(task), far or BackupProgress()

    def alive_and_told() -> None:
        alive()
        told("writing", lambda: path.stat().st_size)

    with dump.snapshot(order.version_table) as snapshot:
        taken_at = now()
        _refuse_moved(task, snapshot)
        _refuse_small_volume(path.parent, snapshot)
        try:
            stored = dump.write(path, alive_and_told)
        except BaseException:
            with contextlib.suppress(OSError):
                path.unlink()
            raise
    sync_directory(path.parent)
    return Written(path, stored, snapshot, taken_at)


def verify_dump(dump: Dump, written: Written, alive: Callable[[], None], far: BackupProgress | None = None) -> Decoded:
    """Read the dump back from the disk and decode it to its last row; what is not whole is set aside as `.corrupt`.

    Raises RunnerError (BackupCorrupt).
    """
    told, size = far or BackupProgress(), written.stored.size_bytes
    decoded = dump.decode(written.path, alive, lambda count: told("reading back", lambda: count, size))
    fault = _fault(written, decoded)
    if fault:
        aside = written.path.with_name(written.path.name[: -len(PARTIAL)] + CORRUPT)
        written.path.rename(aside)
        raise RunnerError(
            RunnerReason.BACKUP_CORRUPT,
            f"The backup does not read back as it was written: {fault}. It is kept as {aside.name} until the next attempt. "
            "Check the volume and what it lies on.",
        )
    return decoded


def _fault(written: Written, decoded: Decoded) -> str:
    stored = written.stored
    if decoded.size_bytes != stored.size_bytes:
        return f"{stored.size_bytes} bytes were written, {decoded.size_bytes} are there"
    if decoded.sha256 != stored.sha256:
        return "its SHA-256 is another one than of what was written"
    if decoded.fault:
        return decoded.fault
    missing = sorted(written.snapshot.tables - set(decoded.rows))
    if missing:
        return f"it has no rows of {_listed(missing)}"
    return ""


def _listed(tables: Sequence[str]) -> str:
    more = f" and {len(tables) - _SHOWN} more" if len(tables) > _SHOWN else ""
    return f"{', '.join(tables[:_SHOWN])}{more}"


def _order(task: Task) -> BackupOrder:
    order = task.backup
    if order is None:
        raise Refusal(
            RunnerReason.TASK_INVALID, "A backup was asked for without saying where to: the task has no backup order."
        )
    if not NAME.fullmatch(order.name):
        raise Refusal(
            RunnerReason.TASK_INVALID, "The name of the backup is no file name of letters, digits, dots and dashes."
        )
    return order


def _prepare(directory: Path) -> None:
    """Make the object's directory, or refuse the one that is there; remove what earlier attempts left.

    Not at the end, where only a success comes: what they left may be why there is no room for one.
    """
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISDIR(directory.lstat().st_mode):
            raise Refusal(
                RunnerReason.STORAGE_NOT_SUPPORTED,
                f"{directory} is no directory, or a link that may lead anywhere: give the backups a directory of their own.",
            )
    directory.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
    if not os.access(directory, os.R_OK | os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(directory))
    remove_left_overs(directory)


def _refuse_moved(task: Task, snapshot: Snapshot) -> None:
    if task.expected is not None and sorted(snapshot.heads) != sorted(task.expected.start):
        raise Refusal(
            RunnerReason.DATABASE_MOVED,
            f"The database is at {named(snapshot.heads)}, the plan starts at {named(task.expected.start)}: "
            "somebody else migrated it. A new plan is needed.",
        )


def _refuse_small_volume(directory: Path, snapshot: Snapshot) -> None:
    """Find out before an hour of dumping; the last backup tells how much smaller than its database a dump is."""
    system = os.statvfs(directory)
    free = system.f_bavail * system.f_frsize
    needed = snapshot.least_bytes
    last = next(iter(read_manifests(directory)), None)
    if last is not None and 0 < snapshot.data_bytes <= last.data_bytes * _GROWTH:
        # Half of what the last one suggests: rows and their statistics change, and a full disk is noticed anyway. Nothing
        # where there were hardly any rows, for that dump was all schema, and tells nothing of what rows take.
        needed = max(needed, snapshot.data_bytes * last.size_bytes // last.data_bytes // 2)
    if free < needed:
        raise Refusal(
            RunnerReason.BACKUP_VOLUME_FULL,
            f"{free} bytes are free on the backup volume, at least {needed} are needed: enlarge it, or lower backup.retention.",
        )


def _manifest(task: Task, dump: Dump, written: Written, decoded: Decoded, probe: Probe) -> Manifest:
    order, run, snapshot = _order(task), task.run, written.snapshot
    return Manifest(
        name=order.name,
        file=order.name + dump.suffix,
        object=f"{run.namespace}/{run.name}/{run.uid}",
        run=run.number,
        attempt=run.attempt,
        taken_at=written.taken_at,
        verified_at=now(),
        engine=dump.engine,
        server_version=snapshot.server_version,
        tool=dump.tool,
        size_bytes=decoded.size_bytes,
        decoded_bytes=decoded.decoded_bytes,
        data_bytes=snapshot.data_bytes,
        sha256=decoded.sha256,
        revisions=snapshot.heads,
        version_table=order.version_table,
        catalog_digest=snapshot.catalog.fingerprint(order.version_table),
        catalog=snapshot.catalog.items,
        rows=dict(decoded.rows),
        sizes=dict(decoded.sizes),
        marks=dict(snapshot.marks),
        restorable=probe.restorable,
        restorable_note=probe.note,
        image=task.migrations.image if task.migrations is not None else "",
        plan_hash=task.expected.hash if task.expected is not None else "",
        surroundings=snapshot.surroundings,
        notes=(*decoded.notes, *([_loses(snapshot.left_out)] if snapshot.left_out else [])),
        left_out=snapshot.left_out,
    )


def _publish(partial: Path, directory: Path, manifest: Manifest) -> None:
    """Give the dump its name, and make it valid; a dump of the same name loses its manifest first."""
    with contextlib.suppress(FileNotFoundError):
        (directory / (manifest.name + SUFFIX)).unlink()
    final = directory / manifest.file
    partial.rename(final)
    sync_directory(directory)
    try:
        write_manifest(directory, manifest)
    except BaseException:
        with contextlib.suppress(OSError):
            final.unlink()
        remove_left_overs(directory)
        raise


def _refuse_no_way_back(order: BackupOrder, probe: Probe) -> None:
    """A dump that does not restore is kept and recorded, but nothing may be changed on its strength."""
    if probe.restorable is False:
        raise RunnerError(
            RunnerReason.BACKUP_NOT_RESTORABLE,
            f"{probe.note.rstrip('.')}. The dump itself is whole and kept as {order.name}. "
            "Mend the object that is named, or say in backup.skip.reason that no backup is wanted.",
        )
    if order.probe_required and probe.restorable is None:
        raise RunnerError(
            RunnerReason.BACKUP_NOT_RESTORABLE,
            f"rollback.onFailure relies on a restore, and whether one would succeed is not known. {probe.note}",
        )


@contextlib.contextmanager
def said_of(directory: Path) -> Iterator[None]:
    """What the file system refuses, in our words."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise RunnerError(
                RunnerReason.BACKUP_VOLUME_FULL,
                "The backup volume ran full; what was written is removed. Enlarge it, or lower backup.retention.",
            ) from None
        remedy = "Mount it writable, or set podTemplate.fsGroup." if error.errno in _RIGHTS else "Check the volume."
        raise RunnerError(
            RunnerReason.BACKUP_FAILED,
            f"{directory} cannot be used for backups by user {os.getuid()}: {error.strerror or error}. {remedy}",
        ) from None
