"""What is written beside a backup when a restore loses rows: the list of them, and the report that outlives its Pod.

Both hold rows' keys or names of tables, and are as private as the dump. A list is whole or not there.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path
from typing import IO, TYPE_CHECKING

from dbmigration_runner.checks.manifest import PARTIAL, sync_directory
from dbmigration_runner.contract.codec import DecodeError, decode, encode
from dbmigration_runner.contract.result import RestoreReport

if TYPE_CHECKING:
    from typing import Self

    from dbmigration_runner.contract.task import RestoreOrder
    from dbmigration_runner.engines.restore import LostRow

_LARGEST_BYTES = 16 << 20


class LossList:
    """JSON lines: table, kind, key. The file is made with the first row and gone with the last word unless published."""

    def __init__(self, directory: Path, order: RestoreOrder) -> None:
        self._path = directory / f"{order.backup}.lost-{order.keep_as}.jsonl"
        self._partial = self._path.with_name(self._path.name + PARTIAL)
        self._hash = hashlib.sha256()
        self._file: IO[bytes] | None = None

    def add(self, row: LostRow) -> None:
        """One row more. Raises OSError."""
        if self._file is None:
            self._file = private_file(self._partial)
        line = json.dumps({"table": row.table, "kind": row.kind, "key": dict(row.key)}, ensure_ascii=False) + "\n"
        data = line.encode("utf-8", "surrogateescape")
        self._hash.update(data)
        self._file.write(data)

    def publish(self) -> tuple[str, str]:
        """Give the list its name; that and its SHA-256, or twice "" where no row was lost."""
        if self._file is None:
            return "", ""
        finish(self._file, self._partial, self._path)
        self._file = None
        return self._path.name, self._hash.hexdigest()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
            with contextlib.suppress(OSError):
                self._partial.unlink()


def write_record(directory: Path, order: RestoreOrder, report: RestoreReport) -> None:
    """What is known before the names are exchanged, for an attempt that comes after a killed one. Raises OSError."""
    path = _record(directory, order)
    partial = path.with_name(path.name + PARTIAL)
    file = private_file(partial)
    file.write(json.dumps(encode(report), ensure_ascii=False).encode("utf-8", "surrogateescape"))
    finish(file, partial, path)


def read_record(directory: Path, order: RestoreOrder) -> RestoreReport | None:
    """None where there is none that can be read."""
    path = _record(directory, order)
    try:
        if path.is_symlink() or path.stat().st_size > _LARGEST_BYTES:
            return None
        return decode(RestoreReport, json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError, DecodeError):
        return None


def private_file(path: Path) -> IO[bytes]:
    """A new file of that name, for our eyes only."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    return os.fdopen(descriptor, "wb")


def finish(file: IO[bytes], partial: Path, path: Path) -> None:
    """On the disk under its name, whole."""
    with file:
        file.flush()
        os.fsync(file.fileno())
    partial.rename(path)
    sync_directory(path.parent)


def _record(directory: Path, order: RestoreOrder) -> Path:
    return directory / f"{order.backup}.restore-{order.keep_as}.json"
