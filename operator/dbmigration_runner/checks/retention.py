"""Which backups are kept, and how the others are removed.

The newest `keep_last` of those that a run may rely on stay; so does, beyond them, the newest of another state than the
newest one's, for several failed generations may stand between them and the last good state. The backup just made is the
newest one whatever its clock says: nodes' clocks differ. Nothing goes that has no younger one to rely on.

Only a file that bears a name as ours are is ever removed: a person's dump or a live database may lie beside the backups.
"""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

from dbmigration_runner.checks.manifest import PARTIAL, SUFFIX, Manifest, read_manifests, read_orphans, sync_directory

if TYPE_CHECKING:
    from collections.abc import Iterable

CORRUPT = ".corrupt"
DUMPS = (".dump", ".dump.zst", ".sqlite", ".sql.tar")
# <object>-<run>-<UTC time>, what it is, and what became of it.
_OURS = re.compile(
    r".+-\d+-\d{8}T\d{6}Z(\.dump|\.dump\.zst|\.sqlite|\.sql\.tar|\.manifest\.json)?(\.partial|\.corrupt)?", re.ASCII
)


def superfluous(manifests: Iterable[Manifest], keep_last: int, *, made: str = "") -> tuple[Manifest, ...]:
    """Those to remove, oldest first; `made` is the name of the backup just made, if one was. Pure.

    Kept are the newest `keep_last` ways back, at least one, and the newest way back whose revisions or schema are not
    those of the newest.
    """
    newest_first = sorted(
        manifests, key=lambda manifest: (manifest.name == made, manifest.taken_at, manifest.name), reverse=True
    )
    ways_back = [manifest for manifest in newest_first if manifest.is_way_back]
    if not ways_back:
        return ()
    newest = ways_back[0]
    kept = ways_back[: max(keep_last, 1)]
    kept += [manifest for manifest in ways_back if _state(manifest) != _state(newest)][:1]
    older = newest_first[newest_first.index(newest) + 1 :]
    return tuple(manifest for manifest in reversed(older) if manifest not in kept)


def _state(manifest: Manifest) -> tuple[frozenset[str], str]:
    return frozenset(manifest.revisions), manifest.fingerprint


def give_up(directory: Path, keep_last: int, *, made: str = "") -> None:
    """Remove the dumps that are superfluous. Their manifests stay and tell which are gone, until `prune` has told it on."""
    for manifest in superfluous(read_manifests(directory), keep_last, made=made):
        if _is_ours(directory / (manifest.name + SUFFIX)) and _is_ours(directory / manifest.file):
            (directory / manifest.file).unlink()
            sync_directory(directory)


def prune(directory: Path, keep_last: int, *, made: str) -> tuple[str, ...]:
    """Remove what is superfluous; the names of the backups that are gone, also of those that went before.

    `made` is the name of the backup just made, which a run may rely on and which is never removed. The dump goes first: what
    a crash leaves is no backup, and the next one tells that it is gone.
    """
    give_up(directory, keep_last, made=made)
    gone = tuple(
        manifest
        for manifest in read_orphans(directory)
        if _is_ours(directory / (manifest.name + SUFFIX)) and _is_ours(directory / manifest.file)
    )
    for manifest in gone:
        (directory / (manifest.name + SUFFIX)).unlink()
    if gone:
        sync_directory(directory)
    return tuple(manifest.name for manifest in gone)


def _is_ours(path: Path) -> bool:
    return _OURS.fullmatch(path.name) is not None


def _has_no_manifest(path: Path) -> bool:
    """Is this a dump without any? One whose manifest is of a newer version, or broken, is for a person to judge."""
    suffix = next((suffix for suffix in DUMPS if path.name.endswith(suffix)), None)
    return suffix is not None and not path.with_name(path.name[: -len(suffix)] + SUFFIX).exists()


def remove_left_overs(directory: Path) -> None:
    """Remove what earlier attempts left that is no backup: half-written, corrupt, or without its manifest."""
    _remove(path for path in directory.iterdir() if path.name.endswith((PARTIAL, CORRUPT)) or _has_no_manifest(path))
    sync_directory(directory)


def _remove(paths: Iterable[Path]) -> None:
    for path in tuple(paths):
        if _is_ours(path):
            with contextlib.suppress(FileNotFoundError, IsADirectoryError):
                path.unlink()
