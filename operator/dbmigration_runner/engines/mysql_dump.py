"""A MariaDB database as one archive of SQL: by the server's own mariadb-dump, several at once, all of one instant.

A role with all rights on its own database alone is enough. The snapshots are begun under a READ lock of its tables that lasts
as long as the programs take to begin (mysql_instant); DDL is in no snapshot, so the run's lock keeps it away, and the schema
is compared before and after for whoever does not ask for that. What lies in the file tells mysql_archive.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from dbmigration_runner.contract.heads import named
from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.engines import mysql_archive as archive
from dbmigration_runner.engines import mysql_keys, mysql_probe, mysql_surroundings, mysql_tables, writes
from dbmigration_runner.engines.dump import Decoded, Probe, Snapshot, Stored
from dbmigration_runner.engines.dump_streams import StoredFile
from dbmigration_runner.engines.messages import short
from dbmigration_runner.engines.mysql_catalog import catalog
from dbmigration_runner.engines.mysql_instant import ReadLock, lock_for_reading, lock_the_others, position
from dbmigration_runner.engines.mysql_readme import README
from dbmigration_runner.engines.mysql_sql import StatementCounter, without_name
from dbmigration_runner.engines.mysql_streams import SCHEMA, Streams, arguments, of_rows, run
from dbmigration_runner.engines.mysql_tables import Inventory, Stream
from dbmigration_runner.engines.mysql_tools import Tools, choose, installed, option_file, series_of
from dbmigration_runner.errors import Refusal, RunnerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from dbmigration_runner.engines.interface import Engine, Lock, Session

LEAST_WORKERS, MOST_WORKERS = 2, 4
_SMALLEST_SHARE = 50  # zstd 1 makes a fiftieth of the most repetitive rows that we have seen
_VALUES = (b"DO SETVAL(", b"SELECT SETVAL(")
_NO_ROWS = ("--no-data", "--skip-triggers")
_NO_TABLES = ("--no-data", "--no-create-info")


def dump_for(engine: Engine, admin: Engine | None, lock: Lock) -> MySQLDump:
    """See engines.dump.dump_for. With an admin URL the dump goes by it too: it sees what the role may not."""
    source = _beside(engine, admin) if admin is not None else engine
    with source.connect() as session:
        if source is not engine and not _is_seen(session, lock):
            raise Refusal(
                RunnerReason.WRONG_DATABASE,
                "adminUrlFrom leads to another server than urlFrom: the lock that is held by the one is not seen by the other.",
            )
        tools = choose(installed(), series_of(str(session.value("SELECT VERSION()"))))
    return MySQLDump(source, tools)


def _beside(engine: Engine, admin: Engine) -> Engine:
    """The admin's access to the database that is to be dumped: his own URL may name another one to work from, or none."""
    from dbmigration_runner.engines.mysql import MySQL

    return MySQL(admin.url.set(database=engine.url.database), "dbmigration/backup")


def _is_seen(session: Session, lock: Lock) -> bool:
    proof = lock.proof["lock"].encode().hex()
    return str(session.value(f"SELECT IS_USED_LOCK(_utf8mb4 X'{proof}')")) == lock.proof["session"]


