"""What is written beside a dump: what it is, what was seen in it, and what it does not carry.

A dump without its manifest is no backup, for the manifest is written last; a manifest without its dump tells of one that is
gone. The list of backups can be rebuilt from the manifests and the dumps beside them. Neither a URL nor a host stands in one.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path, PurePath

from dbmigration_runner.contract.codec import DecodeError, decode, encode
from dbmigration_runner.contract.result import StoredBackup
from dbmigration_runner.engines.catalog import Catalog, has_readable_lines
from dbmigration_runner.engines.dump import Surroundings

MANIFEST_VERSION = 1
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")  # of a backup
SUFFIX = ".manifest.json"
PARTIAL = ".partial"
_LARGEST_BYTES = 256 << 20  # a hostile file is not read into memory


@dataclass(frozen=True)
class Manifest:
    """One verified backup. Times are RFC 3339, UTC; `sha256` is of the file as stored; `rows` were counted in it.

    `sizes` are the bytes of each table's rows in the dump, {} where they were not told apart; `marks`
    what the server had noted of writes, by which a later estimate is made. `left_out` are tables that had rows which are not
    in the dump: a restore of it is compared whoever was drained.
    """

    name: str
    file: str
    object: str
    run: int
    attempt: int
    taken_at: str
    verified_at: str
    engine: str
    server_version: str
    tool: str
    size_bytes: int
    decoded_bytes: int
    data_bytes: int
    sha256: str
    revisions: tuple[str, ...]
    version_table: str
    catalog_digest: str
    catalog: tuple[str, ...]
    rows: dict[str, int]
    restorable: bool | None = None
    restorable_note: str = ""
    image: str = ""
    database: str = ""  # its name, without the path where it is a file
    server: str = ""  # a hash of what tells two servers apart; "" where nothing does
    plan_hash: str = ""
    surroundings: Surroundings | None = None
    notes: tuple[str, ...] = ()
    sizes: dict[str, int] = field(default_factory=dict)
    marks: dict[str, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    schema_note: str = ""  # in what its schema differs from an earlier backup's of the same revisions
    version: int = field(default=MANIFEST_VERSION)

    @property
    def fingerprint(self) -> str:
        """Of the schema, in today's form, whatever release wrote this; where its lines cannot be read, what that one wrote."""
        if not has_readable_lines(self.catalog_digest):
            return self.catalog_digest
        return Catalog(self.catalog).fingerprint(self.version_table)

    @property
    def is_way_back(self) -> bool:
        """May a run rely on it? Not where a restore was tried and failed."""
        return self.restorable is not False


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Make the backup valid, in one rename.

    Raises OSError; then there is no manifest.
    """
    path = directory / (manifest.name + SUFFIX)
    partial = path.with_name(path.name + PARTIAL)
    text = json.dumps(encode(manifest), indent=1, sort_keys=True, ensure_ascii=False)
    with contextlib.suppress(FileNotFoundError):
        partial.unlink()
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    partial.rename(path)
    sync_directory(directory)


def read_manifests(directory: Path) -> tuple[Manifest, ...]:
    """The backups in a directory, newest first: manifests that can be read and whose dump is there in its full size.

    Raises OSError where the directory itself cannot be read.
    """
    found = (_read(path) for path in directory.iterdir() if path.name.endswith(SUFFIX))
    valid = [manifest for manifest in found if manifest is not None and _has_dump(directory, manifest)]
    return tuple(sorted(valid, key=lambda manifest: (manifest.taken_at, manifest.name), reverse=True))


def read_manifest(directory: Path, name: str) -> Manifest | None:
    """One backup's manifest, whether its dump is still there or not; None where it cannot be read."""
    return _read(directory / (name + SUFFIX))


def read_orphans(directory: Path) -> tuple[Manifest, ...]:
    """What is left of backups whose dump is gone, oldest first.

    Raises OSError where the directory itself cannot be read.
    """
    found = (_read(path) for path in directory.iterdir() if path.name.endswith(SUFFIX))
    gone = [manifest for manifest in found if manifest is not None and not os.path.lexists(directory / manifest.file)]
    return tuple(sorted(gone, key=lambda manifest: (manifest.taken_at, manifest.name)))


def plain_name(database: str | None) -> str:
    """What a database is called: of a file, whatever path leads to it, the name of that."""
    return PurePath(database or "").name


def now() -> str:
    """RFC 3339, UTC."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def sync_directory(directory: Path) -> None:
    """Make what was renamed or removed in it last."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path) -> Manifest | None:
    try:
        if path.is_symlink() or path.stat().st_size > _LARGEST_BYTES:
            return None
        document = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(document, dict) or document.get("version") != MANIFEST_VERSION:
            return None
        manifest = decode(Manifest, document)
    except (OSError, ValueError, RecursionError, DecodeError):
        return None
    return manifest if path.name == manifest.name + SUFFIX else None


def _has_dump(directory: Path, manifest: Manifest) -> bool:
    dump = directory / manifest.file
    try:
        return dump.parent == directory and not dump.is_symlink() and dump.stat().st_size == manifest.size_bytes
    except (OSError, ValueError):
        return False


def report_of(directory: Path, manifest: Manifest) -> StoredBackup:
    """What an answer tells of a backup that lies there."""
    return StoredBackup(
        name=manifest.name,
        location=str(directory / manifest.file),
        size_bytes=manifest.size_bytes,
        sha256=manifest.sha256,
        revisions=manifest.revisions,
        taken_at=manifest.taken_at,
        verified_at=manifest.verified_at,
        restorable=manifest.restorable,
        restorable_note=manifest.restorable_note,
        catalog=manifest.fingerprint,
        image=manifest.image,
        schema_note=manifest.schema_note,
    )
