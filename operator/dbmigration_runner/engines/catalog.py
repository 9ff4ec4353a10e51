"""What a schema is, as sorted lines of text that two copies of it share, and their fingerprint.

The engines' `<name>_catalog.py` read the lines. This module must not know an engine, and the lines hold names and
definitions only, never a row of data.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

CATALOG_VERSION = 1  # of the lines' form: digests of two versions are not comparable
DIFFERENCES_SHOWN = 5
DEFINED_AS = " := "  # between an object and SQL that the server printed


@dataclass(frozen=True)
class Catalog:
    """A schema: one line an object (`table public.orders`, `column public.orders.total numeric(10,2) not null`)."""

    items: tuple[str, ...]

    @cached_property
    def digest(self) -> str:
        """`<version>:<SHA-256 of the lines>`; equal for a schema and its restored copy."""
        return f"{CATALOG_VERSION}:{hashlib.sha256(chr(10).join(self.items).encode()).hexdigest()}"

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
        signed = [f"-{item}" for item in self.missing] + [f"+{item}" for item in self.added]
        more = len(signed) - DIFFERENCES_SHOWN
        return "; ".join(signed[:DIFFERENCES_SHOWN]) + (f"; and {more} more" if more > 0 else "")
