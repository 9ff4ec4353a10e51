"""Who restores what of a PostgreSQL archive: the entries of its list of contents, divided between several processes. Pure.

The list tells no index's table: the schema's catalog does. What cannot be told apart is restored later than it could be, and
must never be left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dbmigration_runner.engines.postgresql_copy import qualified

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

_RIGHTS = re.compile(r"(\d+); \d+ \d+ (?:DEFAULT )?ACL ")
_ENTRY = re.compile(r"(\d+); \d+ \d+ (TABLE DATA )?(.*)")
# A key's index has the key's name. A name with spaces is left out: nobody knows where it ends.
_INDEX = re.compile(r"(\d+); \d+ \d+ (?:INDEX (\S+)|CONSTRAINT (\S+) (\S+)) (\S+) \S+")
_NUMBER = re.compile(r"(\d+); ")
LEAST_BYTES = 16 << 20  # of rows: an index on fewer is built in the time that a process takes to start


@dataclass(frozen=True)
class Share:
    """What one process restores: numbers of entries in the archive's order, and the bytes of its tables that are known."""

    entries: tuple[str, ...]
    tables: Mapping[str, int]

    @property
    def size(self) -> int:
        """Bytes, of all its tables."""
        return sum(self.tables.values())


def lines(listed: bytes) -> list[str]:
    """What pg_restore lists, an entry a line: it writes a name's line breaks as spaces, but not what Unicode has for such."""
    return listed.decode(errors="replace").split("\n")


def shares(listed: Iterable[str], sizes: Mapping[str, int], workers: int) -> list[Share]:
    """The rows of an archive, of which `listed` tells, divided so that each share has about as many bytes.

    What is no table's rows stays together, for a large object needs what is said of it before.
    """
    entries = [entry for line in listed if (entry := _ENTRY.match(line)) and not _RIGHTS.match(line)]
    names = [next((name for name in _names(entry[3]) if name in sizes), "") for entry in entries]
    tables = [place for place, entry in enumerate(entries) if entry[2]]
    divided: list[list[int]] = [[] for _ in range(workers)]
    divided[0] += set(range(len(entries))).difference(tables)
    given = [0] * workers
    for place in sorted(tables, key=lambda place: sizes.get(names[place], 0), reverse=True):
        least = min(range(workers), key=lambda share: (given[share], len(divided[share])))
        divided[least].append(place)
        given[least] += sizes.get(names[place], 0)
    return [
        Share(
            tuple(entries[place][1] for place in sorted(places)),
            {names[place]: sizes[names[place]] for place in places if names[place]},
        )
        for places in divided
        if places
    ]


def early_indexes(listed: Iterable[str], divided: Sequence[Share], indexed: Mapping[str, str]) -> list[list[str]]:
    """For each share the numbers of the indexes and keys, of all that `listed` tells, to be built once it is restored.

    The largest tables' first, and as many as should be there before the largest share is: an index takes no longer than the
    rows that it is on. `indexed` gives the table of an index, both by their qualified names.
    """
    keys = [(table, number) for number, table in _tables_of_indexes(listed, indexed)]
    longest = max((share.size for share in divided), default=0)
    return [_fitting(keys, share, longest - share.size) for share in divided]


def _tables_of_indexes(listed: Iterable[str], indexed: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for entry in filter(None, map(_INDEX.fullmatch, listed)):
        number, schema, schema_of_key, table_of_key, name = entry.groups()
        table = indexed.get(qualified(schema or schema_of_key, name))
        # PostgreSQL 18 lists a NOT NULL that is not validated as it does a key, and it may have the name of another's index.
        if table is not None and (schema or table == qualified(schema_of_key, table_of_key)):
            yield number, table


def _fitting(keys: Iterable[tuple[str, str]], share: Share, spare: int) -> list[str]:
    sized = ((share.tables.get(table, 0), number) for table, number in keys)
    fitting = []
    for size, number in sorted(sized, key=lambda one: one[0], reverse=True):
        if LEAST_BYTES <= size <= spare:
            fitting.append(number)
            spare -= size
    return fitting


def rights(listed: Iterable[str]) -> list[str]:
    """Numbers of the entries that give rights."""
    return [entry[1] for line in listed if (entry := _RIGHTS.match(line))]


def numbers(listed: Iterable[str]) -> list[str]:
    """Numbers of all entries."""
    return [entry[1] for line in listed if (entry := _NUMBER.match(line))]


def _names(told: str) -> Iterator[str]:
    """What table `schema table owner` may mean: a name can have spaces."""
    words = told.split(" ")
    for owner in range(len(words) - 1, 1, -1):
        for table in range(1, owner):
            yield qualified(" ".join(words[:table]), " ".join(words[table:owner]))
