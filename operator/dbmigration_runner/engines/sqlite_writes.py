"""What tells that an SQLite file is as it was: its size and when it was last written to, and those of its log. See writes.py.

SQLite notes nothing of single tables; which of a changed file's were written to is not known from it. Its own counter of
changes stands still in WAL mode.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dbmigration_runner.engines.writes import WHOLE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dbmigration_runner.engines.interface import Session

_COUNTER = slice(
    24, 28
)  # of the header: grows with each transaction, but in WAL mode only when the log is written back


def marks(session: Session) -> dict[str, str]:
    """See writes.marks."""
    path = next((Path(file) for _, name, file in session.rows("PRAGMA database_list") if name == "main" and file), None)
    if path is None:
        return {}
    try:
        files = [file for file in (path, path.with_name(path.name + "-wal")) if file.exists() and file.stat().st_size]
        return {WHOLE: " ".join(f"{file.stat().st_size} {file.stat().st_mtime_ns}" for file in files)}
    except OSError:
        return {}


def changed(before: Mapping[str, str], now: Mapping[str, str]) -> dict[str, int | None] | None:
    """See writes.changed."""
    return {} if before == now else None
