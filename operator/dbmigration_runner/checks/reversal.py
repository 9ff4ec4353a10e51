"""What a revision's downgrade() would do, read from its text: does it undo anything, and what data would go with it?

Pure over one loaded Script of Alembic: nothing of it is run, and no database is asked. It may be mistaken on the careful
side only: what it cannot follow is `unclear`, and both ways of a condition count.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from enum import Enum
from types import FunctionType
from typing import TYPE_CHECKING, Any

from dbmigration_runner.checks.drops import Drop, Ledger, in_todays_names
from dbmigration_runner.checks.script_objects import function_of, tree_of, unwrapped
from dbmigration_runner.checks.script_reader import Reader
from dbmigration_runner.checks.script_values import Flow, Function

if TYPE_CHECKING:
    from collections.abc import Iterable

    from alembic.script import Script

__all__ = ["Drop", "Reversal", "Reversible", "reversal", "taken_away"]


class Reversible(str, Enum):
    """Can a revision be undone by its downgrade()?"""

    MISSING = "Missing"  # there is none
    RAISES = "Raises"  # it refuses
    EMPTY = "Empty"  # it does nothing, although upgrade() does something
    WORKS = "Works"


@dataclass(frozen=True)
class Reversal:
    """`drops` are what data may go with, in the names that hold before it; `unclear` are sentences about the rest."""

    kind: Reversible
    drops: tuple[Drop, ...] = ()
    unclear: tuple[str, ...] = ()
    made: tuple[Drop, ...] = ()  # what it makes anew, and …
    renamed: tuple[tuple[Drop, Drop], ...] = ()  # … what it renames: later downgrades speak of these names


def reversal(script: Script, dialect: str | None = None) -> Reversal:
    """Read the revision's downgrade(), for any database or for one of SQLAlchemy's `dialect.name`. Never raises."""
    space = vars(script.module)
    if not callable(space.get("downgrade")):
        return Reversal(Reversible.MISSING)
    ledger = Ledger()
    flow = enter(script, "downgrade", ledger, dialect)
    if flow is None:
        return Reversal(Reversible.WORKS, unclear=("its source cannot be read",))
    kind = Reversible.WORKS
    if flow is Flow.RAISED:
        kind = Reversible.RAISES
    elif not ledger.acts and _acts(script, dialect):
        kind = Reversible.EMPTY
    return Reversal(kind, tuple(ledger.drops), tuple(ledger.unclear), tuple(ledger.made), tuple(ledger.renamed))


def taken_away(way: Iterable[tuple[str, Reversal]]) -> dict[str, tuple[Drop, ...]]:
    """What each downgrade of a way down, in its order, takes of what is in the database today, under today's names.

    A revision further down speaks of names that those before it bring back: its drops are said here in the names of today.
    """
    return in_todays_names((revision, found.drops, found.made, found.renamed) for revision, found in way)


def _acts(script: Script, dialect: str | None) -> bool:
    ledger = Ledger()
    enter(script, "upgrade", ledger, dialect)
    return ledger.acts


def enter(script: Script, name: str, ledger: Ledger, dialect: str | None) -> Flow | None:
    """Enter what the module's function of that name would do; None where its text cannot be read."""
    function = _function(script, name)
    if function is None:
        return None
    flow = Reader(ledger, dialect).read(function)
    ledger.close()
    return flow


def _function(script: Script, name: str) -> Function | None:
    """The text of a module's function, wherever it was written."""
    space = vars(script.module)
    loaded: Any = unwrapped(space.get(name))
    if isinstance(loaded, Function):
        return loaded
    if isinstance(loaded, FunctionType) and (found := function_of(loaded)) is not None:
        return found
    tree = tree_of(str(script.path))
    nodes = ast.walk(tree) if tree is not None else ()
    written = [
        node for node in nodes if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name == name
    ]
    return Function(written[-1], space) if written else None
