"""How many rows a table of MariaDB or MySQL holds, or values a column, within a limit of time.

An unqualified name leads to the URL's own database; a view holds nothing. Reads only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbmigration_runner.engines.mysql_names import parts, quoted

if TYPE_CHECKING:
    from dbmigration_runner.engines.interface import AskingSession, Session

_TABLE = (
    "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = coalesce(:schema, DATABASE())"
    " AND TABLE_NAME = :table AND TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED')"
)
# What is computed from other columns is lost with them only.
_COLUMN = (
    "SELECT COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = :schema AND TABLE_NAME = :table"
    " AND COLUMN_NAME = :column AND coalesce(GENERATION_EXPRESSION, '') = ''"
)


def rows(session: AskingSession, table: str, column: str | None, *, seconds: float) -> int | None:
    """See interface.Engine."""
    place = _place(session, table, column)
    if place is None:
        return None
    source, name = place
    return int(session.first_value(f"{_limit(seconds)} SELECT count({name or '*'}) FROM {source}"))  # noqa: S608  # quoted


def has_rows(session: AskingSession, table: str, column: str | None, *, seconds: float) -> bool | None:
    """See interface.Engine."""
    place = _place(session, table, column)
    if place is None:
        return None
    source, name = place
    where = f" WHERE {name} IS NOT NULL" if name else ""
    return bool(session.first_value(f"{_limit(seconds)} SELECT EXISTS (SELECT 1 FROM {source}{where})"))  # noqa: S608  # quoted


def _place(session: Session, table: str, column: str | None) -> tuple[str, str] | None:
    """Table and column as a statement names them; no column for all of it, and None where nothing there holds data."""
    schema, name = parts(table)
    # A table's own name may hold a dot.
    found = session.rows(_TABLE, schema=None, table=table) or session.rows(_TABLE, schema=schema, table=name)
    if not found:
        return None
    schema, name = found[0]
    source = f"{quoted(str(schema))}.{quoted(str(name))}"
    if column is None:
        return source, ""
    known = session.value(_COLUMN, schema=schema, table=name, column=column)
    return None if known is None else (source, quoted(str(known)))


def _limit(seconds: float) -> str:
    """What MariaDB is to read before a SELECT, and MySQL to pass over: there the session's own limit holds."""
    return f"/*M! SET STATEMENT max_statement_time = {max(seconds, 0.001):.3f} FOR */"
