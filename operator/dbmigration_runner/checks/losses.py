"""What a way down would really lose: the rows and values that are in the database now.

Counts in a read-only session of ours, for a while each and for a while in all. Never raises: what was not counted in time
is told as some rows, or as not known. Must not judge whether a loss is acceptable.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dbmigration_runner.errors import RunnerError, StatementRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dbmigration_runner.checks.drops import Drop
    from dbmigration_runner.engines.interface import AskingSession, Engine

LOOK_UP_SECONDS = 10  # what a name leads to
LOCK_SECONDS = 0.2  # somebody at work is not waited for, and nobody is kept waiting behind us


@dataclass(frozen=True)
class Patience:
    """How long, in seconds, is counted at most."""

    count: float = 3
    probe: float = 1
    total: float = 20


@dataclass(frozen=True)
class Loss:
    """What undoing a revision takes away. `rows` is None where they were not counted; `some` says that there are any."""

    revision: str
    table: str
    column: str | None
    rows: int | None
    some: bool = True
    why: str = ""  # they were not counted

    @property
    def sentence(self) -> str:
        """For a person."""
        what, of = f"the table {self.table}", "row"
        if self.column is not None:
            what, of = f"the column {self.table}.{self.column}", "value"
        if self.rows is not None:
            return f"Undoing {self.revision} loses {self.rows} {of}{'s' * (self.rows != 1)} of {what}."
        if self.some:
            return f"Undoing {self.revision} loses {of}s of {what}; how many was not counted: {self.why}."
        return f"Undoing {self.revision} loses what is in {what}; whether there are {of}s is not known: {self.why}."


def losses(engine: Engine, drops: Mapping[str, tuple[Drop, ...]], patience: Patience | None = None) -> tuple[Loss, ...]:
    """In the order of the drops, which are given by revision; what is not there, or empty, is no loss."""
    if not any(drops.values()):
        return ()
    wanted = [(revision, drop) for revision, found in drops.items() for drop in found]
    try:
        with engine.connect(statement_timeout_seconds=LOOK_UP_SECONDS, lock_timeout_seconds=LOCK_SECONDS) as session:
            count = _Count(engine, session, patience or Patience())
            found = [count.loss(revision, drop) for revision, drop in wanted]
    except RunnerError as error:
        found = [_unknown(revision, drop, error) for revision, drop in wanted]
    return tuple(loss for loss in found if loss is not None)


class _Count:
    """Counting in one session, against the clock."""

    def __init__(self, engine: Engine, session: AskingSession, patience: Patience) -> None:
        self._engine = engine
        self._session = session
        self._patience = patience
        self._until = time.monotonic() + patience.total

    def loss(self, revision: str, drop: Drop) -> Loss | None:
        """None where nothing would be lost."""
        left = self._until - time.monotonic()
        if left <= 0:
            return Loss(revision, drop.table, drop.column, None, some=False, why="there was no time left")
        limit = min(self._patience.count, left)
        try:
            rows = self._engine.rows(self._session, drop.table, drop.column, seconds=limit)
        except StatementRefused as error:
            return self._probed(revision, drop, error)
        return Loss(revision, drop.table, drop.column, rows) if rows else None

    def _probed(self, revision: str, drop: Drop, error: StatementRefused) -> Loss | None:
        """Is there anything at all? Not asked where a lock keeps us out, or a right is missing: it would be the same again."""
        if not error.is_timeout:
            return _unknown(revision, drop, error)
        try:
            some = self._engine.has_rows(self._session, drop.table, drop.column, seconds=self._patience.probe)
        except StatementRefused as again:
            return _unknown(revision, drop, again)
        return Loss(revision, drop.table, drop.column, None, why="it takes too long") if some else None


def _unknown(revision: str, drop: Drop, error: RunnerError) -> Loss:
    return Loss(revision, drop.table, drop.column, None, some=False, why=error.message.rstrip("."))
