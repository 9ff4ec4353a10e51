"""Which of the backups on the storage are of this object and its database and could be restored.

So the list of them can be made anew where whoever keeps it has lost it. No dump is read here: a restore reads the one that it
puts in place.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from dbmigration_runner.checks.manifest import NAME, Manifest, plain_name, report_of
from dbmigration_runner.contract.result import StorageReport

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from pathlib import Path

    from dbmigration_runner.contract.task import RunIdentity
    from dbmigration_runner.engines.interface import Engine

_MOST_TOLD = 20  # far more than there is room for in an answer


def stored(
    directory: Path, there: Iterable[Manifest], known: Collection[str], run: RunIdentity, engine: Engine
) -> StorageReport:
    """What of `there`, which lies in the directory, is another than the known ones, and which of those is not among it.

    Where nothing of this database is there none is called gone: it may be another volume, or the URL another one, for the moment.
    """
    ours = [
        manifest
        for manifest in there
        if is_of_object(manifest, run) and is_of_database(manifest, engine) and _could_be_restored(manifest)
    ]
    others = [manifest for manifest in ours if manifest.name not in known]
    names = {manifest.name for manifest in ours}
    return StorageReport(
        found=tuple(report_of(directory, manifest) for manifest in others[:_MOST_TOLD]),
        untold=len(others[_MOST_TOLD:]),
        gone=tuple(sorted({*known} - names)) if ours else (),
    )


def is_of_object(manifest: Manifest, run: RunIdentity) -> bool:
    """Of the resource of that name, also where it was created anew since."""
    return manifest.object.rpartition("/")[0] == f"{run.namespace}/{run.name}"


def is_of_database(manifest: Manifest, engine: Engine) -> bool:
    """Of the one that the URL leads to, by its name: it may have moved to another server since."""
    return manifest.engine == engine.name and manifest.database in {"", plain_name(engine.url.database)}


def _could_be_restored(manifest: Manifest) -> bool:
    return manifest.is_way_back and NAME.fullmatch(manifest.name) is not None and _has_times(manifest)


def _has_times(manifest: Manifest) -> bool:
    try:
        for time in (manifest.taken_at, manifest.verified_at):
            datetime.strptime(time, "%Y-%m-%dT%H:%M:%SZ")  # noqa: DTZ007  # only whether it is one
    except ValueError:
        return False
    return True
