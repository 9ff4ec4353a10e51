"""What two schemas differ in, item by item, as sentences: `before` is what should be there, `after` what is.

Pure over two catalogs of one format. What only the server's printing makes different is a rewording, which is no
difference; the columns, keys and indexes of a table that is missing or left behind go without saying. Knows no engine:
a line is a kind, a name, and what else is said of it.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dbmigration_runner.checks.wording import is_reworded
from dbmigration_runner.engines.catalog import DEFINED_AS

if TYPE_CHECKING:
    from dbmigration_runner.engines.catalog import Catalog

# In the order in which they are told.
_KINDS = (
    "schema",
    "extension",
    "table",
    "partitioned table",
    "foreign table",
    "materialized view",
    "view",
    "inherits",
    "column",
    "primary key",
    "unique constraint",
    "foreign key",
    "constraint",
    "index",
    "sequence",
    "trigger",
    "event trigger",
    "foreign server",
    "window function",
    "text search dictionary",
    "text search configuration",
)
_TABLES = ("table", "partitioned table", "foreign table", "materialized view", "view")
_WHOLE = (
    "database",
    "inherits",
    "published",
    "cast",
    "operator",
    "unique constraint",
    "parameter",
    "unenforced",
)  # their names are all that is said of them
_HASH = re.compile(r"(?:^| )[0-9a-f]{64}$")
_NAME = r'(?:"(?:[^"]|"")*"|`(?:[^`]|``)*`|[^\s"`.(]+)'
_QUALIFIED = re.compile(rf"{_NAME}(?:\.{_NAME})*(?:\((?:[^()]|\([^()]*\))*\))?")
_PART = re.compile(
    r"(?P<word>(?:UNIQUE |FULLTEXT |SPATIAL |VECTOR )?KEY(?= `)|CONSTRAINT(?= `)|PRIMARY KEY(?= ))? ?(?P<name>`(?:[^`]|``)*`)?(?P<rest>.*)",
    re.DOTALL,
)
_SHOWN = 80  # characters of either side
_CONTEXT = 24


@dataclass(frozen=True)
class _Item:
    """One line of a catalog."""

    kind: str
    name: str
    facts: str  # what the line says beside kind and name …
    sql: str  # … and what the server printed

    @property
    def key(self) -> tuple[str, str]:
        return self.kind, self.name

    @property
    def said(self) -> str:
        return f"{self.facts} {self.sql}".strip()

    @property
    def label(self) -> str:
        return f"{self.kind} {self.name}"


@dataclass(frozen=True)
class _Comparison:
    """Two schemas, told apart."""

    missing: tuple[_Item, ...]
    added: tuple[_Item, ...]
    pairs: tuple[tuple[_Item, _Item], ...]  # of one name, and different


def difference(before: Catalog, after: Catalog) -> tuple[str, ...]:
    """Every difference in a sentence, tables first."""
    found = _compare(before, after)
    told = [(_rank(item), f"{label} is missing") for item, label in _labelled(_speaking(found.missing))]
    told += [(_rank(item), f"{label} is left behind") for item, label in _labelled(_speaking(found.added))]
    told += [(_rank(old), _change(old, new)) for old, new in found.pairs if not _is_reworded(old, new)]
    return tuple(sentence for _, sentence in sorted(told))


def rewordings(before: Catalog, after: Catalog) -> tuple[str, ...]:
    """What reads differently and says the same: worth a warning."""
    told = [(_rank(old), _change(old, new)) for old, new in _compare(before, after).pairs if _is_reworded(old, new)]
    return tuple(f"{sentence}, which says the same" for _, sentence in sorted(told))


def _compare(before: Catalog, after: Catalog) -> _Comparison:
    tables = _tables((*before.items, *after.items))
    mine, theirs = ({item for line in found.items for item in _items(line, tables)} for found in (before, after))
    missing, added = mine - theirs, theirs - mine
    known = Counter(item.key for item in missing), Counter(item.key for item in added)
    paired = {key for key, count in known[0].items() if (count, known[1][key]) == (1, 1)}
    new = {item.key: item for item in added if item.key in paired}
    return _Comparison(
        tuple(item for item in missing if item.key not in paired),
        tuple(item for item in added if item.key not in paired),
        tuple((item, new[item.key]) for item in missing if item.key in paired),
    )


def _tables(lines: tuple[str, ...]) -> list[str]:
    """The names of all tables, the longest first. SQLite's are printed bare, with whatever is in them."""
    columns = [line for line in lines if line.startswith("column ")]
    found: set[str] = set()
    for line in lines:
        kind, rest = _kind(line.partition(DEFINED_AS)[0])
        if kind in _TABLES:
            bare = " " in rest and any(column.startswith(f"column {rest}.") for column in columns)
            match = None if bare else _QUALIFIED.match(rest)
            found.add(rest[: match.end()] if match is not None else rest)
    return sorted(found, key=len, reverse=True)


