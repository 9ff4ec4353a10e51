"""The rows of a fenced MariaDB database and of its restored copy, compared by the server: no row leaves it that is the same in both.

Both lie in one server, so it joins them by their key, and keeps what differs in a temporary table that is read in parts:
neither memory here nor the size of a table limits it. Before that it takes one checksum of each side, and the copy's before the
fence. Text is compared byte by byte, whatever its collation takes for equal.
"""
# ruff: noqa: S608  # statements are made of numbers, quoted names and literals of our own

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dbmigration_runner.contract.result import TableLoss
from dbmigration_runner.engines import mysql_record as records
from dbmigration_runner.engines.mysql_names import parts, quoted, text_literal
from dbmigration_runner.engines.restore import LostRow
from dbmigration_runner.engines.row_comparison import Shape, common_columns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from dbmigration_runner.engines.interface import AskingSession
    from dbmigration_runner.engines.mysql_record import Record

FETCHED = 2000
_COLUMNS = (
    "SELECT c.TABLE_NAME, c.COLUMN_NAME, concat_ws(' ', c.COLUMN_TYPE, c.CHARACTER_SET_NAME, c.COLLATION_NAME), c.DATA_TYPE"
    " FROM information_schema.COLUMNS c WHERE c.TABLE_SCHEMA = {schema} AND coalesce(c.GENERATION_EXPRESSION, '') = ''"
    " AND c.EXTRA NOT LIKE '%GENERATED%' ORDER BY c.TABLE_NAME, c.ORDINAL_POSITION"
)
# A key over the beginnings of columns says nothing of rows, and NULL may stand in a unique one many times.
_KEYS = (
    "SELECT s.TABLE_NAME, s.INDEX_NAME, s.COLUMN_NAME FROM information_schema.STATISTICS s WHERE s.TABLE_SCHEMA = {schema}"
    " AND s.NON_UNIQUE = 0 AND NOT EXISTS (SELECT 1 FROM information_schema.STATISTICS o WHERE o.TABLE_SCHEMA = s.TABLE_SCHEMA"
    " AND o.TABLE_NAME = s.TABLE_NAME AND o.INDEX_NAME = s.INDEX_NAME AND (o.SUB_PART IS NOT NULL OR o.NULLABLE = 'YES'))"
    " ORDER BY s.TABLE_NAME, s.INDEX_NAME <> 'PRIMARY', s.INDEX_NAME, s.SEQ_IN_INDEX"
)
_TEXTS = ("char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set")
_NUMBERS = ("tinyint", "smallint", "mediumint", "int", "bigint", "decimal", "float", "double")
_LITERAL = re.compile(r"[-+]?\d+(\.\d+)?|'(?:[^']|'')*'")
_BYTES = ("binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob", "bit")


