"""What a schema is, as sorted lines of text that two copies of it share, and its fingerprint.

The engines' `<name>_catalog.py` read the lines, of everything. The fingerprint leaves out the table in which Alembic keeps
its place, which is made before the first revision and stays behind the last: two moments of one schema differ in it, and
nothing that a revision does. This module must not know an engine, and the lines hold names and definitions only, never a
row of data.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

CATALOG_VERSION = 3  # of what is hashed, and how: fingerprints of two versions are not comparable
_READABLE = ("3:",)  # forms whose lines are written as today's: earlier ones knew fewer kinds of objects
DIFFERENCES_SHOWN = 5
_ROOM = 240  # characters: most messages that tell a difference are cut at 400
DEFINED_AS = " := "  # between an object and SQL that the server printed


def has_readable_lines(fingerprint: str) -> bool:
    """Are the lines that this fingerprint was made of written as today's are, so that they can be held beside them?"""
    return fingerprint.startswith(_READABLE)


@dataclass(frozen=True)
class Catalog:
    """A schema: one line an object (`table public.orders`, `column public.orders.total numeric(10,2) not null`)."""

    items: tuple[str, ...]

    def fingerprint(self, version_table: str) -> str:
        """`<version>:<SHA-256 of the lines>`, without those of Alembic's own table; equal for a schema and its restored copy."""
        lines = "\n".join(self.without(version_table).items)
        return f"{CATALOG_VERSION}:{hashlib.sha256(lines.encode()).hexdigest()}"

    def without(self, version_table: str) -> Catalog:
        """All but what Alembic makes to keep its place in, `[schema.]table`: the table, its columns and its key.

        Where the schema is not told it is `public`, or the first that has such a table: as the heads are looked for.
        """
        written = _written(self.items, version_table)
        return self if written is None else Catalog(tuple(item for item in self.items if not _is_of(item, written)))

    def difference(self, other: Catalog) -> Difference:
        """What this schema has and `other` has not, and the other way round."""
        mine, theirs = set(self.items), set(other.items)
        return Difference(missing=tuple(sorted(mine - theirs)), added=tuple(sorted(theirs - mine)))


@dataclass(frozen=True)
class Difference:
    """Lines of one catalog that the other has not."""

    missing: tuple[str, ...] = ()
    added: tuple[str, ...] = ()

    @property
    def is_of_wording(self) -> bool:
        """Are the same objects there, and only SQL that a server printed reads differently?"""
        return self._objects(self.missing) == self._objects(self.added)

    @staticmethod
    def _objects(items: tuple[str, ...]) -> list[str]:
        return sorted(item.partition(DEFINED_AS)[0] for item in items)

    def __bool__(self) -> bool:
        return bool(self.missing or self.added)

    def __str__(self) -> str:
        """Objects by their names, and with their SQL where that leaves room for all of them: whoever prints it cuts its end."""
        whole = self._told(with_sql=True)
        return whole if len(whole) <= _ROOM else self._told(with_sql=False)

    def _told(self, *, with_sql: bool) -> str:
        missing, added = _sql_by_object(self.missing), _sql_by_object(self.added)
        told = []
        for name, sql in missing.items():
            if name in added:
                both = f" (-{sql or 'no SQL'} +{added[name] or 'no SQL'})"
                told.append(f"{name} differs{both if with_sql else ''}")
            else:
                told.append(f"-{name}{DEFINED_AS + sql if sql and with_sql else ''}")
        told += [
            f"+{name}{DEFINED_AS + sql if sql and with_sql else ''}"
            for name, sql in added.items()
            if name not in missing
        ]
        more = len(told) - DIFFERENCES_SHOWN
        return "; ".join(told[:DIFFERENCES_SHOWN]) + (f"; and {more} more" if more > 0 else "")


def _sql_by_object(items: tuple[str, ...]) -> dict[str, str]:
    """What the server printed of each; all of it where several go by one name."""
    found: dict[str, list[str]] = {}
    for item in items:
        name, _, sql = item.partition(DEFINED_AS)
        found.setdefault(name, []).append(sql)
    return {name: " ".join(sqls) for name, sqls in found.items()}


def _written(items: tuple[str, ...], version_table: str) -> str | None:
    """The table's name as the lines spell it; None where the schema has none."""
    schema, _, table = version_table.rpartition(".")
    named = rf"(?:(?P<schema>{_spelled(schema) if schema else _ANY_NAME})\.)?{_spelled(table)}"
    pattern = re.compile(rf"(?:partitioned )?table (?P<name>{named})(?: |$)")
    found = {match["name"]: match["schema"] or "" for item in items if (match := pattern.match(item)) is not None}
    return min(found, key=lambda name: (found[name] != "public", found[name]), default=None)


_ANY_NAME = r'(?:"(?:[^"]|"")*"|[^\s".`]+)'


def _spelled(name: str) -> str:
    """A pattern for an identifier, bare or in any engine's quotes."""
    quotes = ("", '"', "`")
    return "(?:" + "|".join(re.escape(f"{q}{name.replace(q, q + q) if q else name}{q}") for q in quotes) + ")"


def _is_of(item: str, table: str) -> bool:
    head, _, sql = item.partition(DEFINED_AS)
    if head.startswith("index ") and re.search(rf" ON (?:ONLY )?{re.escape(table)} ", sql):
        return True
    begins = ("table {}", "partitioned table {}", "primary key on {}", "unique constraint on {}")
    return head.startswith((f"column {table}.", f"constraint {table}.")) or any(
        f"{head} ".startswith(f"{begin.format(table)} ") for begin in begins
    )
