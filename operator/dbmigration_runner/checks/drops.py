"""What a downgrade takes away, as it is found out, and the same in the names that the database has today.

Pure book-keeping over names. Must not know where a name comes from (Python or SQL), and must not ask a database.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# The name of a function that takes something away, as people call such ones.
DESTROYS = re.compile(r"(^|_)(drop|delete|truncate|purge|wipe|destroy|downgrade|unlink)(s?_|s?$)", re.IGNORECASE)
HOLE = "\ue000"  # stands in a text for the part that only the running script knows
_SENTENCE_CHARACTERS = 200
_SENTENCES = 20


@dataclass(frozen=True)
class Drop:
    """What a downgrade takes away that may hold data."""

    table: str  # `[schema.]table`, as the script names it
    column: str | None = None  # None: the whole table

    def __str__(self) -> str:
        return self.table if self.column is None else f"{self.table}.{self.column}"


@dataclass
class Names:
    """Which name of before stands behind a name of now, while tables and columns are made and renamed."""

    _tables: dict[str, str | None] = field(default_factory=dict)  # now -> before; None: made meanwhile
    _columns: dict[tuple[str, str], tuple[str, str] | None] = field(default_factory=dict)

    def before(self, found: Drop) -> Drop | None:
        """The same thing under its first name; None where it was made meanwhile."""
        if found.column is None:
            table = self._tables.get(found.table, found.table)
            return Drop(table) if table is not None else None
        if (found.table, found.column) in self._columns:
            known = self._columns[found.table, found.column]
            return Drop(*known) if known is not None else None
        table = self._tables.get(found.table, found.table)
        return Drop(table, found.column) if table is not None else None

    def call(self, new: Drop, origin: Drop | None) -> None:
        """What is now called `new` was called `origin`; None: it is new."""
        if new.column is None:
            self._tables[new.table] = origin.table if origin is not None else None
        else:
            known = (origin.table, origin.column) if origin is not None and origin.column is not None else None
            self._columns[new.table, new.column] = known

    def rename(self, old: Drop, new: Drop) -> None:
        """What was called `old` is called `new`, and the columns of a table go with it."""
        self.call(new, self.before(old))
        if new.column is None:
            for (table, column), known in list(self._columns.items()):
                if table == old.table:
                    self._columns[new.table, column] = known


@dataclass
class Ledger:
    """One downgrade's, filled in the order in which it would act."""

    acts: bool = False  # it does something at all
    sets: bool = False  # it gives objects of a mapped class new values, and …
    saves: bool = False  # … writes such objects
    drops: list[Drop] = field(default_factory=list)
    unclear: list[str] = field(default_factory=list)
    made: list[Drop] = field(default_factory=list)
    renamed: list[tuple[Drop, Drop]] = field(default_factory=list)
    filled: list[Drop] = field(default_factory=list)  # it writes rows or values into this, as it is called then
    _names: Names = field(default_factory=Names)
    _touched: list[tuple[Drop, str]] = field(default_factory=list)  # columns, and what is done to their values

    def drop(self, table: str | None, column: str | None = None) -> None:
        """It takes this away; `column` is "" where there is one that cannot be named."""
        self.acts = True
        if not table or HOLE in table:
            what = "a table" if column is None else f"the column {_shown(column)} of a table"
            self.say(f"drops {what} whose name is only known when it runs")
        elif column is not None and (not column or HOLE in column):
            self.say(f"drops a column of {_shown(table)} whose name is only known when it runs")
        else:
            found = self._names.before(Drop(table, column))
            if found is not None and not {found, Drop(found.table)} & set(self.drops):
                self.drops = [drop for drop in self.drops if drop.table != found.table or column is not None]
                self.drops.append(found)

    def empty(self, table: str | None, *, every_row: bool) -> None:
        """It deletes rows."""
        self.acts = True
        if table and HOLE not in table and self._names.before(Drop(table)) is None:
            return
        if table and HOLE not in table and every_row:
            self.drop(table)
        else:
            self._touch(Drop(table or HOLE), f"deletes rows of {table or 'a table'}")

    def overwrite(self, table: str | None, columns: Sequence[str] = ()) -> None:
        """It updates rows: what it puts into columns that it made itself overwrites nothing."""
        self.acts = True
        for column in columns or (None,):
            self.fill(table, column)
            if table is None or HOLE in table or self._names.before(Drop(table, column)) is not None:
                told = Drop(table or "a table", column)
                self._touch(told, f"overwrites values of {told}")

    def fill(self, table: str | None, column: str | None = None) -> None:
        """It writes rows, or values of a column, and overwrites nothing by that."""
        self.acts = True
        self.filled.append(Drop(table or HOLE, column))

    def convert(self, table: str, column: str) -> None:
        """It gives a column a type that may not hold every value."""
        self.acts = True
        told = Drop(table, column)
        self._touch(told, f"changes the type of {told}, which may cut values")

    def make(self, table: str | None, column: str | None = None, *, surely: bool) -> None:
        """It makes this; where not surely, what has the name may as well be older."""
        self.acts = True
        if table and HOLE not in table and column != "" and HOLE not in (column or "") and surely:
            made = Drop(table, column)
            self._names.call(made, None)
            self.made.append(made)

    def rename(self, old: Drop, new: Drop) -> None:
        """It renames a table or a column."""
        self.acts = True
        if HOLE in f"{old}{new}" or not (old.table and new.table):
            self.say("renames something whose name is only known when it runs")
            return
        before = self._names.before(old)
        self._names.rename(old, new)
        if before is not None:
            self.renamed.append((before, new))
        else:
            self.made.append(new)

    def say(self, sentence: str) -> None:
        """It may destroy what cannot be named."""
        self.acts = True
        line = " ".join(sentence.replace(HOLE, "…").split())
        line = line if len(line) <= _SENTENCE_CHARACTERS else line[: _SENTENCE_CHARACTERS - 1] + "…"
        if line not in self.unclear and len(self.unclear) < _SENTENCES:
            self.unclear.append(line)

    def _touch(self, what: Drop, sentence: str) -> None:
        self.acts = True
        self._touched.append((self._names.before(what) or what, sentence))

    def close(self) -> None:
        """Nothing more comes: what is done to values that are then dropped with their column needs no words."""
        gone = set(self.drops)
        for what, sentence in self._touched:
            if not {what, Drop(what.table)} & gone:
                self.say(sentence)
        if self.sets and self.saves:
            self.say("overwrites values through an ORM session")


def in_todays_names(
    found: Iterable[tuple[str, Sequence[Drop], Sequence[Drop], Sequence[tuple[Drop, Drop]]]],
) -> dict[str, tuple[Drop, ...]]:
    """What each of several downgrades, in the order in which they run, takes away of what is there before the first.

    Each is (revision, drops, made, renamed), in the names that hold when it begins. Nothing is taken away twice.
    """
    names, taken = Names(), set[Drop]()
    told: dict[str, tuple[Drop, ...]] = {}
    for revision, drops, made, renamed in found:
        now = [names.before(drop) for drop in drops]
        fresh = [drop for drop in now if drop is not None and not {drop, Drop(drop.table)} & taken]
        told[revision] = tuple(dict.fromkeys(fresh))
        taken.update(fresh)
        for new, origin in [(new, names.before(old)) for old, new in renamed]:
            names.call(new, origin)
        for item in made:
            names.call(item, None)
    return told


def _shown(name: str | None) -> str:
    return (name or "").replace(HOLE, "…")