def _kind(head: str) -> tuple[str, str]:
    kind = next((kind for kind in _KINDS if " " in kind and head.startswith(kind + " ")), head.partition(" ")[0])
    return kind, head[len(kind) + 1 :]


def _items(line: str, tables: list[str]) -> list[_Item]:
    head, _, sql = line.partition(DEFINED_AS)
    kind, rest = _kind(head)
    name = _name(kind, rest, tables)
    item = _Item(kind, name, rest[len(name) :].strip(), sql)
    part = _PART.match(item.facts) if kind == "table" and name.startswith("`") and item.facts else None
    return [item] if part is None else [_Item("table", name, "", ""), _part(name, part)]


def _part(table: str, found: re.Match[str]) -> _Item:
    """A line of a CREATE TABLE, as MariaDB's catalog has them."""
    word, name, rest = (found[group] or "" for group in ("word", "name", "rest"))
    if not name:
        return _Item("primary key" if word else "options", f"of {table}", rest.strip(), "")
    kind = {"": "column", "CONSTRAINT": "constraint"}.get(word, "index")
    return _Item(kind, f"{table}.{name}", f"{word if kind == 'index' else ''}{rest}".strip(), "")


def _name(kind: str, rest: str, tables: list[str]) -> str:
    if kind in _WHOLE:
        return rest
    if kind in _TABLES:
        return next((table for table in tables if rest == table or rest.startswith(f"{table} ")), rest)
    if kind == "foreign key":
        return rest.partition(" on update ")[0]
    if kind == "primary key":
        return rest.partition(" (")[0]
    table = next((table for table in tables if rest.startswith(f"{table}.")), "")
    found = _QUALIFIED.match(rest, len(table) + 1 if table else 0)
    return rest[: found.end()] if found is not None else rest


def _labelled(items: list[_Item]) -> list[tuple[_Item, str]]:
    """With the whole line where the name alone does not tell two of them apart."""
    known = Counter(item.key for item in items)
    return [(item, item.label if known[item.key] == 1 else f"{item.label} {item.said}".strip()) for item in items]


def _speaking(items: tuple[_Item, ...]) -> list[_Item]:
    """Without what goes with a table, or a sequence with its column, that is told already."""
    tables = [item.name for item in items if item.kind in _TABLES]
    columns = [item.name for item in items if item.kind == "column"]
    return [
        item
        for item in items
        if item.kind in _TABLES or not any(_belongs(item, table) for table in tables)
        if not any(item.facts.endswith(f"owned by {column}") for column in columns)
    ]


def _belongs(item: _Item, table: str) -> bool:
    if item.kind in {"column", "constraint", "trigger", "rule", "policy", "index"} and item.name.startswith(
        f"{table}."
    ):
        return True
    own = rf"(?<![\w.\"]){re.escape(table)}(?![\w\"])"
    match item.kind:
        case "index":
            return bool(re.search(rf"\bon (?:only )?{own}", item.said, re.IGNORECASE))
        case "foreign key":
            return item.name.startswith((f"{table} ", f"{table.lower()} "))
        case "primary key" | "unique constraint":
            return item.name.startswith(f"on {table} (") or item.name in {f"on {table}", f"of {table}"}
        case "options":
            return item.name == f"of {table}"
        case "trigger":
            return f"{item.facts} ".startswith(f"on {table} ")
        case "sequence":
            return f"owned by {table}." in item.facts
        case "inherits" | "published":
            return bool(re.search(own, item.name))
        case "statistics":
            return bool(re.search(rf"\bFROM {own}", item.sql))
        case _:
            return False


def _is_reworded(old: _Item, new: _Item) -> bool:
    return old.facts == new.facts and bool(old.sql) and bool(new.sql) and is_reworded(old.sql, new.sql)


def _change(old: _Item, new: _Item) -> str:
    if _HASH.split(old.said)[0] == _HASH.split(new.said)[0]:
        return f"{old.label} has another definition"
    before, after = _shortened(old.said, new.said)
    return f"{old.label}: {before or 'nothing more'} became {after or 'nothing more'}"


def _shortened(one: str, other: str) -> tuple[str, str]:
    """Both, from a little before where they part."""
    if max(len(one), len(other)) <= _SHOWN:
        return one, other
    pairs = zip(one, other, strict=False)
    apart = next((place for place, (mine, theirs) in enumerate(pairs) if mine != theirs), min(len(one), len(other)))
    start = max(apart - _CONTEXT, 0)
    return _window(one, start), _window(other, start)


def _window(text: str, start: int) -> str:
    shown = text[start : start + _SHOWN]
    return ("…" if start else "") + shown + ("…" if start + _SHOWN < len(text) else "")


def _rank(item: _Item) -> tuple[int, str]:
    place = _KINDS.index(item.kind) if item.kind in _KINDS else len(_KINDS)
    return place, item.label
