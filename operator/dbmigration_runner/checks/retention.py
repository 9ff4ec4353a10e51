"""Which backups are kept, and how the others are removed.

The newest `keep_last` of those that a run may rely on stay. Nothing goes that has no younger one to rely on.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from dbmigration_runner.checks.manifest import PARTIAL, SUFFIX, Manifest, read_manifests, sync_directory

if TYPE_CHECKING:
    from collections.abc import Iterable

CORRUPT = ".corrupt"
DUMPS = (".dump", ".dump.zst", ".sqlite")


def superfluous(manifests: Iterable[Manifest], keep_last: int) -> tuple[Manifest, ...]:
    """Those to remove, oldest first. Pure."""
    newest_first = sorted(manifests, key=lambda manifest: (manifest.taken_at, manifest.name), reverse=True)
    ways_back = [manifest for manifest in newest_first if manifest.is_way_back]
    kept = ways_back[: max(keep_last, 1)]
    if not kept:
        return ()
    older = newest_first[newest_first.index(kept[0]) + 1 :]
    return tuple(manifest for manifest in reversed(older) if manifest not in kept)


def prune(directory: Path, keep_last: int) -> tuple[str, ...]:
    """Remove what is superfluous, and what earlier backups left without a manifest; the names of the backups removed.

    Only after a backup that a run may rely on. The manifest goes first: what a crash leaves looks like no backup.
    """
    pruned = superfluous(read_manifests(directory), keep_last)
    for manifest in pruned:
        (directory / (manifest.name + SUFFIX)).unlink()
        sync_directory(directory)
        (directory / manifest.file).unlink()
    _remove(path for path in directory.iterdir() if path.name.endswith(CORRUPT) or _has_no_manifest(path))
    sync_directory(directory)
    return tuple(manifest.name for manifest in pruned)


def _has_no_manifest(path: Path) -> bool:
    """Is this a dump without any? One whose manifest is of a newer version, or broken, is for a person to judge."""
    suffix = next((suffix for suffix in DUMPS if path.name.endswith(suffix)), None)
    return suffix is not None and not path.with_name(path.name[: -len(suffix)] + SUFFIX).exists()


def remove_partial(directory: Path) -> None:
    """Remove what a killed backup left: it was never valid."""
    _remove(path for path in directory.iterdir() if path.name.endswith(PARTIAL))


def _remove(paths: Iterable[Path]) -> None:
    for path in tuple(paths):
        with contextlib.suppress(FileNotFoundError, IsADirectoryError):
            path.unlink()
