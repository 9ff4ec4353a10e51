"""How many rows an SQLite table holds, or values a column, within a limit of time. Reads only."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

from dbmigration_runner.engines.session import AlchemySession

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dbmigration_runner.engines.interface import AskingSession, Session

REPEAT_SECONDS = 0.01
_GENERATED = (2, 3)  # computed from other columns: lost with them only
_TABLE = "SELECT name FROM sqlite_master WHERE type = 'table' AND name = :name COLLATE NOCASE"
_COLUMN = "SELECT name, hidden FROM pragma_table_xinfo(:table) WHERE name = :name COLLATE NOCASE"


def rows(session: AskingSession, table: str, column: str | None, *, seconds: float) -> int | None:
    """See interface.Engine."""
    found = _found(session, table, column)
    if found is None:
        return None
    name, counted = found
    return int(_ask(session, f"SELECT count({counted or '*'}) FROM {name}", seconds))  # noqa: S608  # quoted


def has_rows(session: AskingSession, table: str, column: str | None, *, seconds: float) -> bool | None:
    """See interface.Engine."""
    found = _found(session, table, column)
    if found is None:
        return None
    name, counted = found
    where = f" WHERE {counted} IS NOT NULL" if counted else ""
    return bool(_ask(session, f"SELECT EXISTS (SELECT 1 FROM {name}{where})", seconds))  # noqa: S608  # quoted


def _found(session: Session, table: str, column: str | None) -> tuple[str, str] | None:
    """Both names as the file has them, quoted; the column's is "" where the whole table is meant."""
    for reading in dict.fromkeys((table, table.rpartition(".")[2])):
        name = session.value(_TABLE, name=reading)
        if name is not None:
            known = session.rows(_COLUMN, table=name, name=column) if column is not None else [("", 0)]
            return (_quoted(name), _quoted(known[0][0])) if known and known[0][1] not in _GENERATED else None
    return None


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"' if name else ""


def _ask(session: AskingSession, statement: str, seconds: float) -> Any:
    with _limited(session, seconds):
        return session.first_value(statement)


@contextlib.contextmanager
def _limited(session: Session, seconds: float) -> Iterator[None]:
    """SQLite has no timeout for statements, and asks no progress handler while it counts a table: only an interrupt ends that."""
    if not isinstance(session, AlchemySession):
        raise TypeError("a session of this engine")
    over = threading.Event()

    def interrupt() -> None:
        """Again and again: what comes before the statement has begun ends nothing."""
        wait = seconds
        while not over.wait(wait):
            session.driver.interrupt()
            wait = REPEAT_SECONDS

    timer = threading.Thread(target=interrupt)
    timer.start()
    try:
        yield
    finally:
        over.set()
        timer.join()
