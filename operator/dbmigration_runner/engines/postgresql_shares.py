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
    from collections.abc import Iterable, Iterator, Mapping

_RIGHTS = re.compile(r"(\d+); \d+ \d+ (?:DEFAULT )?ACL ")
_ENTRY = re.compile(r"(\d+); \d+ \d+ (TABLE DATA )?(.*)")
# A key's index has the key's name. A name with spaces is left out: nobody knows where it ends.
_INDEX = re.compile(r"(\d+); \d+ \d+ (?:INDEX (\S+)|CONSTRAINT (\S+) \S+) (\S+) \S+")
_NUMBER = re.compile(r"(\d+); ")
LEAST_BYTES = 16 << 20  # of rows: an index on fewer is built in the time that a process takes to start


@dataclass(frozen=True)
class Share:
    """What one process restores: numbers of entries in the archive's order, and the bytes of its tables that are known."""

    entries: tuple[str, ...]
    tables: Mapping[str, int]


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


def indexes(listed: Iterable[str], share: Share, indexed: Mapping[str, str]) -> list[str]:
    """Numbers of the indexes and keys, of all that `listed` tells, that can be built once a share is restored.

    Those of its large tables alone, the largest first. `indexed` gives the table of an index, both by their qualified names.
    """
    found = [
        (share.tables.get(indexed.get(qualified(entry[2] or entry[3], entry[4]), ""), 0), entry[1])
        for line in listed
        if (entry := _INDEX.fullmatch(line))
    ]
    worth_it = [one for one in found if one[0] >= LEAST_BYTES]
    return [number for _, number in sorted(worth_it, key=lambda one: one[0], reverse=True)]


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
