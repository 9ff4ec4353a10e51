"""What a server notes anyway of writes, table by table: read when a backup is taken, and again before it would be restored.

`engines/<name>_writes.py` holds `marks(session)` and `changed(before, now)`. What it tells is an estimate: such notes begin
anew when a server starts, and count what was rolled back. What may be lost is found out by a comparison alone.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from dbmigration_runner.errors import StatementRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dbmigration_runner.engines.interface import Session

WHOLE = ""  # under which name marks tell of the database itself


def marks(engine: str, session: Session) -> dict[str, str]:
    """Of each table by its name as in Decoded.rows, and of the whole; {} where the server refuses. Raises RunnerError only where the session is lost."""
    try:
        found: dict[str, str] = importlib.import_module(f"dbmigration_runner.engines.{engine}_writes").marks(session)
    except StatementRefused:
        return {}
    return found


def changed(engine: str, before: Mapping[str, str], now: Mapping[str, str]) -> dict[str, int | None] | None:
    """Tables that were written to between the two, and how many rows where the marks tell; None where they cannot be compared. Pure."""
    if not before or not now:
        return None
    module = importlib.import_module(f"dbmigration_runner.engines.{engine}_writes")
    found: dict[str, int | None] | None = module.changed(before, now)
    return found