class MySQLDump:
    """See dump.Dump."""

    engine = "mysql"
    suffix = ".sql.tar"

    def __init__(self, source: Engine, tools: Tools) -> None:
        self._source = source
        self._tools = tools
        self._database = str(source.url.database)
        self._inventory = Inventory(())
        self._snapshot: Snapshot | None = None
        self._version_table = ""
        self._notes: tuple[str, ...] = ()
        self.tool = f"mariadb-dump {tools.version}, zstd"

    @contextlib.contextmanager
    def snapshot(self, version_table: str) -> Iterator[Snapshot]:
        """See dump.Dump. The instant itself is taken by `write`, which sees to it that what was read here holds there."""
        with self._source.connect() as session:
            mysql_surroundings.refuse_narrow_rights(session)
            inventory = mysql_tables.read(session)
            _refuse_line_breaks(inventory)
            snapshot = Snapshot(
                heads=self._source.heads(session, version_table),
                catalog=catalog(session),
                tables=frozenset(table.name for table in inventory.tables),
                data_bytes=inventory.size_bytes,
                least_bytes=inventory.size_bytes // _SMALLEST_SHARE,
                server_version=self._source.facts(session).server_version,
                surroundings=mysql_surroundings.read(session),
                marks=writes.marks(self.engine, session),
            )
        self._inventory, self._snapshot, self._version_table, self._notes = inventory, snapshot, version_table, ()
        yield snapshot

    def write(self, path: Path, alive: Callable[[], None]) -> Stored:
        """See dump.Dump."""
        new = archive.NewArchive(path)
        try:
            try:
                self._fill(new, alive)
                return new.finish()
            except BaseException:
                new.abandon()
                raise
        finally:
            new.close()

    def _fill(self, new: archive.NewArchive, alive: Callable[[], None]) -> None:
        there = self._inventory
        with option_file(self._source.url) as options:

            def text_of(more: tuple[str, ...], *names: str) -> bytes:
                return run(arguments(self._tools.dump, options, self._database, (*SCHEMA, *more), names), alive)

            def rows_of(stream: Stream) -> list[str]:
                names = [table.name for table in stream.tables]
                return arguments(self._tools.dump, options, self._database, of_rows(stream), names)

            new.add(archive.README, README)
            tables = [table.name for table in there.tables]
            created = (
                text_of((*_NO_ROWS, "--skip-comments"), *there.sequences, *tables) if there.sequences or tables else b""
            )
            tables_alone, keys = mysql_keys.apart(without_name(created, self._database))
            new.add(archive.TABLES, _compressed(tables_alone))
            self._rows(rows_of, new.add_rows, alive)
            new.add(archive.KEYS, _compressed(keys))
            # After the rows, or one of them might have a number that the sequence gives once more.
            values = text_of(_NO_ROWS, *there.sequences) if there.sequences else b""
            programs = [b"".join(line for line in values.splitlines(keepends=True) if line.startswith(_VALUES))]
            programs.append(text_of((*_NO_TABLES, "--triggers", "--routines")))
            if there.views:
                programs.append(text_of(_NO_ROWS, *there.views))
            new.add(archive.PROGRAMS, _compressed(b"".join(programs)))
            new.add(archive.EVENTS, _compressed(text_of((*_NO_TABLES, "--skip-triggers", "--events"))))
        self._refuse_changed()

    def _rows(
        self, commands: Callable[[Stream], list[str]], piece: Callable[[bytes], None], alive: Callable[[], None]
    ) -> None:
        """Dump the rows, all of one instant. The locks go as soon as nothing needs them."""
        streams = self._divided()
        if not streams:
            return
        with contextlib.ExitStack() as held:
            others = tuple(table for table in self._inventory.tables if not table.is_transactional)
            lasting = lock_the_others(self._source, others, alive)
            if lasting is not None:
                held.callback(lasting.release)
                self._note(
                    f"locked while they were read, for they are in no snapshot: {', '.join(t.name for t in others)}"
                )
            brief = self._brief_lock(streams, alive) if len(streams) > 1 else None
            if isinstance(brief, ReadLock):
                held.callback(brief.release)
            elif brief is not None:
                self._note(f"one session dumped all tables, one after the other: {brief}")
                streams = self._undivided()
            if shortened := mysql_tables.shortened(streams):
                self._note(
                    f"FLOAT columns are dumped with the six digits that the server prints: {', '.join(shortened)}"
                )
            flowing = held.enter_context(Streams(commands, streams, piece))
            flowing.start(alive)
            self._refuse_moved()
            if isinstance(brief, ReadLock):
                brief.check()  # only if it is still there did nobody write meanwhile
                self._note_position()
                brief.release()

            kept = [lasting] if lasting is not None else []

            def release() -> None:
                """Once: it is asked again and again, as long as the others flow."""
                if kept and flowing.are_over(lambda stream: not stream.is_snapshot):
                    held_lock = kept.pop()
                    held_lock.check()
                    held_lock.release()

            flowing.finish(alive, release)

    def _brief_lock(self, streams: list[Stream], alive: Callable[[], None]) -> ReadLock | str:
        tables = [table for stream in streams for table in stream.tables if table.is_transactional]
        return lock_for_reading(self._source, dict.fromkeys(tables), alive)

    def _divided(self) -> list[Stream]:
        workers = min(max(os.cpu_count() or 1, LEAST_WORKERS), MOST_WORKERS)
        tables = self._inventory.tables
        share = mysql_tables.share_of(self._inventory.size_bytes, workers)
        divided: list[Stream] = []
        with self._source.connect() as session:
            for stream in mysql_tables.divide(tables, workers):
                (table, *more) = stream.tables
                pieces = -int(-stream.size_bytes // share)
                if more or pieces < 2 or not table.key or not table.is_transactional:  # noqa: PLR2004
                    divided.append(stream)
                    continue
                least, most = session.rows(mysql_tables.bounds(table))[0]
                conditions = mysql_tables.ranges(table.key, least or 0, most or 0, pieces)
                divided += [Stream((table,), condition, stream.size_bytes // pieces) for condition in conditions]
        return divided

    def _undivided(self) -> list[Stream]:
        """What is in a snapshot by one program; what is locked anyhow by others."""
        tables = self._inventory.tables
        found = [
            mysql_tables.together(table for table in tables if table.is_transactional is kind) for kind in (True, False)
        ]
        return [stream for stream in found if stream.tables]

    def _note(self, text: str) -> None:
        self._notes = (*self._notes, short(text))

    def _note_position(self) -> None:
        with self._source.connect() as session:
            where = position(session)
        if where:
            self._note(f"binary log at the snapshot: {where}")

    def _refuse_moved(self) -> None:
        """The heads that were read before the snapshot are those of it, if they are still the same after it."""
        assert self._snapshot is not None  # noqa: S101  # within snapshot()
        with self._source.connect() as session:
            heads = self._source.heads(session, self._version_table)
        if heads != self._snapshot.heads:
            raise Refusal(
                RunnerReason.DATABASE_MOVED,
                f"The database went from {named(self._snapshot.heads)} to {named(heads)} while its backup began: "
                "somebody else migrated it. A new plan is needed.",
            )

    def _refuse_changed(self) -> None:
        assert self._snapshot is not None  # noqa: S101  # within snapshot()
        with self._source.connect() as session:
            difference = self._snapshot.catalog.difference(catalog(session))
        if difference:
            raise RunnerError(
                RunnerReason.BACKUP_FAILED,
                short(f"Somebody changed the schema while it was dumped, without the run's lock: {difference}"),
            )

    def decode(self, path: Path, alive: Callable[[], None], read: Callable[[int], None] = lambda _: None) -> Decoded:
        """See dump.Dump."""
        counts: dict[str, int] = {}
        decoded_bytes, fault = 0, ""
        with StoredFile(path) as file:

            def heard(content: Iterator[bytes]) -> Iterator[bytes]:
                for chunk in content:
                    alive()
                    read(file.size_bytes)
                    yield chunk

            try:
                for name, content in archive.ArchiveReader(file).members():
                    if name.endswith(".zst"):
                        decoded_bytes += _count(name, heard(content), counts)
            except archive.ArchiveError as error:
                fault = str(error)
            while file.read():
                alive()
            read(file.size_bytes)
        return Decoded(file.size_bytes, file.sha256, decoded_bytes, counts, short(fault), self._notes)

    def probe(self, path: Path, snapshot: Snapshot, alive: Callable[[], None]) -> Probe:
        """See dump.Dump."""
        return mysql_probe.probe(self._source, self._tools, path, snapshot, alive)


def _count(name: str, content: Iterator[bytes], counts: dict[str, int]) -> int:
    """Add the rows of a member to those of the members before it; how many bytes of text it was."""
    counter = StatementCounter()
    archive.decompressed(content, counter.feed)
    if not counter.is_complete:
        raise archive.ArchiveError(f"the last statement of {name} does not end")
    for table, rows in counter.rows.items():
        counts[table] = counts.get(table, 0) + rows
    return counter.size_bytes


def _compressed(text: bytes) -> bytes:
    import zstandard

    return zstandard.ZstdCompressor(level=1, write_checksum=True).compress(text)


def _refuse_line_breaks(inventory: Inventory) -> None:
    names = {*inventory.sequences, *inventory.views}
    for table in inventory.tables:
        names |= {table.name, *(column.name for column in table.columns)}
    hostile = sorted(name for name in names if "\n" in name or "\r" in name)
    if hostile:
        raise Refusal(
            RunnerReason.BACKUP_FAILED,
            short(f"A name with a line break cannot be dumped: {', '.join(map(repr, hostile))}. Rename it."),
        )
