"""An SQLite database as a plain copy, made by SQLite's own backup of one read transaction.

Never a copy of the file: without its -wal it lacks every row that was not checkpointed (0 of 1,000 when it was tried).
A restore is a copy back, so the file is stored as it is.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import sqlite3
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.engines import writes
from dbmigration_runner.engines.dump import Decoded, Probe, Snapshot, Stored
from dbmigration_runner.engines.dump_streams import PRIVATE, StoredFile
from dbmigration_runner.engines.messages import describe
from dbmigration_runner.engines.postgresql_names import quoted
from dbmigration_runner.engines.sqlite import SQLite
from dbmigration_runner.engines.sqlite_catalog import catalog
from dbmigration_runner.errors import RunnerError, Stopped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import Self

    from dbmigration_runner.engines.interface import Engine, Lock

BUSY_SECONDS = 60
STEP_PAGES = 16_384  # 64 MiB of the usual pages: between two steps the order to stop is heard
STEP_INSTRUCTIONS = 100_000  # of SQLite's machine, some milliseconds; a check of a large file takes minutes
FAULTS_SHOWN = 3


def dump_for(engine: Engine, admin: Engine | None, lock: Lock) -> SQLiteDump:
    """See engines.dump.dump_for; a file has no administrator."""
    del admin, lock
    if not isinstance(engine, SQLite):
        raise TypeError(engine.name)
    return SQLiteDump(engine)


class SQLiteDump:
    """See dump.Dump."""

    engine = "sqlite"
    suffix = ".sqlite"
    tool = f"SQLite {sqlite3.sqlite_version} backup"

    def __init__(self, engine: SQLite) -> None:
        self._engine = engine
        self._source: sqlite3.Connection | None = None

    @contextlib.contextmanager
    def snapshot(self, version_table: str) -> Iterator[Snapshot]:
        """See dump.Dump. The read transaction is the snapshot: a backup on the same connection copies within it."""
        path = self._engine.path
        name = uri(path, "mode=ro") if path.exists() else ":memory:"
        with opened(name) as source:
            session = BareSession(source)
            source.execute("BEGIN")
            pages, page_bytes = session.value("PRAGMA page_count"), session.value("PRAGMA page_size")
            self._source = source
            yield Snapshot(
                heads=self._engine.heads(session, version_table),
                catalog=catalog(session),
                tables=frozenset(_tables(session)),
                data_bytes=pages * page_bytes,
                least_bytes=pages * page_bytes,
                server_version=sqlite3.sqlite_version,
                marks=writes.marks(self.engine, session),
            )
            self._source = None

    def write(self, path: Path, alive: Callable[[], None]) -> Stored:
        """See dump.Dump."""
        assert self._source is not None  # noqa: S101  # within snapshot()
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, PRIVATE))
        with opened(str(path)) as copy:
            # The copy is no database until it is renamed: a journal of its own would only be left behind by a kill.
            copy.execute("PRAGMA journal_mode = OFF")
            copy.execute("PRAGMA synchronous = OFF")
            # Without its default sleep of 250 ms a step; all steps see the one transaction.
            self._source.backup(copy, pages=STEP_PAGES, progress=lambda *_: alive(), sleep=0)
        digest, size = hashlib.sha256(), 0
        with path.open("rb") as file:
            os.fsync(file.fileno())
            while chunk := file.read(1 << 20):
                digest.update(chunk)
                size += len(chunk)
        return Stored(size, digest.hexdigest())

    def decode(self, path: Path, alive: Callable[[], None], read: Callable[[int], None] = lambda _: None) -> Decoded:
        """See dump.Dump."""
        with StoredFile(path) as file:
            for _ in file.chunks():
                alive()
                read(file.size_bytes)
        try:
            with copy_of(path, alive) as session:
                faults = [str(row[0]) for row in session.rows("PRAGMA integrity_check")]
                orphans = session.rows("PRAGMA foreign_key_check")
                rows = {table: _count(session, table) for table in _tables(session)}
        except Stopped:
            raise
        except RunnerError as error:
            return Decoded(file.size_bytes, file.sha256, 0, {}, fault=error.message)
        fault = "" if faults == ["ok"] else "; ".join(faults[:FAULTS_SHOWN])
        notes = (f"{len(orphans)} rows refer to rows that are not there",) if orphans else ()
        return Decoded(file.size_bytes, file.sha256, file.size_bytes, rows, fault, notes)

    def probe(self, path: Path, snapshot: Snapshot, alive: Callable[[], None]) -> Probe:
        """See dump.Dump. The copy is what a restore would put in place: it is opened and compared."""
        with copy_of(path, alive) as session:
            difference = snapshot.catalog.difference(catalog(session))
        return (
            Probe(restorable=False, note=f"The copy has another schema: {difference}")
            if difference
            else Probe(restorable=True)
        )


class BareSession:
    """interface.Session on a bare connection: a backup needs the one that holds the transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def rows(self, statement: str, /, **parameters: Any) -> list[tuple[Any, ...]]:
        """See interface.Session."""
        return [tuple(row) for row in self._connection.execute(statement, parameters)]

    def value(self, statement: str, /, **parameters: Any) -> Any:
        """See interface.Session."""
        found = self.rows(statement, **parameters)
        return found[0][0] if found else None

    def run(self, statement: str, /) -> None:
        """See interface.Session."""
        self._connection.execute(statement)

    def close(self) -> None:
        """See interface.Session."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


@contextlib.contextmanager
def opened(name: str) -> Iterator[sqlite3.Connection]:
    """A connection in autocommit; its errors in our words, a full disk as the OSError that it is."""
    try:
        connection = sqlite3.connect(name, timeout=BUSY_SECONDS, isolation_level=None, uri=name.startswith("file:"))
        try:
            yield connection
        finally:
            connection.close()
    except sqlite3.Error as error:
        if str(error).startswith("database or disk is full"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from None
        raise RunnerError(RunnerReason.BACKUP_FAILED, f"SQLite refused the backup: {describe(error)}") from None


@contextlib.contextmanager
def copy_of(path: Path, alive: Callable[[], None]) -> Iterator[BareSession]:
    """The copy, as a file that nobody changes: neither a lock nor a -wal is made beside it."""
    orders: list[RunnerError] = []

    def heard() -> int:
        try:
            alive()
        except RunnerError as order:  # SQLite would swallow it: it only learns that it is to stop
            orders.append(order)
        return len(orders)

    try:
        with opened(uri(path, "mode=ro&immutable=1")) as connection:
            connection.set_progress_handler(heard, STEP_INSTRUCTIONS)
            yield BareSession(connection)
    except RunnerError:
        if orders:
            raise orders[0] from None
        raise


def uri(path: Path, options: str) -> str:
    """A name that SQLite opens in a certain way."""
    return f"file:{quote(str(path))}?{options}"


def _tables(session: BareSession) -> tuple[str, ...]:
    found = session.rows(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY 1"
    )
    return tuple(str(row[0]) for row in found)


def _count(session: BareSession, table: str) -> int:
    return int(session.value(f"SELECT count(*) FROM {quoted(table)}"))  # noqa: S608  # a quoted name
