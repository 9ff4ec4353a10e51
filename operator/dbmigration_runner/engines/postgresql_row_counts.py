"""How many rows a PostgreSQL table holds, or values a column, within a limit of time.

A name leads where the server would let a DROP TABLE lead: to the first relation of that name on the role's search_path,
and to nothing where that one is a view. Off the path every schema's table of the name counts, for env.py may set the path
as it likes. Reads only; rows that a policy would hide are an error and not left out.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dbmigration_runner.engines.postgresql_copy import unquoted
from dbmigration_runner.engines.postgresql_names import quoted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dbmigration_runner.engines.interface import AskingSession, Session

_TABLES = ("r", "p")
_PART = r'("(?:[^"]|"")+"|[^".]+)'
_QUALIFIED = re.compile(rf"{_PART}\.{_PART}")
_RELATIONS = """
SELECT n.nspname, c.relname, c.relkind::text, c.oid FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relname = :name AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c') AND (n.nspname = :schema OR :schema = '')
AND left(n.nspname, 3) <> 'pg_' AND n.nspname <> 'information_schema'
"""
# What is computed from other columns is lost with them only.
_COLUMN = """
SELECT a.attname FROM pg_catalog.pg_attribute a
WHERE a.attrelid = :table AND a.attname = :name AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
"""


@dataclass(frozen=True)
class _Place:
    """A table, or a column of it, as the server has it."""

    schema: str
    table: str
    column: str | None

    @property
    def source(self) -> str:
        return f"FROM {quoted(self.schema)}.{quoted(self.table)}"

    @property
    def counted(self) -> str:
        return f"SELECT pg_catalog.count({'*' if self.column is None else quoted(self.column)}) {self.source}"

    @property
    def probed(self) -> str:
        where = "" if self.column is None else f" WHERE {quoted(self.column)} IS NOT NULL"
        return f"SELECT EXISTS (SELECT {self.source}{where})"


def rows(session: AskingSession, table: str, column: str | None, *, seconds: float) -> int | None:
    """See interface.Engine."""
    places = _places(session, table, column)
    with _limited(session, seconds):
        return sum(session.first_value(place.counted) for place in places) if places else None


def has_rows(session: AskingSession, table: str, column: str | None, *, seconds: float) -> bool | None:
    """See interface.Engine."""
    places = _places(session, table, column)
    with _limited(session, seconds):
        return any(session.first_value(place.probed) for place in places) if places else None


@contextmanager
def _limited(session: Session, seconds: float) -> Iterator[None]:
    before = session.rows(
        "SELECT pg_catalog.current_setting('statement_timeout'), pg_catalog.current_setting('row_security')"
    )[0]
    _limit(session, str(max(int(seconds * 1000), 1)), "off")
    try:
        yield
    finally:
        _limit(session, *before)


def _limit(session: Session, timeout: str, row_security: str) -> None:
    session.rows(
        "SELECT pg_catalog.set_config('statement_timeout', :timeout, false), pg_catalog.set_config('row_security', :rows, false)",
        timeout=timeout,
        rows=row_security,
    )


def _places(session: Session, table: str, column: str | None) -> list[_Place]:
    for schema, name in _readings(table):
        found = session.rows(_RELATIONS, name=name, schema=schema)
        if found:
            meant = found if schema else _meant(found, _path(session))
            return [
                _Place(row[0], row[1], known)
                for row in meant
                if row[2] in _TABLES
                for known in (_columns(session, row[3], column) if column is not None else [None])
            ]
    return []


def _readings(name: str) -> Iterator[tuple[str, str]]:
    """Schema and table: a table's own name may hold a dot, and what SQL left unquoted is in small letters; or as `qualified` has it."""
    if parts := _QUALIFIED.fullmatch(name):
        yield unquoted(parts[1]), unquoted(parts[2])
    for text in dict.fromkeys((name, name.lower())):
        yield "", text
        for place, sign in enumerate(text):
            if sign == ".":
                yield text[:place], text[place + 1 :]


def _meant(found: list[tuple[Any, ...]], path: list[str]) -> list[tuple[Any, ...]]:
    on_path = sorted((row for row in found if row[0] in path), key=lambda row: path.index(row[0]))
    return on_path[:1] or found


def _columns(session: Session, table: int, name: str) -> list[str]:
    exact = session.rows(_COLUMN, table=table, name=name) or session.rows(_COLUMN, table=table, name=name.lower())
    return [str(row[0]) for row in exact]


def _path(session: Session) -> list[str]:
    """The schemas that the role's own sessions search. Nothing of them is called meanwhile."""
    pinned = session.value("SELECT pg_catalog.current_setting('search_path')")
    session.run("RESET search_path")
    try:
        return [str(row[0]) for row in session.rows("SELECT pg_catalog.unnest(pg_catalog.current_schemas(false))")]
    finally:
        session.rows("SELECT pg_catalog.set_config('search_path', :path, false)", path=pinned)