class Rows:
    """See row_comparison.Tables. `at_once` does a work on its own thread, so that an order to stop is heard.

    `sums` holds the checksums of the copy, which does not change: what was foreseen by one is known to the next.
    """

    def __init__(
        self,
        session: AskingSession,
        record: Record,
        version_table: str,
        at_once: Callable[[Callable[[], None]], None],
        sums: dict[tuple[str, tuple[str, ...]], object],
        *,
        is_fenced: bool,
    ) -> None:
        self._session = session
        self._sums = sums
        self._version_table = version_table
        self._at_once = at_once
        self._scratch = f"{quoted(record.fresh)}.`dbmigration/lost`"
        live = str(session.value("SELECT DATABASE()"))
        numbers = {
            f"{records.OLD}{number}" if is_fenced else name: name for number, name in enumerate(record.tables, 1)
        }
        self._kinds: dict[tuple[str, str], str] = {}
        self.before: Mapping[str, Shape] = self._shapes(record.fresh, {name: name for name in record.copies})
        self.now: Mapping[str, Shape] = self._shapes(live, numbers)
        self._names: dict[bool, dict[str, str]] = {
            True: {name: name for name in record.copies},
            False: {name: hidden for hidden, name in numbers.items()},
        }
        self._schemas = {True: record.fresh, False: live}
        self._sources = {
            True: {name: f"{quoted(record.fresh)}.{quoted(name)}" for name in record.copies},
            False: {name: f"{quoted(live)}.{quoted(hidden)}" for hidden, name in numbers.items()},
        }

    def foresee(self) -> None:
        """Take the checksums of the copy that will be asked for, while nobody waits. What was foreseen amiss is taken then."""
        for table, shape in self.before.items():
            if table in self.now:
                self._sum(table, common_columns(shape, self.now[table]), before=True)

    def count(self, table: str, *, before: bool) -> int:
        """See row_comparison.Tables."""
        return int(str(self._value(f"SELECT count(*) FROM {self._sources[before][table]}")))

    def differing(
        self, table: str, key: tuple[str, ...], columns: tuple[str, ...], lost: Callable[[LostRow], None]
    ) -> tuple[int, int, int]:
        """See row_comparison.Tables."""
        if self.same(table, columns):
            return 0, 0, 0
        was, has = self._sources[True][table], self._sources[False][table]
        joined = " AND ".join(f"w.{quoted(column)} = h.{quoted(column)}" for column in key)
        same = " AND ".join(
            f"{self._exactly(table, column, 'w')} <=> {self._exactly(table, column, 'h')}" for column in columns
        )

        def keys(side: str) -> str:
            return ", ".join(f"{self._told(table, column, side)} AS key_{number}" for number, column in enumerate(key))

        first = quoted(key[0])
        asked = (
            f"SELECT 'inserted' AS what, {keys('h')} FROM {has} h LEFT JOIN {was} w ON {joined} WHERE w.{first} IS NULL"
            f" UNION ALL SELECT 'updated', {keys('h')} FROM {has} h JOIN {was} w ON {joined} WHERE NOT ({same})"
            f" UNION ALL SELECT 'deleted', {keys('w')} FROM {was} w LEFT JOIN {has} h ON {joined} WHERE h.{first} IS NULL"
        )
        self._do(
            f"CREATE TEMPORARY TABLE {self._scratch} (place bigint unsigned AUTO_INCREMENT PRIMARY KEY) ENGINE=InnoDB"
            f" CHARACTER SET utf8mb4 {asked}"
        )
        counts = {"inserted": 0, "updated": 0, "deleted": 0}
        for kind, *values in self._found(len(key)):
            counts[str(kind)] += 1
            told = (None if value is None else str(value) for value in values)
            lost(LostRow(table, str(kind), dict(zip(key, told, strict=True))))
        self._do(f"DROP TEMPORARY TABLE {self._scratch}")
        return counts["inserted"], counts["updated"], counts["deleted"]

    def same(self, table: str, columns: tuple[str, ...]) -> bool:
        """See row_comparison.Tables."""
        return self._sum(table, columns, before=True) == self._sum(table, columns, before=False)

    def untouched(self, table: str, column: str) -> bool:
        """See row_comparison.Tables."""
        default, is_nullable = self._session.rows(
            "SELECT COLUMN_DEFAULT, IS_NULLABLE = 'YES' FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE()"
            f" AND TABLE_NAME = {text_literal(self._names[False][table])} AND COLUMN_NAME = {text_literal(column)}"
        )[0]
        kind, another = self._kinds[table, column], ""
        if default is None and not is_nullable:  # then the server fills in what the type is empty with
            default = "0" if kind in _NUMBERS else "''"
        if default is not None and _LITERAL.fullmatch(str(default)):
            value = f"CAST({default} AS BINARY)" if kind in _TEXTS else str(default)
            another = f" AND NOT ({self._exactly(table, column, 't')} <=> {value})"
        question = f"SELECT 1 FROM {self._sources[False][table]} t WHERE t.{quoted(column)} IS NOT NULL{another}"
        return not int(str(self._value(f"SELECT EXISTS ({question})")))

    def written_by_migrations(self) -> frozenset[str]:
        """See row_comparison.Tables."""
        return frozenset((parts(self._version_table)[1],))

    def others(self) -> Iterator[TableLoss]:
        """See row_comparison.Tables: what counts, and what versioned tables say of the past."""
        was, has = (self._counted(before=before) for before in (True, False))
        for name in sorted(was.keys() & has.keys()):
            if was[name] != has[name]:
                yield TableLoss(f"sequence {name}", untold="it has given numbers since, and will give them again")
        for table in sorted(self._versioned(before=True) & self._versioned(before=False)):
            past = [
                self._value(f"SELECT count(*) FROM {self._sources[before][table]} FOR SYSTEM_TIME ALL")
                for before in (True, False)
            ]
            if past[0] != past[1]:
                yield TableLoss(f"past of {table}", untold="rows that are no longer current were added or removed")

    def _counted(self, *, before: bool) -> dict[str, object]:
        """What sequences and AUTO_INCREMENT have given, by the sequence's or the table's name."""
        schema, names = self._schemas[before], self._names[before]
        counted: dict[str, object] = {
            name: self._value(f"SELECT next_not_cached_value FROM {quoted(schema)}.{quoted(name)}")
            for name in records.sequences_of(self._session, schema)
        }
        tables = {hidden: name for name, hidden in names.items()}
        for hidden, number in self._session.rows(
            "SELECT TABLE_NAME, `AUTO_INCREMENT` FROM information_schema.TABLES"
            f" WHERE TABLE_SCHEMA = {text_literal(schema)} AND `AUTO_INCREMENT` IS NOT NULL"
        ):
            if hidden in tables:
                counted[f"of {tables[hidden]}"] = number
        return counted

    def _versioned(self, *, before: bool) -> frozenset[str]:
        tables = {hidden: name for name, hidden in self._names[before].items()}
        found = self._session.rows(
            "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_TYPE = 'SYSTEM VERSIONED'"
            f" AND TABLE_SCHEMA = {text_literal(self._schemas[before])}"
        )
        return frozenset(tables[hidden] for (hidden,) in found if hidden in tables)

    def _sum(self, table: str, columns: tuple[str, ...], *, before: bool) -> object:
        """How many rows, and a checksum of them in whatever order."""
        if before and (table, columns) in self._sums:
            return self._sums[table, columns]
        row = "md5(concat(''" + "".join(f", {self._mark(table, column)}" for column in columns) + "))"
        halves = (
            f"coalesce(sum(cast(conv({half}, 16, 10) AS unsigned)), 0)"
            for half in (f"left({row}, 16)", f"right({row}, 16)")
        )
        found = self._value(
            f"SELECT concat_ws(' ', count(*), {', '.join(halves)}) FROM {self._sources[before][table]} t"
        )
        if before:
            self._sums[table, columns] = found
        return found

    def _shapes(self, schema: str, names: Mapping[str, str]) -> dict[str, Shape]:
        columns: dict[str, dict[str, str]] = {name: {} for name in names.values()}
        keys: dict[str, dict[str, list[str]]] = {}
        where = text_literal(schema)
        for table, column, kind, data_type in self._session.rows(_COLUMNS.replace("{schema}", where)):
            if table in names:
                columns[names[table]][column] = str(kind)
                self._kinds[names[table], column] = str(data_type)
        for table, index, column in self._session.rows(_KEYS.replace("{schema}", where)):
            keys.setdefault(str(table), {}).setdefault(str(index), []).append(str(column))
        return {
            name: Shape(columns[name], tuple(tuple(key) for key in keys.get(table, {}).values()))
            for table, name in names.items()
        }

    def _exactly(self, table: str, column: str, side: str) -> str:
        """What is equal only where the value is the same."""
        name = f"{side}.{quoted(column)}"
        return f"CAST({name} AS BINARY)" if self._kinds[table, column] in _TEXTS else name

    def _told(self, table: str, column: str, side: str) -> str:
        """As text."""
        name = f"{side}.{quoted(column)}"
        if self._kinds[table, column] in _BYTES:
            return f"concat('0x', hex({name}))"
        return f"CAST({name} AS CHAR CHARACTER SET utf8mb4)"

    def _mark(self, table: str, column: str) -> str:
        """32 characters, or one where it is NULL. A FLOAT is printed with six digits only, but not as a DOUBLE."""
        kind = self._kinds[table, column]
        name = f"t.{quoted(column)}"
        value = f"CAST({name} AS DOUBLE)" if kind == "float" else self._exactly(table, column, "t")
        return f"coalesce(md5({value}), '-')"

    def _found(self, width: int) -> Iterator[tuple[object, ...]]:
        place = 0
        keys = ", ".join(f"key_{number}" for number in range(width))
        while rows := self._session.rows(
            f"SELECT place, what, {keys} FROM {self._scratch} WHERE place > {place:d} ORDER BY place LIMIT {FETCHED:d}"
        ):
            yield from (row[1:] for row in rows)
            place = int(rows[-1][0])

    def _do(self, statement: str) -> None:
        self._at_once(lambda: self._session.run(statement))

    def _value(self, statement: str) -> object:
        found: list[object] = []
        self._at_once(lambda: found.append(self._session.first_value(statement)))
        return found[0]
