"""What is to be dumped of a MariaDB database, and how it is divided into streams that flow at the same time. Pure, but for `read`.

Rows alone are divided: each stream is one program's, and all of them see the same instant.
"""
# ruff: noqa: S608  # statements are made of quoted names and numbers

from __future__ import annotations

import itertools
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dbmigration_runner.engines.mysql_names import quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from dbmigration_runner.engines.interface import Session

SMALLEST_SPLIT_BYTES = 32 << 20  # a program's start costs more than it gains for less
MOST_EXACT = (
    12  # tables that are given a program of their own for their FLOAT columns: each is one more connection at once
)
_INTEGERS = ("tinyint", "smallint", "mediumint", "int", "bigint")
# Their text, and the character sets of it, mean the same to a server whether or not it is told what they are.
_PLAIN = (
    *(*_INTEGERS, "decimal", "float", "double", "bit", "year", "date", "time", "datetime", "timestamp"),
    *("char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set"),
    *("binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"),
)
_PLAIN_SETS = ("", "utf8mb3", "utf8mb4", "utf8", "latin1", "ascii")
_TABLES = """
SELECT t.TABLE_NAME, t.TABLE_TYPE, coalesce(t.ENGINE, ''), coalesce(t.DATA_LENGTH, 0),
       coalesce(e.TRANSACTIONS = 'YES', 0)
FROM information_schema.TABLES t LEFT JOIN information_schema.ENGINES e ON e.ENGINE = t.ENGINE
WHERE t.TABLE_SCHEMA = DATABASE() AND t.TABLE_TYPE <> 'TEMPORARY' ORDER BY t.TABLE_NAME
"""
_COLUMNS = """
SELECT TABLE_NAME, COLUMN_NAME, DATA_TYPE, coalesce(CHARACTER_SET_NAME, ''),
       coalesce(GENERATION_EXPRESSION, '')
FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() ORDER BY TABLE_NAME, ORDINAL_POSITION
"""
_LEADING = """
SELECT TABLE_NAME, COLUMN_NAME FROM information_schema.STATISTICS
WHERE TABLE_SCHEMA = DATABASE() AND INDEX_NAME = 'PRIMARY' AND SEQ_IN_INDEX = 1
"""
_PERIODS = ("ROW START", "ROW END")


@dataclass(frozen=True)
class Column:
    """A column in its table's order. `character_set` is "" where it holds no text."""

    name: str
    kind: str
    character_set: str = ""

    @property
    def is_plain(self) -> bool:
        """May its values go from server to server as they lie?"""
        return self.kind in _PLAIN and self.character_set in _PLAIN_SETS


@dataclass(frozen=True)
class Table:
    """A base table. `key` is the first column of its primary key where that is an integer, "" where it is not."""

    name: str
    engine: str = "InnoDB"
    is_transactional: bool = True
    size_bytes: int = 0
    is_versioned: bool = False
    columns: tuple[Column, ...] = ()
    key: str = ""

    @property
    def has_float(self) -> bool:
        """Does it hold numbers that the server shortens to six digits whenever it prints them?"""
        return any(column.kind == "float" for column in self.columns)

    @property
    def is_plain(self) -> bool:
        """May its rows go from server to server as they lie?"""
        return all(column.is_plain for column in self.columns)


@dataclass(frozen=True)
class Inventory:
    """Everything of a database that has rows or stands in their place."""

    tables: tuple[Table, ...]
    sequences: tuple[str, ...] = ()
    views: tuple[str, ...] = ()

    @property
    def size_bytes(self) -> int:
        """What the rows take on the server, as its statistics have it."""
        return sum(table.size_bytes for table in self.tables)


@dataclass(frozen=True)
class Stream:
    """What one program dumps: whole tables, or rows of one."""

    tables: tuple[Table, ...]
    condition: str = ""
    size_bytes: int = 0

    @property
    def is_snapshot(self) -> bool:
        """Are all its rows of the one instant by themselves, without a lock?"""
        return all(table.is_transactional for table in self.tables)

    @property
    def is_plain(self) -> bool:
        """May its rows go from server to server as they lie?"""
        return all(table.is_plain for table in self.tables)

    @property
    def where(self) -> str:
        """What is given to --where.

        The program gives FLOAT as the server prints it: 16777217 as 16777200. So its own question is answered with nothing,
        and ours, which has the server print a DOUBLE of the same value, stands behind it.
        """
        (table, *more) = self.tables
        if more or not table.has_float:
            return self.condition
        names = [_exact(column) for column in table.columns]
        rows = " FOR SYSTEM_TIME ALL" if table.is_versioned else ""
        condition = f" WHERE {self.condition}" if self.condition else ""
        return f"1 = 0 UNION ALL SELECT {', '.join(names)} FROM {quoted(table.name)}{rows}{condition}"


def _exact(column: Column) -> str:
    return f"CAST({quoted(column.name)} AS DOUBLE)" if column.kind == "float" else quoted(column.name)


