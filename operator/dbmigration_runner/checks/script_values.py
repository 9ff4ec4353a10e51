"""What a name or an expression in a revision is known to be, without running any of it.

A value is a plain Python value, an object of a loaded module (which is looked at, never called), one of the kinds here, or
UNKNOWN. A text that is known in part holds a HOLE. Must not run application code: no property, no `__eq__`, no import.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

from dbmigration_runner.checks.drops import HOLE

if TYPE_CHECKING:
    from collections.abc import Callable

_SCALARS = (str, int, float, bool, bytes, type(None))
_CONTAINERS = (tuple, list, set, frozenset, dict)
_KEYS = (str, int, bool, type(None))
MOST_ITEMS = 500
_LONGEST_TEXT = 200_000
_NUMBER = re.compile(r"%[dir]")
_WIDE = re.compile(r"\d{4}")  # of a field: it would be filled up with as many spaces
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


class Flow(Enum):
    """How a statement ends."""

    ON = 0
    NEXT = 1  # of the loop
    BROKEN = 2  # the loop
    LEFT = 3  # the function
    RAISED = 4


class Unknown(Enum):
    """What only the running script knows."""

    VALUE = 0


UNKNOWN = Unknown.VALUE


@dataclass(frozen=True)
class Made:
    """What a call of SQLAlchemy or Alembic gives: `kind` is the name of what was called."""

    kind: str
    table: str | None = None
    name: str | None = None  # of a column; the SQL of a Text
    columns: tuple[str, ...] = ()  # that an Update sets
    limited: bool = False  # there is a WHERE
    arguments: tuple[Any, ...] = ()


UNLOADED = "Unloaded"  # kind of what comes from a module that is imported only when the revision runs


@dataclass(frozen=True)
class Some:
    """A list of at most these, in this order: a filter that is only known when it runs lies behind them."""

    items: tuple[Any, ...]


@dataclass
class Frame:
    """The names of one function at work."""

    names: dict[str, Any]
    module: dict[str, Any]  # the namespace of the module that it is written in
    outer: Frame | None = None
    returned: list[Any] = field(default_factory=list)

    def look_up(self, name: str) -> Any:
        """As Python does."""
        frame: Frame | None = self
        while frame is not None:
            if name in frame.names:
                return frame.names[name]
            frame = frame.outer
        builtins = sys.modules["builtins"].__dict__
        return self.module[name] if name in self.module else builtins.get(name, UNKNOWN)

    def fork(self) -> Frame:
        """The same names, for one of two ways to go on."""
        return Frame(dict(self.names), self.module, self.outer, self.returned)

    def join(self, ways: list[Frame]) -> None:
        """Know what all ways agree on."""
        for name in {name for way in ways for name in way.names}:
            self.names[name] = agreed([way.names.get(name, UNKNOWN) for way in ways])


@dataclass(frozen=True)
class Function:
    """A function whose text can be read."""

    definition: Definition
    module: dict[str, Any]
    outer: Frame | None = None
    owner: Any = None  # what `self` is


@dataclass(frozen=True)
class Instance:
    """An object of a class whose text can be read."""

    owner: type


def is_plain(value: Any) -> bool:
    """A value of Python's own, which can be looked at without running anybody's code."""
    return type(value) in _SCALARS or type(value) in _CONTAINERS


def truth(value: Any) -> bool | None:
    """None where it is not known."""
    return bool(value) if is_plain(value) and not (isinstance(value, str) and HOLE in value) else None


def same(one: Any, other: Any) -> bool:
    """Are they known to be the same?"""
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if type(one) in _SCALARS:
        return bool(one == other) and HOLE not in str(one)
    if type(one) in (tuple, list) and len(one) == len(other) <= MOST_ITEMS:
        return all(same(mine, theirs) for mine, theirs in zip(one, other, strict=True))
    return False


def items_of(value: Any) -> list[Any] | None:
    """What a loop over it would give at most; None where that is not known."""
    if isinstance(value, Some):
        return list(value.items)
    if type(value) in _CONTAINERS or type(value) is range:
        return list(value) if len(value) <= MOST_ITEMS else None
    return None


def text_of(value: Any) -> str:
    """As str() writes it, with a HOLE for what is not known."""
    if type(value) in (str, int, float, bool):
        return str(value)[:_LONGEST_TEXT]
    if isinstance(value, Made) and value.kind == "text":
        return value.name or HOLE
    return HOLE


def name_of(value: Any) -> str:
    """A name of a table or column that is handed over; HOLE where it is not known."""
    if type(value) is str:
        return value
    if isinstance(value, Made) and value.kind == "Column":
        return value.name or HOLE
    static = inspect.getattr_static(value, "name", None) if kind_of(value) in {"Column", "ColumnClause"} else None
    return str(static) if isinstance(static, str) else HOLE


def table_of(value: Any) -> str | None:
    """`[schema.]table` of a Table or of a mapped class, loaded or made by the script; None for anything else."""
    if isinstance(value, Made):
        return value.table if value.kind in {"Table", "Query", "Delete", "Update"} else None
    if isinstance(value, type):
        mapped = inspect.getattr_static(value, "__table__", None)
        named = inspect.getattr_static(value, "__tablename__", None)
        return table_of(mapped) if mapped is not None else (str(named) if isinstance(named, str) else None)
    if kind_of(value) in {"Table", "TableClause"}:
        name = inspect.getattr_static(value, "name", None)
        schema = inspect.getattr_static(value, "schema", None)
        return f"{schema}.{name}" if isinstance(schema, str) and schema else str(name)
    return None


def kind_of(value: Any) -> str:
    """The class of an object of SQLAlchemy, "" for others'."""
    kind = type(value)
    for base in kind.__mro__:
        if (base.__module__ or "").split(".")[0] == "sqlalchemy" and base.__name__ in {"Table", "MetaData"}:
            return str(base.__name__)
    return kind.__name__ if (kind.__module__ or "").split(".")[0] == "sqlalchemy" else ""


