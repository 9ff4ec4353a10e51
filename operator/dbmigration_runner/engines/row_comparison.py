"""What was written to a database since a copy of it was taken: which tables can tell, and what they tell.

Compared are the columns that both have with the same type, row by row of the same key. A migration that was half done may
have added, dropped or retyped columns and rewritten rows: what it did and what the application did cannot be told apart,
so whatever is not proved to be untouched is counted, or said to be untold: rows inserted since, which a restore takes, rows
changed since, to which it gives their old values, and rows deleted since, which it brings back. Knows no engine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from dbmigration_runner.contract.result import TableLoss

if TYPE_CHECKING:
    from collections.abc import Callable

    from dbmigration_runner.engines.restore import LostRow

_SHOWN = 5


@dataclass(frozen=True)
class Shape:
    """A table: its columns with their types, without those that are computed, and every set of columns that is a key."""

    columns: Mapping[str, str]
    keys: tuple[tuple[str, ...], ...] = ()  # the primary one first; none of their columns is ever NULL


class Tables(Protocol):
    """Two states of one database, by the names of their tables."""

    before: Mapping[str, Shape]
    now: Mapping[str, Shape]

    def count(self, table: str, *, before: bool) -> int:
        """Its rows."""
        ...

    def differing(
        self, table: str, key: tuple[str, ...], columns: tuple[str, ...], lost: Callable[[LostRow], None]
    ) -> tuple[int, int, int]:
        """Rows inserted, updated and deleted since, by key; `lost` is told each."""
        ...

    def same(self, table: str, columns: tuple[str, ...]) -> bool:
        """Does it hold the same rows, in whatever order?"""
        ...

    def untouched(self, table: str, column: str) -> bool:
        """Has a column of today in every row what it was made with: nothing, or its default?"""
        ...

    def written_by_migrations(self) -> frozenset[str]:
        """The version table."""
        ...

    def others(self) -> Iterator[TableLoss]:
        """What is no table and holds data all the same, and tables that cannot be read."""
        ...


def compare(tables: Tables, lost: Callable[[LostRow], None]) -> Iterator[TableLoss]:
    """Every table of which anything differs, or is untold."""
    for table in sorted({*tables.before, *tables.now} - tables.written_by_migrations()):
        loss = _of_table(tables, table, lost)
        if loss.rows or loss.untold:
            yield loss
    yield from tables.others()


def common_columns(before: Shape, now: Shape) -> tuple[str, ...]:
    """Those that can be compared: of the same name and type."""
    return tuple(name for name, kind in before.columns.items() if now.columns.get(name) == kind)


def _of_table(tables: Tables, table: str, lost: Callable[[LostRow], None]) -> TableLoss:
    before, now = tables.before.get(table), tables.now.get(table)
    if before is None or now is None:
        return _of_one_side(tables, table, is_new=before is None)
    common = common_columns(before, now)
    key = next((key for key in before.keys if set(key) <= set(common) and _is_key(key, now)), None)
    untold = [*_untold(tables, table, before, now)]
    if key is not None:
        inserted, updated, deleted = tables.differing(table, key, common, lost)
    elif tables.same(table, common):
        inserted = updated = deleted = 0
    else:
        was, has = tables.count(table, before=True), tables.count(table, before=False)
        inserted, updated, deleted = max(has - was, 0), 0, max(was - has, 0)
        untold.insert(0, "it has no key, so its rows were only counted, and they differ")
    return TableLoss(table, inserted, updated, deleted, "; ".join(untold))


def _of_one_side(tables: Tables, table: str, *, is_new: bool) -> TableLoss:
    count = tables.count(table, before=not is_new)
    if not count:
        return TableLoss(table)
    if is_new:
        return TableLoss(table, count, untold="the backup has no such table: its rows may be the migration's own")
    return TableLoss(
        table, untold="it is gone: its rows in the backup come back, and what was written to it since is gone with it"
    )


def _is_key(key: tuple[str, ...], now: Shape) -> bool:
    return any(set(key) == set(other) for other in now.keys)


def _untold(tables: Tables, table: str, before: Shape, now: Shape) -> Iterator[str]:
    gone = [name for name, kind in before.columns.items() if now.columns.get(name) != kind]
    if gone and (tables.count(table, before=False) or tables.count(table, before=True)):
        yield f"columns that were dropped or have another type now cannot be compared: {_list(gone)}"
    new = [name for name in now.columns if name not in before.columns and not tables.untouched(table, name)]
    if new:
        yield f"columns that the backup has not hold values: {_list(new)}"


def _list(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
