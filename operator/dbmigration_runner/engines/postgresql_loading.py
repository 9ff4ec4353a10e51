"""A PostgreSQL dump put into a fresh database, by several pg_restore at once.

`pg_restore --jobs` must seek for rows, and cannot in an archive that was compressed by a pipe. So the sections come one
after the other: the schema and the indexes from a copy of the archive's head, where all but the rows stands; the rows by
several processes, each of which is given the whole archive and takes its share of the tables out of it.
It must not judge what pg_restore complains of.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
import threading
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from dbmigration_runner.engines.dump_streams import POLL_SECONDS, StoredFile
from dbmigration_runner.engines.long_work import patiently
from dbmigration_runner.engines.postgresql_copy import qualified

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from dbmigration_runner.engines.postgresql_dump import PostgreSQLDump
    from dbmigration_runner.engines.restore import Wanted

HEAD_BYTES = 1 << 20  # that much is tried first, then twice as much each time
LONGEST_HEAD_BYTES = 256 << 20  # of a hundred thousand tables it takes a tenth
_LIST = ("--list", "--section=data")
_RIGHTS = re.compile(r"(\d+); \d+ \d+ (?:DEFAULT )?ACL ")
_ENTRY = re.compile(r"(\d+); \d+ \d+ (TABLE DATA )?(.*)")


@dataclass(frozen=True)
class Loaded:
    """`sha256` is of the archive as it was read; `complaints` are pg_restore's, "" where it has none."""

    sha256: str
    complaints: str


class _FailedError(Exception):
    """One process did not do its share: the others need not go on."""


def load(
    dump: PostgreSQLDump,
    wanted: Wanted,
    options: list[str],
    workers: int,
    alive: Callable[[], None],
    *,
    grant: Callable[[bytes], None],
) -> Loaded:
    """All of the wanted archive. `options` say where to, and whether the first error ends it.

    `grant` is given a script of all rights when the tables are full, in the archive's own encoding: see postgresql_rights.py.
    Raises what `alive` and `grant` raise.
    """
    path = wanted.path
    is_strict = "--exit-on-error" in options
    plain = ["--no-privileges", *options]
    with tempfile.TemporaryDirectory(prefix="dbmigration-") as folder:
        head = Path(folder, "head")
        listed, unread = _take_head(dump, path, head, alive)
        if unread:
            return Loaded(_one_of(path, set()), unread)
        complaints = [_over(dump, ["--section=pre-data", *plain, str(head)], alive)[1]]
        hashes: set[str] = set()
        if not (is_strict and complaints[0]):
            found = shares(listed.decode(errors="replace").splitlines(), wanted.sizes, workers)
            lists = [_written(Path(folder, f"share-{number}"), share) for number, share in enumerate(found)]
            hashes, told = _rows(
                dump, path, [[f"--use-list={file}", *plain] for file in lists], alive, is_strict=is_strict
            )
            complaints += told
        if not (is_strict and any(complaints)):
            # Before a materialized view is filled, which its owner may do only with rights on what it reads.
            grant(_rights(dump, head, alive))
            complaints.append(_over(dump, ["--section=post-data", f"--jobs={workers}", *plain, str(head)], alive)[1])
    return Loaded(_one_of(path, hashes), "".join(complaints))


def _rights(dump: PostgreSQLDump, head: Path, alive: Callable[[], None]) -> bytes:
    """The script that gives them."""
    listed = _over(dump, ["--list", str(head)], alive)[0].decode(errors="replace")
    entries = [entry[1] for line in listed.splitlines() if (entry := _RIGHTS.match(line))]
    file = _written(head.with_name("rights"), entries)
    return _over(dump, [f"--use-list={file}", "--file=-", str(head)], alive)[0] if entries else b""


def _written(file: Path, entries: list[str]) -> Path:
    file.write_text("\n".join(entries) + "\n")
    return file