def read(session: Session) -> Inventory:
    """Of the session's database, as far as its role sees it."""
    columns: Mapping[str, list[Column]] = defaultdict(list)
    integers: set[tuple[str, str]] = set()
    with_period: set[str] = set()
    for table, name, kind, character_set, expression in session.rows(_COLUMNS):
        columns[table].append(Column(str(name), str(kind).lower(), str(character_set)))
        if str(expression).upper() in _PERIODS:
            with_period.add(table)
        if str(kind).lower() in _INTEGERS:
            integers.add((table, name))
    keys = {table: column for table, column in session.rows(_LEADING) if (table, column) in integers}
    found = session.rows(_TABLES)
    return Inventory(
        tables=tuple(
            Table(
                name=str(name),
                engine=str(engine),
                is_transactional=bool(transactional),
                size_bytes=int(size),
                is_versioned=kind == "SYSTEM VERSIONED",
                columns=(*columns[name], *(_period(name, kind, with_period))),
                key=str(keys.get(name, "")),
            )
            for name, kind, engine, size, transactional in found
            if kind in {"BASE TABLE", "SYSTEM VERSIONED"}
        ),
        sequences=tuple(str(name) for name, kind, *_ in found if kind == "SEQUENCE"),
        views=tuple(str(name) for name, kind, *_ in found if kind == "VIEW"),
    )


def _period(table: str, kind: str, with_period: set[str]) -> tuple[Column, ...]:
    """The two columns that a versioned table has without naming them."""
    hidden = kind == "SYSTEM VERSIONED" and table not in with_period
    return (Column("row_start", "timestamp"), Column("row_end", "timestamp")) if hidden else ()


def divide(tables: Iterable[Table], workers: int) -> list[Stream]:
    """Streams of about the same size; a large table is a stream by itself, and split further by `ranges`.

    So is, for its numbers' sake, one with FLOAT columns, and what is not of the snapshot stands by itself.
    """
    remaining = list(tables)
    size = sum(table.size_bytes for table in remaining)
    share = share_of(size, workers)
    floats = sorted((table for table in remaining if table.has_float), key=lambda table: table.size_bytes, reverse=True)
    exact = floats[:MOST_EXACT]
    alone = [table for table in remaining if table in exact or (table.is_transactional and table.size_bytes > share)]
    others = [table for table in remaining if table not in alone]
    transactional = [table for table in others if table.is_transactional]
    if size < SMALLEST_SPLIT_BYTES:
        parts = _grouped(transactional, 1)
    else:
        parts = _grouped([table for table in transactional if not table.is_plain], 1)
        parts += _grouped([table for table in transactional if table.is_plain], workers)
    return [
        *(Stream((table,), size_bytes=table.size_bytes) for table in alone),
        *_grouped([table for table in others if not table.is_transactional], 1),
        *parts,
    ]


def share_of(size_bytes: int, workers: int) -> float:
    """What one of them should have to do."""
    return max(size_bytes / workers, SMALLEST_SPLIT_BYTES)


def together(tables: Iterable[Table]) -> Stream:
    """One stream of everything, which needs no lock to be of one instant."""
    found = tuple(tables)
    return Stream(found, size_bytes=sum(table.size_bytes for table in found))


def shortened(streams: Iterable[Stream]) -> list[str]:
    """Tables whose FLOAT columns are dumped with six digits, as they were not given a stream of their own."""
    return [table.name for stream in streams if len(stream.tables) > 1 for table in stream.tables if table.has_float]


def _grouped(tables: list[Table], groups: int) -> list[Stream]:
    """The largest first, each into the group that is the smallest by then."""
    filled: list[list[Table]] = [[] for _ in range(groups)]
    sizes = [0] * groups
    for table in sorted(tables, key=lambda table: table.size_bytes, reverse=True):
        smallest = sizes.index(min(sizes))
        filled[smallest].append(table)
        sizes[smallest] += max(table.size_bytes, 1)
    return [Stream(tuple(group), size_bytes=size) for group, size in zip(filled, sizes, strict=True) if group]


def bounds(table: Table) -> str:
    """A question for the least and the most of its key."""
    asked = f"SELECT min({quoted(table.key)}), max({quoted(table.key)}) FROM {quoted(table.name)}"
    return asked.replace(":", r"\:")  # a session takes `:name` for a parameter


def ranges(key: str, least: int, most: int, pieces: int) -> list[str]:
    """Conditions on an integer that cannot be NULL, of which each value meets exactly one, whoever adds rows meanwhile."""
    name = quoted(key)
    bounds = sorted({least + (most - least + 1) * number // pieces for number in range(1, pieces)} - {least})
    if not bounds:
        return [""]
    between = [f"{name} >= {low} AND {name} < {high}" for low, high in itertools.pairwise(bounds)]
    return [f"{name} < {bounds[0]}", *between, f"{name} >= {bounds[-1]}"]
