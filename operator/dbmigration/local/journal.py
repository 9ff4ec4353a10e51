"""The log that a step leaves on this machine: its end for how far it is, the whole of it for its SQL.

It must not know what the runner's lines mean beyond their shape.
"""

from __future__ import annotations

import os
from pathlib import Path

from dbmigration.lifecycle.progress import Progress, events, progress

_TAIL_BYTES = 65536


def far(log: Path) -> Progress | None:
    """How far the step is; None where it has not begun, or is none that counts."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            return progress(file.read().decode(errors="replace").splitlines())
    except FileNotFoundError:
        return None


def statements(log: Path) -> list[str]:
    """The SQL of each pending revision, as far as Alembic could write it down without a database."""
    parts = []
    with log.open(encoding="utf-8", errors="replace") as lines:
        for event in events(lines):
            match event:
                case {"event": "sql", "revision": str(revision), "sql": str(sql)}:
                    parts.append(f"-- {revision}\n{sql}")
                case {"event": "not-renderable", "revision": str(revision), "why": str(why)}:
                    parts.append(f"-- {revision}: {why}")
    return parts
