"""An open run that a start on this machine goes on with or ends: what it needs of the wish that it was begun with, and its story.

It must not decide what becomes of the run; that the lifecycle does.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from dbmigration.api.spec import MigrationSpec
from dbmigration.api.status import Phase, Procedure, Run, Status
from dbmigration.lifecycle.orders import may_be_given_up
from dbmigration.local.errors import ManifestError
from dbmigration.local.manifest import Manifest
from dbmigration.local.store import Resource
from dbmigration.local.surroundings import Surroundings
from dbmigration.local.world import PACE


def as_begun(manifest: Manifest, resource: Resource, around: Surroundings, *, to_cancel: bool) -> Manifest:
    """What an end, or an order that goes on, needs of the wish that the run was begun with.

    Raises ManifestError where a restore would lack its backup.
    """
    status, spec = resource.parsed_status, manifest.spec
    run = status.run
    if run is None or run.outcome is not None:
        return without_backup(manifest)
    spec = MigrationSpec.parse(resource.spec)
    # A way back that has begun is gone to its end, and a migration that turns out to be half applied begins one.
    is_given_up = to_cancel and may_be_given_up(status)
    restores = run.procedure is Procedure.RESTORE or run.order is not None
    may_restore = not is_given_up and (restores or (spec.rollback.on_failure.restores and bool(run.backup)))
    if not may_restore and status.drain is None:
        spec = spec.model_copy(update={"drain": None})
    begun = replace(manifest, document=resource.spec, spec=spec)
    if not may_restore:
        return without_backup(begun)
    if around.backups is None:
        does = "is" if restores else "may have"
        raise ManifestError(
            f"{unfinished(status)} This run {does} to restore the backup {run.backup}: give --backups the folder it is in."
        )
    return begun


def is_ordered(resource: Resource) -> bool:
    """The open run carries out an order."""
    run = resource.parsed_status.run
    return run is not None and run.outcome is None and run.order is not None


def insist_on_the_folder(resource: Resource, folder: str) -> None:
    """Raises ManifestError where the backup that is to be restored lies elsewhere; one that is nowhere is the run's concern."""
    status = resource.parsed_status
    run = status.run
    if not folder or run is None or run.outcome is not None:
        return
    known = next((Path(item.location) for item in status.backups if item.name == run.backup), None)
    if known is not None and known.exists() and not (Path(folder) / known.name).exists():
        raise ManifestError(
            f"The backup {run.backup} that this run restores is not in {folder}: give --backups as it was given when it "
            f"was taken, to {known}."
        )


def without_backup(manifest: Manifest) -> Manifest:
    """For what neither writes nor reads one: whether there is a place for backups is the run's concern."""
    backup = manifest.spec.backup.model_copy(update={"storage": None})
    return replace(manifest, spec=manifest.spec.model_copy(update={"backup": backup}))


def goes_to_its_end(status: Status) -> bool:
    """The open run is on its way back, which a cancel does not break off."""
    run = status.run
    is_on_its_way = (
        run is not None and run.outcome is None and run.procedure in {Procedure.ROLL_BACK, Procedure.RESTORE}
    )
    return is_on_its_way and not may_be_given_up(status)


def opening(status: Status, *, to_cancel: bool, is_changed: bool) -> str:
    """What a start does with the open run, to be said before it is done; "" where none is open. `is_changed`: another spec is wished."""
    run = status.run
    if run is None or run.outcome is not None:
        return ""
    what = _story(status, run)
    if not to_cancel:
        return unfinished(status) if is_changed else f"Run {run.number} goes on: {what}{_end(status)}."
    if goes_to_its_end(status):
        return f"Run {run.number} goes to its end, for its way back has begun and is not broken off: {what}."
    if may_be_given_up(status):
        return f"Run {run.number} is given up, nothing was restored: {what}."
    return f"Run {run.number} is ended: {what}."


def unfinished(status: Status) -> str:
    """What is still open, for whoever may have meant another run; "" where nothing is."""
    run = status.run
    return (
        f"Run {run.number} is open: {_story(status, run)}{_end(status)}."
        if run is not None and run.outcome is None
        else ""
    )


def _story(status: Status, run: Run) -> str:
    """What the run is for, and how far it is."""
    if run.order is not None:
        what = f"{run.order.name}, backup {run.order.backup}"
    elif run.procedure is Procedure.RESTORE:
        what = f"the restore behind a migration that failed, backup {run.backup}"
    elif run.procedure is Procedure.ROLL_BACK:
        what = "the downgrade behind a migration that failed"
    else:
        what = f"the migration to {run.target_revision}"
    return f"{what}, {_stage(status, run)}"


def _stage(status: Status, run: Run) -> str:
    drained = status.drain
    if drained is None:
        return f"begun {run.started_at:%Y-%m-%d %H:%M:%S} UTC"
    if status.phase is Phase.RESUMING or drained.resumed_at is not None:
        return "its workloads are being resumed"
    if drained.given_up:
        return "its drain was given up"
    if drained.drained_at is not None:
        return f"drained since {drained.drained_at:%H:%M:%S} UTC"
    return f"draining since {drained.started_at:%H:%M:%S} UTC"


def _end(status: Status) -> str:
    """Until when a drain is tried that has not come to its end."""
    drained = status.drain
    if drained is None or drained.drained_at or drained.given_up or status.phase is Phase.RESUMING:
        return ""
    until = drained.started_at + PACE.drain_patience
    return f"; {'gives up at' if datetime.now(UTC) < until else 'its time was over at'} {until:%H:%M:%S} UTC"
