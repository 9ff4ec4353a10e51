"""The backups on a folder, as the manifests beside them tell; needs neither a store nor a database.

A manifest that cannot be read, or whose dump is not there in its full size, is no backup and is told as such. It must not
change anything there.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

from dbmigration.local.errors import LocalError
from dbmigration_runner.contract.codec import DecodeError, decode

_SUFFIX = ".manifest.json"
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Archived:
    """What the runner wrote beside a dump, as far as it is shown. `sha256` is of the dump as stored."""

    name: str
    file: str
    object: str
    taken_at: str
    verified_at: str
    size_bytes: int
    sha256: str
    revisions: tuple[str, ...]
    server_version: str
    tool: str
    rows: dict[str, int] = field(default_factory=dict)
    restorable: bool | None = None
    restorable_note: str = ""
    schema_note: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """A manifest, and what is wrong with it or its dump; "" where nothing is."""

    path: Path
    backup: Archived | None
    fault: str = ""

    @property
    def name(self) -> str:
        """What it is ordered by: its manifest's own name, also where that cannot be read."""
        return self.path.name.removesuffix(_SUFFIX)

    @property
    def owner(self) -> str:
        """Namespace and name of the resource that it is of; "" where that cannot be read."""
        return self.backup.object.rpartition("/")[0] if self.backup is not None else ""

    @property
    def dump(self) -> Path:
        """The dump that the manifest speaks of."""
        return self.path.with_name(self.backup.file) if self.backup is not None else self.path


def look_through(folder: Path, *, verify: bool) -> list[Found]:
    """Every backup in a folder and the folders in it, newest first. `verify` reads each dump whole.

    Raises LocalError where the folder cannot be read.
    """
    if not folder.is_dir():
        raise LocalError(f"There is no folder {folder}.")
    manifests = [*folder.glob(f"*{_SUFFIX}"), *folder.glob(f"*/*{_SUFFIX}")]
    found = [_look(path, verify=verify) for path in manifests]
    return sorted(found, key=lambda item: item.backup.taken_at if item.backup else "", reverse=True)


def _look(path: Path, *, verify: bool) -> Found:
    try:
        backup = decode(Archived, json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError, DecodeError) as error:
        return Found(path, None, f"its manifest cannot be read ({type(error).__name__})")
    if Path(backup.file).name != backup.file:
        return Found(path, None, "its manifest names a file elsewhere")
    dump = path.with_name(backup.file)
    if not dump.is_file():
        return Found(path, backup, f"its dump {backup.file} is missing")
    if dump.stat().st_size != backup.size_bytes:
        return Found(path, backup, f"its dump has {dump.stat().st_size} bytes, not {backup.size_bytes}")
    if verify and _digest(dump) != backup.sha256:
        return Found(path, backup, "its dump is not what was written: the SHA-256 differs")
    return Found(path, backup)


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
