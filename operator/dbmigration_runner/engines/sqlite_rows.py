"""The rows of an SQLite database and of its dump, compared by SQL on one connection that has both.

`main` is the database as it is now, `backup` the dump. Values are compared as they are stored, whatever a column's
collation thinks equal.
"""
# ruff: noqa: S608  # statements are made of quoted names of the schema's own

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dbmigration_runner.contract.result import TableLoss
from dbmigration_runner.engines.postgresql_names import quoted
from dbmigration_runner.engines.restore import LostRow
from dbmigration_runner.engines.row_comparison import Shape

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator, Mapping


NOW, BEFORE = "main", "backup"
_LITERAL = re.compile(r"[-+]?\d+(\.\d+)?|'(?:[^']|'')*'|TRUE|FALSE", re.IGNORECASE)
_WITHOUT_ROWID = "without rowid"


class Rows:
    """See row_comparison.Tables."""

    def __init__(self, connection: sqlite3.Connection, version_table: str) -> None:
        self._connection = connection
        self._version_table = version_table.rpartition(".")[2]
        self.before: Mapping[str, Shape] = dict(_shapes(connection, BEFORE))
        self.now: Mapping[str, Shape] = dict(_shapes(connection, NOW))

    def count(self, table: str, *, before: bool) -> int:
        """See row_comparison.Tables."""
        return int(self._value(f"SELECT count(*) FROM {BEFORE if before else NOW}.{quoted(table)}"))

    def differing(
        self, table: str, key: tuple[str, ...], columns: tuple[str, ...], lost: Callable[[LostRow], None]
    ) -> tuple[int, int, int]:
        """See row_comparison.Tables."""
        name = quoted(table)
        same_key = " AND ".join(f"one.{quoted(column)} = other.{quoted(column)}" for column in key)
        keys = ", ".join(_text(f"one.{quoted(column)}") for column in key)
        only = "SELECT {keys} FROM {one}.{name} AS one WHERE NOT EXISTS (SELECT 1 FROM {other}.{name} AS other WHERE {same_key})"
        changed = " OR ".join(_differs(quoted(column)) for column in columns)
        questions = {
            "inserted": only.format(keys=keys, one=NOW, other=BEFORE, name=name, same_key=same_key),
            "updated": f"SELECT {keys} FROM {NOW}.{name} AS one JOIN {BEFORE}.{name} AS other ON {same_key} WHERE {changed}",
            "deleted": only.format(keys=keys, one=BEFORE, other=NOW, name=name, same_key=same_key),
        }
        counts = dict.fromkeys(questions, 0)
        for kind, question in questions.items():
            for row in self._connection.execute(question):
                counts[kind] += 1
                lost(LostRow(table, kind, dict(zip(key, row, strict=True))))
        return counts["inserted"], counts["updated"], counts["deleted"]

    def same(self, table: str, columns: tuple[str, ...]) -> bool:
        """See row_comparison.Tables."""
        if self.count(table, before=True) != self.count(table, before=False):
            return False
        values = ", ".join(f"{quoted(column)} COLLATE BINARY, typeof({quoted(column)})" for column in columns)
        places = ", ".join(str(number) for number in range(1, 2 * len(columns) + 1))
        counted = f"SELECT {values}, count(*) FROM {{side}}.{quoted(table)} GROUP BY {places}"
        difference = f"{counted.format(side=NOW)} EXCEPT {counted.format(side=BEFORE)}"
        return not columns or self._value(f"SELECT count(*) FROM ({difference})") == 0

    def untouched(self, table: str, column: str) -> bool:
        """See row_comparison.Tables."""
        default = self._connection.execute(
            "SELECT dflt_value FROM pragma_table_xinfo(?, ?) WHERE name = ?", (table, NOW, column)
        ).fetchone()[0]
        name = quoted(column)
        another = f" AND {name} COLLATE BINARY IS NOT {default}" if _LITERAL.fullmatch(default or "") else ""
        return self._value(f"SELECT count(*) FROM {NOW}.{quoted(table)} WHERE {name} IS NOT NULL{another}") == 0

    def written_by_migrations(self) -> frozenset[str]:
        """See row_comparison.Tables."""
        return frozenset({self._version_table})

    def others(self) -> Iterator[TableLoss]:
        """See row_comparison.Tables. What AUTOINCREMENT has counted is the only thing that is no table of the schema's."""
        was, has = (self._counted(side) for side in (BEFORE, NOW))
        there = {str(name) for (name,) in self._connection.execute(f"SELECT name FROM {BEFORE}.sqlite_master")}
        for name in sorted(has.keys() & there):
            if was.get(name, 0) != has[name]:  # one that never held a row has not begun to count
                yield TableLoss(f"sequence of {name}", untold="it has given numbers since, and will give them again")

    def _counted(self, side: str) -> dict[str, int]:
        there = f"SELECT count(*) FROM {side}.sqlite_master WHERE name = 'sqlite_sequence'"
        if not self._value(there):
            return {}
        return dict(self._connection.execute(f"SELECT name, seq FROM {side}.sqlite_sequence").fetchall())

    def _value(self, question: str) -> int:
        return int(self._connection.execute(question).fetchone()[0])


def _shapes(connection: sqlite3.Connection, schema: str) -> Iterator[tuple[str, Shape]]:
    """What a virtual table shows lies in tables of its own, which are read like all others."""
    tables = connection.execute(
        f"SELECT name, sql FROM {schema}.sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
    ).fetchall()
    for name, sql in tables:
        if str(sql).upper().startswith("CREATE VIRTUAL"):
            continue
        found = connection.execute(
            'SELECT name, type, "notnull", pk, hidden FROM pragma_table_xinfo(?, ?)', (name, schema)
        )
        columns = found.fetchall()
        types = {str(column): str(kind).upper() for column, kind, _, _, hidden in columns if hidden == 0}
        filled = {str(column) for column, _, notnull, _, _ in columns if notnull}
        primary = [str(row[0]) for row in sorted((row for row in columns if row[3]), key=lambda row: int(row[3]))]
        # Only these two keep NULL out of a primary key that does not say so itself.
        if _WITHOUT_ROWID in " ".join(str(sql).lower().split()) or [types.get(column) for column in primary] == [
            "INTEGER"
        ]:
            filled |= set(primary)
        keys = [tuple(primary), *_unique(connection, schema, str(name))]
        yield str(name), Shape(types, tuple(key for key in keys if key and set(key) <= filled & set(types)))


def _unique(connection: sqlite3.Connection, schema: str, table: str) -> Iterator[tuple[str, ...]]:
    indexes = connection.execute(
        'SELECT name FROM pragma_index_list(?, ?) WHERE "unique" AND NOT partial ORDER BY seq', (table, schema)
    ).fetchall()
    for (index,) in indexes:
        found = connection.execute("SELECT name FROM pragma_index_info(?, ?) ORDER BY seqno", (index, schema))
        columns = [row[0] for row in found]
        if None not in columns:
            yield tuple(str(column) for column in columns)


def _differs(column: str) -> str:
    one, other = f"one.{column}", f"other.{column}"
    return f"{one} COLLATE BINARY IS NOT {other} OR typeof({one}) <> typeof({other})"


def _text(value: str) -> str:
    return f"CASE typeof({value}) WHEN 'blob' THEN hex({value}) ELSE CAST({value} AS TEXT) END"