def shares(listed: Iterable[str], sizes: Mapping[str, int], workers: int) -> list[list[str]]:
    """Numbers of entries in an archive's list, divided so that each share has about as many bytes; in the archive's order. Pure.

    What is no table's rows stays together, for a large object needs what is said of it before.
    """
    entries = [entry for line in listed if (entry := _ENTRY.match(line)) and not _RIGHTS.match(line)]
    weights = [next((sizes[name] for name in _names(entry[3]) if name in sizes), 0) for entry in entries]
    tables = [place for place, entry in enumerate(entries) if entry[2]]
    divided: list[list[int]] = [[] for _ in range(workers)]
    divided[0] += set(range(len(entries))).difference(tables)
    given = [0] * workers
    for place in sorted(tables, key=weights.__getitem__, reverse=True):
        least = min(range(workers), key=lambda share: (given[share], len(divided[share])))
        divided[least].append(place)
        given[least] += weights[place]
    return [[entries[place][1] for place in sorted(share)] for share in divided if share]


def _names(told: str) -> Iterator[str]:
    """What table `schema table owner` may mean: a name can have spaces."""
    words = told.split(" ")
    for owner in range(len(words) - 1, 1, -1):
        for table in range(1, owner):
            yield qualified(" ".join(words[:table]), " ".join(words[table:owner]))


def _rows(
    dump: PostgreSQLDump, path: Path, jobs: list[list[str]], alive: Callable[[], None], *, is_strict: bool
) -> tuple[set[str], list[str]]:
    """All shares at once: the hashes of what each process read, and what they complained of."""
    over = threading.Event()

    def go_on() -> None:
        if over.is_set():
            raise _FailedError

    def one(options: list[str]) -> tuple[str, str]:
        archive, complaints = dump.restore(path, options, go_on, lambda _: None)
        if complaints and is_strict:
            raise _FailedError(archive.sha256, complaints)
        return archive.sha256, complaints

    if not jobs:
        return set(), []
    try:
        ended = patiently(*(partial(one, options) for options in jobs), alive=alive, cancel=over.set)
    except _FailedError as failed:
        sha256, complaints = failed.args
        return {sha256}, [complaints]
    return {sha256 for sha256, _ in ended}, [complaints for _, complaints in ended]


def _take_head(dump: PostgreSQLDump, path: Path, head: Path, alive: Callable[[], None]) -> tuple[bytes, str]:
    """Copy as much of the archive as holds its list of contents: the part of that list that tells of rows, and complaints."""
    due = HEAD_BYTES
    with dump.stored(path) as archive, head.open("wb") as file:
        try:
            for chunk in archive.chunks():
                file.write(chunk)
                if file.tell() < due:
                    continue
                file.flush()
                listed, complaints = _over(dump, [*_LIST, str(head)], alive)
                due *= 2
                if not complaints or due > LONGEST_HEAD_BYTES:
                    return listed, complaints
        except ValueError as error:
            return b"", f"pg_restore: error: it cannot be decompressed: {error}\n"
    return _over(dump, [*_LIST, str(head)], alive)


def _over(dump: PostgreSQLDump, options: list[str], alive: Callable[[], None]) -> tuple[bytes, str]:
    """pg_restore over a file that it may seek in: what it printed, and its complaints where it failed."""
    with dump.pg_restore(options, stdin=subprocess.DEVNULL) as (process, complaints):
        while True:
            try:
                printed, _ = process.communicate(timeout=POLL_SECONDS)
                break
            except subprocess.TimeoutExpired:
                alive()
        return printed, complaints() if process.returncode else ""


def _one_of(path: Path, hashes: set[str]) -> str:
    """What all processes read; of an archive without rows, what stands there."""
    if len(hashes) > 1:
        return ""  # it changed between two of them, and is nothing that was ever verified
    if hashes:
        return hashes.pop()
    with StoredFile(path) as archive:
        archive.exhaust()
        return archive.sha256