def element(value: Any, key: Any) -> Any:
    """`value[key]`."""
    if type(value) not in (tuple, list, dict, str) or type(key) not in _KEYS:
        return UNKNOWN
    try:
        return value[key]
    except (KeyError, IndexError, TypeError):
        return UNKNOWN


def compared(left: Any, operator: ast.cmpop, right: Any) -> Any:
    """`left operator right`."""
    sure = (
        is_plain(left)
        and is_plain(right)
        and HOLE not in f"{left if type(left) is str else ''}{right if type(right) is str else ''}"
    )
    match operator:
        case ast.Eq() | ast.Is() if sure and type(left) is type(right) and type(left) in (str, int, bool, type(None)):
            return left == right
        case ast.NotEq() | ast.IsNot() if (
            sure and type(left) is type(right) and type(left) in (str, int, bool, type(None))
        ):
            return left != right
        case ast.Is() | ast.IsNot() if sure and (left is None) != (right is None):
            return isinstance(operator, ast.IsNot)
        case ast.In() | ast.NotIn() if sure and type(left) is str and (items := items_of(right)) is not None:
            if all(type(item) is str and HOLE not in item for item in items):
                return (left in items) is isinstance(operator, ast.In)
            return UNKNOWN
        case _:
            return UNKNOWN


def fewer(one: Any) -> Any:
    """`one - other` and `one & other` of sets: at most what `one` holds."""
    items = items_of(one)
    return at_most(items) if items is not None else UNKNOWN


def at_most(items: list[Any]) -> Any:
    """A list of these or fewer; where one of them is not known, they may be anything."""
    if any(item is UNKNOWN for item in items) or len(items) > MOST_ITEMS:
        return UNKNOWN
    return Some(tuple(items))


def agreed(values: list[Any]) -> Any:
    """What all of several ways to go leave in a name; of lists at most what one of them holds."""
    if all(same(values[0], value) for value in values[1:]):
        return values[0]
    if all(type(value) is list or isinstance(value, Some) for value in values):
        union: list[Any] = []
        for value in values:
            union += [item for item in items_of(value) or [] if not any(same(item, known) for known in union)]
        return at_most(union)
    return UNKNOWN


def join(one: Any, other: Any) -> Any:
    """`one + other`."""
    if type(one) is str or type(other) is str:
        return text_of(one) + text_of(other)
    joins = type(one) is type(other) and type(one) in (tuple, list) and len(one) + len(other) <= MOST_ITEMS
    return one + other if joins else UNKNOWN


def percent(pattern: Any, values: Any) -> Any:
    """`pattern % values`; one that is not known leaves only the pattern's own text."""
    if type(pattern) is not str:
        return UNKNOWN
    pattern = _NUMBER.sub("%s", pattern)
    if _WIDE.search(pattern):
        return HOLE
    if type(values) is tuple:
        known: Any = tuple(map(text_of, values))
    elif type(values) is dict:
        known = {key: text_of(value) for key, value in values.items()}
    else:
        known = text_of(values)
    return _written(lambda: pattern % known)


def formatted(pattern: str, values: list[Any], named: dict[str, Any]) -> Any:
    """`pattern.format(…)`."""
    if _WIDE.search(pattern):
        return HOLE
    texts = {key: text_of(value) for key, value in named.items()}
    return _written(lambda: pattern.format(*map(text_of, values), **texts))


def _written(write: Callable[[], str]) -> str:
    try:
        written = write()
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError, MemoryError):
        return HOLE
    return written if len(written) <= _LONGEST_TEXT else HOLE
