"""A PostgreSQL dump put into a fresh database, by several pg_restore at once.

`pg_restore --jobs` must seek for rows, and cannot in an archive that was compressed by a pipe. So the sections come one
after the other: the schema and the indexes from a copy of the archive's head, where all but the rows stands; the rows by
several processes, each of which is given the whole archive and takes its share of the tables out of it. Who is done with
them builds indexes on them for as long as others are not.
It must not judge what pg_restore complains of.
"""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
import threading
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from dbmigration_runner.engines.dump_streams import POLL_SECONDS, StoredFile
from dbmigration_runner.engines.long_work import patiently
from dbmigration_runner.engines.postgresql_catalog import plain_indexes
from dbmigration_runner.engines.postgresql_shares import Share, early_indexes, lines, numbers, rights, shares

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dbmigration_runner.engines.postgresql_dump import PostgreSQLDump
    from dbmigration_runner.engines.restore import Wanted

HEAD_BYTES = 1 << 20  # that much is tried first, then twice as much each time
LONGEST_HEAD_BYTES = 256 << 20  # of a hundred thousand tables it takes a tenth


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
        last, unlisted = _listed(dump, head, "post-data", alive)
        complaints = [unlisted, _over(dump, ["--section=pre-data", *plain, str(head)], alive)[1]]
        rows = _Rows(dump, path, head, plain, is_strict=is_strict)
        if not (is_strict and any(complaints)):
            indexed = plain_indexes(wanted.catalog) if wanted.catalog is not None else {}
            divided = shares(listed, wanted.sizes, workers)
            rows.restore(divided, early_indexes(last, divided, indexed), alive)
            complaints += rows.complaints
        if not (is_strict and any(complaints)):
            # Before a materialized view is filled, which its owner may do only with rights on what it reads.
            script, unread = _rights(dump, head, alive)
            complaints.append(unread)
            grant(script)
            if left := [number for number in numbers(last) if number not in rows.built]:
                complaints.append(_over(dump, [_list_of(head, left), f"--jobs={workers}", *plain, str(head)], alive)[1])
    return Loaded(_one_of(path, rows.hashes), "".join(complaints))


def _rights(dump: PostgreSQLDump, head: Path, alive: Callable[[], None]) -> tuple[bytes, str]:
    """The script that gives them, and complaints."""
    listed, complaints = _over(dump, ["--list", str(head)], alive)
    entries = rights(lines(listed))
    if complaints or not entries:
        return b"", complaints
    return _over(dump, [_list_of(head, entries), "--file=-", str(head)], alive)


@dataclass
class _Rows:
    """All shares of the rows at once, and what of their indexes is built meanwhile.

    `hashes` are of the archive, as each process read it.
    """

    dump: PostgreSQLDump
    path: Path
    head: Path
    options: list[str]
    is_strict: bool
    hashes: set[str] = field(default_factory=set)
    complaints: list[str] = field(default_factory=list)
    built: set[str] = field(default_factory=set)
    _loading: set[tuple[str, ...]] = field(default_factory=set)
    _ended: threading.Event = field(default_factory=threading.Event)

    def restore(self, divided: list[Share], early: list[list[str]], alive: Callable[[], None]) -> None:
        """Each share, and then its indexes, by a thread of its own. Raises what `alive` raises."""
        self._loading = {share.entries for share in divided}
        works = [partial(self._one, share, keys) for share, keys in zip(divided, early, strict=True)]
        with contextlib.suppress(_FailedError):
            if works:
                patiently(*works, alive=alive, cancel=self._ended.set)

    def _one(self, share: Share, keys: list[str]) -> None:
        options = [_list_of(self.head, share.entries), *self.options]
        archive, complaints = self.dump.restore(self.path, options, self._go_on, lambda _: None)
        self._loading.discard(share.entries)
        self.hashes.add(archive.sha256)
        self._tell(complaints)
        for key in keys:
            # The rest is built by all processes together; and all, where a newer pg_restore says what the server does not know.
            if not self._loading or not self.is_strict:
                return
            options = ["--single-transaction", _list_of(self.head, [key]), *self.options, str(self.head)]
            # Whatever keeps it from being built: with all rights, behind all rows, it is tried again.
            if not _over(self.dump, options, self._go_on)[1]:
                self.built.add(key)

    def _tell(self, complaints: str) -> None:
        if complaints:
            self.complaints.append(complaints)
            if self.is_strict:
                raise _FailedError

    def _go_on(self) -> None:
        if self._ended.is_set():
            raise _FailedError


def _take_head(dump: PostgreSQLDump, path: Path, head: Path, alive: Callable[[], None]) -> tuple[list[str], str]:
    """Copy as much of the archive as holds its list of contents: the part of that list that tells of rows, and complaints."""
    due = HEAD_BYTES
    with dump.stored(path) as archive, head.open("wb") as file:
        try:
            for chunk in archive.chunks():
                file.write(chunk)
                if file.tell() < due:
                    continue
                file.flush()
                listed, complaints = _listed(dump, head, "data", alive)
                due *= 2
                if not complaints or due > LONGEST_HEAD_BYTES:
                    return listed, complaints
        except ValueError as error:
            return [], f"pg_restore: error: it cannot be decompressed: {error}\n"
    return _listed(dump, head, "data", alive)


def _listed(dump: PostgreSQLDump, head: Path, section: str, alive: Callable[[], None]) -> tuple[list[str], str]:
    """The lines of the list of contents that tell of one section, and complaints."""
    listed, complaints = _over(dump, ["--list", f"--section={section}", str(head)], alive)
    return lines(listed), complaints


def _list_of(head: Path, entries: Sequence[str]) -> str:
    """The option that restores these entries alone, of which none is in another list."""
    file = head.with_name(f"from-{entries[0]}")
    file.write_text("\n".join(entries) + "\n")
    return f"--use-list={file}"


def _over(dump: PostgreSQLDump, options: list[str], alive: Callable[[], None]) -> tuple[bytes, str]:
    """pg_restore over a file that it may seek in: what it printed, and its complaints where it failed."""
    with dump.pg_restore(options, stdin=subprocess.DEVNULL) as (process, complaints):
        while True:
            try:
                printed, _ = process.communicate(timeout=POLL_SECONDS)
                break
            except subprocess.TimeoutExpired:
                alive()
        return printed, dump.faults(process, complaints)


def _one_of(path: Path, hashes: set[str]) -> str:
    """What all processes read; of an archive without rows, what stands there."""
    if len(hashes) > 1:
        return ""  # it changed between two of them, and is nothing that was ever verified
    if hashes:
        return hashes.pop()
    with StoredFile(path) as archive:
        archive.exhaust()
        return archive.sha256
