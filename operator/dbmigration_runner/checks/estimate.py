"""About what was written to a database since a backup, told before a restore is begun: an estimate, and marked as one.

By what the server notes of writes, and by counting where that does not tell how many, for a few seconds. Never raises. It
must not decide anything, nor tell rows that a restore would take from those that it would bring back: that is known by the
restore's own comparison alone.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from dbmigration_runner.engines import writes
from dbmigration_runner.engines.messages import short
from dbmigration_runner.errors import RunnerError, StatementRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dbmigration_runner.checks.manifest import Manifest
    from dbmigration_runner.engines.interface import AskingSession, Engine

STATEMENT_SECONDS = 5
LOCK_SECONDS = 0.2  # somebody at work is not waited for
COUNT_SECONDS = 3.0
TOTAL_SECONDS = 10.0
_SHOWN = 5


def estimate(engine: Engine, manifest: Manifest, *, seconds: float = TOTAL_SECONDS) -> str:
    """A sentence, such as "An estimate: since the backup about 12 rows were inserted, changed or deleted, in orders (12).".

    `seconds` may go into counting.
    """
    try:
        with engine.connect(statement_timeout_seconds=STATEMENT_SECONDS, lock_timeout_seconds=LOCK_SECONDS) as session:
            noted = writes.changed(engine.name, manifest.marks, writes.marks(engine.name, session))
            # Where the database is is told by its revision, and changes with every migration.
            heads = manifest.version_table.rpartition(".")[2]
            tables = noted if noted is not None else dict.fromkeys(manifest.rows)
            suspects = {table: rows for table, rows in tables.items() if table.rpartition(".")[2] != heads}
            found = _counted(engine, session, suspects, manifest.rows, seconds, is_noted=noted is not None)
    except RunnerError as error:
        return short(f"What was written since the backup could not be estimated: {error.message}")
    return short(sentence(found, is_noted=noted is not None))


def sentence(found: Mapping[str, int | None], *, is_noted: bool) -> str:
    """Rows by table, None where nobody can tell: a restore too is a write to the server, and so is what was rolled back. Pure."""
    if not found and is_noted:
        return "An estimate: since the backup nothing was written, as far as the server knows."
    if not found:
        return "An estimate: since the backup no table grew or shrank; rows that were changed are not counted by it."
    known = sorted(
        ((rows, table) for table, rows in found.items() if rows is not None), key=lambda item: (-item[0], item[1])
    )
    untold = sorted(table for table, rows in found.items() if rows is None)
    parts = []
    if known:
        total = sum(rows for rows, _ in known)
        least = "at least" if untold or not is_noted else "about"
        count = f"{least} {total} {'row was' if total == 1 else 'rows were'}"
        parts.append(
            f"{count} inserted, changed or deleted, in {_named([f'{table} ({rows})' for rows, table in known])}"
        )
    if untold:
        parts.append(f"the server cannot tell whether anything was written in {_named(untold)}; the comparison will")
    return f"An estimate: since the backup {'; '.join(parts)}."


def _named(tables: list[str]) -> str:
    more = len(tables) - _SHOWN
    return ", ".join(tables[:_SHOWN]) + (f" and {more} more tables" if more > 0 else "")


def _counted(
    engine: Engine,
    session: AskingSession,
    suspects: Mapping[str, int | None],
    before: Mapping[str, int],
    seconds: float,
    *,
    is_noted: bool,
) -> dict[str, int | None]:
    """Count where it is not known how many. A table that has as many as it had is none of these, unless the server noted a write."""
    until = time.monotonic() + seconds
    found: dict[str, int | None] = {}
    for table, rows in suspects.items():
        left = until - time.monotonic()
        if rows is not None or left <= 0:
            found[table] = rows
            continue
        try:
            now = engine.rows(session, table, None, seconds=min(COUNT_SECONDS, left))
        except StatementRefused:
            found[table] = None
            continue
        difference = abs((now or 0) - before.get(table, 0))
        if difference:
            found[table] = difference
        elif is_noted:
            found[table] = None
    return found
