"""An SQLite database put back: its file is kept as a copy, and the dump is copied into it in one transaction.

Never a rename: under an open -wal the file and its log would be of two databases. The fence is SQLite's own exclusive lock,
which the connection keeps from before the comparison to after the copy and which ends with the process: nothing of it can
be left over. A kill within the copy is rolled back by whoever opens the file next.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import time
from typing import TYPE_CHECKING

from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.engines.dump_streams import PRIVATE
from dbmigration_runner.engines.messages import describe, short
from dbmigration_runner.engines.row_comparison import compare
from dbmigration_runner.engines.sqlite import SQLite
from dbmigration_runner.engines.sqlite_catalog import catalog
from dbmigration_runner.engines.sqlite_dump import STEP_INSTRUCTIONS, STEP_PAGES, BareSession, SQLiteDump, copy_of, uri
from dbmigration_runner.engines.sqlite_rows import BEFORE, Rows
from dbmigration_runner.errors import Refusal, RunnerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from dbmigration_runner.contract.result import TableLoss
    from dbmigration_runner.engines.interface import Engine, Lock
    from dbmigration_runner.engines.restore import LostRow, Wanted

KEPT = ".replaced-"  # between the file's name and what it is kept as
PARTIAL = ".partial"
BUSY_SECONDS = 10  # how long somebody's transaction is waited for, where nothing else is said
ASK_SECONDS = 0.002  # between two tries to be alone; SQLite's own waits of up to 0.1 s lose against busy writers
_NUMBERS = ("user_version", "application_id")  # an application's own, in the file's header: no row and no schema
_SHOWN = 5


def restore_for(engine: Engine, admin: Engine | None, wanted: Wanted) -> SQLiteRestore:
    """See engines.restore.restore_for; a file has no administrator."""
    del admin
    if not isinstance(engine, SQLite):
        raise TypeError(engine.name)
    return SQLiteRestore(engine, wanted)


def drop_replaced(engine: Engine, admin: Engine | None, name: str) -> bool:
    """See engines.restore.drop_replaced."""
    del admin
    if not isinstance(engine, SQLite):
        raise TypeError(engine.name)
    is_ours = re.fullmatch(rf"{re.escape(engine.path.name + KEPT)}[A-Za-z0-9_-]+", name) is not None
    if not is_ours or not (path := engine.path.with_name(name)).is_file():
        return False
    path.unlink()
    return True


class SQLiteRestore:
    """See restore.Restore. The dump is a database itself: no other copy is made of it."""

    def __init__(self, engine: SQLite, wanted: Wanted) -> None:
        self.engine: Engine = engine
        self._live = engine.path
        self._wanted = wanted
        self._kept = engine.path.with_name(engine.path.name + KEPT + wanted.keep_as)
        self._connection: sqlite3.Connection | None = None
        self._is_kept = self._is_exchanged = self._is_wal = False
        self._notes: tuple[str, ...] = ()

    def lock(self, should_stop: Callable[[], None]) -> Lock:
        """See restore.Restore."""
        return self.engine.lock(exclusive=True, should_stop=should_stop, wait_seconds=self._wanted.grace_seconds)

    def swapped(self) -> str | None:
        """See restore.Restore. The replaced one is kept before the copy begins: the database must be as after its end."""
        if not (self._kept.exists() and self._is_as(self._wanted.path)):
            return None
        if _is_wal(self._kept) and not _is_wal(self._live):  # killed before it could give the mode back
            with contextlib.suppress(sqlite3.Error), contextlib.closing(_opened(self._live)) as connection:
                _asked(connection, "main.journal_mode = WAL")
        return self._kept.name

    def refuse_impossible(self) -> None:
        """See restore.Restore."""
        if self._live.exists():
            with self.engine.connect() as session:
                self.engine.refuse_unsuitable(session)
        size = sum(path.stat().st_size for path in self._files() if path.exists())
        system = os.statvfs(self._live.parent)
        free = system.f_bavail * system.f_frsize
        # The copy of what is replaced, and the journal or log of the change, which holds every page of one of the two.
        needed = size + max(size, self._wanted.path.stat().st_size)
        if free < needed:
            raise Refusal(
                RunnerReason.DISK_SPACE_LOW,
                f"{free} bytes are free where the database lies, {needed} are needed to keep it and to put the backup in its "
                "place: grow the volume.",
            )

    @property
    def is_compared(self) -> bool:
        """See restore.Restore."""
        return not self._wanted.nothing_written

    @property
    def is_filled(self) -> bool:
        """See restore.Restore."""
        return False

    def fill(self, alive: Callable[[], None]) -> tuple[str, ...]:
        """See restore.Restore. What is verified is the dump: it is what will be copied, page by page."""
        assert isinstance(self.engine, SQLite)  # noqa: S101  # restore_for saw to it
        wanted = self._wanted
        decoded = SQLiteDump(self.engine).decode(wanted.path, alive)
        if decoded.fault or decoded.sha256 != wanted.sha256:
            raise RunnerError(
                RunnerReason.BACKUP_CORRUPT, f"The dump is damaged: {decoded.fault or 'its hash changed'}."
            )
        with copy_of(wanted.path, alive) as dump:
            found, heads = catalog(dump), self.engine.heads(dump, wanted.version_table)
        wrong = [
            f"{table} has {decoded.rows.get(table, 'no')} rows instead of {count}"
            for table, count in wanted.rows.items()
            if decoded.rows.get(table) != count
        ]
        if heads != tuple(sorted(wanted.revisions)):
            wrong.append("its revisions are others")
        if wanted.catalog is not None and (difference := wanted.catalog.difference(found)):
            wrong.append(str(difference))
        if wrong:
            raise RunnerError(
                RunnerReason.RESTORE_FAILED,
                short(f"The dump is not what its manifest tells: {'; '.join(wrong[:_SHOWN])}"),
            )
        return ()

    @contextlib.contextmanager
    def fence(self, alive: Callable[[], None]) -> Iterator[None]:
        """See restore.Restore."""
        if self._kept.exists() and not self._is_as(self._kept):
            self._kept = self._another_name()
        self._is_wal = _is_wal(self._live) or _is_wal(self._kept)  # whoever was killed may have left the other mode
        with _said(alive) as heard:
            self._connection = _opened_alone(self._live, self._wanted.grace_seconds, alive)
            self._connection.set_progress_handler(heard, STEP_INSTRUCTIONS)
            try:
                yield
            finally:
                self._leave()

    def compare(self, lost: Callable[[LostRow], None], alive: Callable[[], None]) -> tuple[TableLoss, ...]:
        """See restore.Restore."""
        alive()
        connection = self._inside
        _attach(connection, self._wanted.path)
        found = tuple(compare(Rows(connection, self._wanted.version_table), lost))
        connection.execute(f"DETACH {BEFORE}")
        return found

    def swap(self, lock: Lock, alive: Callable[[], None]) -> str:
        """See restore.Restore. Not stopped any more: a copy that is broken off is undone, and costs all its time again."""
        connection = self._inside
        alive()
        lock.check()
        self._keep(connection)
        self._is_kept = True
        self._put_back(connection)
        self._leave()
        return self._kept.name

    def confirm(self) -> tuple[str, ...]:
        """See restore.Restore. There is one way to a file."""
        return self._notes

    def discard(self) -> tuple[str, ...]:
        """See restore.Restore. No copy was made; but the database may have been kept that is still in its place."""
        for path in (self._partial, *((self._kept,) if self._is_kept and not self._is_exchanged else ())):
            with contextlib.suppress(OSError):
                path.unlink()
        return ()

    def close(self) -> None:
        """See restore.Restore."""
        self._leave()

    @property
    def _inside(self) -> sqlite3.Connection:
        assert self._connection is not None  # noqa: S101  # within fence()
        return self._connection

    @property
    def _partial(self) -> Path:
        return self._kept.with_name(self._kept.name + PARTIAL)

    def _files(self) -> tuple[Path, ...]:
        return (self._live, self._live.with_name(self._live.name + "-wal"))

    def _is_as(self, other: Path) -> bool:
        """Has the database the schema and every row of another file, and no more?"""
        if not self._live.exists():
            return False
        try:
            with copy_of(other, lambda: None) as copy, contextlib.closing(_opened(self._live)) as connection:
                if catalog(copy) != catalog(BareSession(connection)):
                    return False
                _attach(connection, other)
                return not any(compare(Rows(connection, ""), lambda _: None))
        except (RunnerError, sqlite3.Error):
            return False

    def _another_name(self) -> Path:
        """Where one is kept already, and was not a copy of what is to be kept now: it is somebody's only one."""
        number = 2
        while (path := self._kept.with_name(f"{self._kept.name}-{number}")).exists():
            number += 1
        return path

    def _keep(self, connection: sqlite3.Connection) -> None:
        """The database as it is now, whole under its name or not there."""
        with contextlib.suppress(FileNotFoundError):
            self._partial.unlink()
        os.close(os.open(self._partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, PRIVATE))
        with contextlib.closing(sqlite3.connect(self._partial, isolation_level=None)) as kept:
            kept.execute("PRAGMA journal_mode = OFF")
            kept.execute("PRAGMA synchronous = OFF")
            connection.backup(kept, pages=STEP_PAGES, sleep=0)
        _sync(self._partial)
        self._partial.rename(self._kept)
        _sync(self._kept.parent)

    def _put_back(self, connection: sqlite3.Connection) -> None:
        """In WAL mode SQLite copies only what has pages of the same size: another one takes the other journal meanwhile."""
        source = sqlite3.connect(uri(self._wanted.path, "mode=ro&immutable=1"), uri=True)
        with contextlib.closing(source):
            connection.execute("PRAGMA synchronous = FULL")
            self._notes = tuple(_changed_numbers(source, connection))
            is_another = _asked(connection, "main.page_size") != _asked(source, "page_size")
            if self._is_wal and is_another:
                _asked(connection, "main.journal_mode = DELETE")
            try:
                _copy_over(source, connection)
                self._is_exchanged = True  # from here on what was kept is the only one of its kind
            finally:
                if self._is_wal:
                    self._notes += tuple(_given_back(connection))

    def _leave(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


@contextlib.contextmanager
def _said(alive: Callable[[], None]) -> Iterator[Callable[[], int]]:
    """What SQLite says, in our words; an order to stop that is heard within a statement comes out as it was."""
    orders: list[RunnerError] = []

    def heard() -> int:
        try:
            alive()
        except RunnerError as order:  # SQLite would swallow it: it only learns that it is to stop
            orders.append(order)
        return len(orders)

    try:
        yield heard
    except sqlite3.Error as error:
        if orders:
            raise orders[0] from None
        reason = RunnerReason.DISK_SPACE_LOW if "disk is full" in str(error) else RunnerReason.RESTORE_FAILED
        raise RunnerError(reason, f"SQLite refused the restore, and nothing was changed: {describe(error)}") from None


def _opened_alone(path: Path, seconds: int, alive: Callable[[], None]) -> sqlite3.Connection:
    """Hold the lock that nobody else can be beside; who is in the middle of a transaction ends it first.

    A connection for each try: in this mode SQLite keeps what a failed try got, a reader's lock, and whoever is about to
    commit would wait for us as we for them.
    """
    until = time.monotonic() + seconds
    while True:
        connection = _opened(path)
        try:
            connection.execute("PRAGMA busy_timeout = 0")
            connection.execute("PRAGMA main.locking_mode = EXCLUSIVE")
            connection.execute("BEGIN EXCLUSIVE")
            connection.execute("COMMIT")  # in this mode the lock stays
        except sqlite3.OperationalError as error:
            connection.close()
            if time.monotonic() >= until:
                raise RunnerError(
                    RunnerReason.SESSION_STAYS,
                    f"The database file is in use ({describe(error)}): whoever has it open must close it first, in WAL "
                    "mode also who only reads. Nothing was changed.",
                ) from None
        else:
            return connection
        alive()
        time.sleep(ASK_SECONDS)


def _copy_over(source: sqlite3.Connection, target: sqlite3.Connection) -> None:
    source.backup(target, pages=STEP_PAGES, sleep=0)


def _is_wal(path: Path) -> bool:
    """As the file itself says (18 bytes behind its begin, https://www.sqlite.org/fileformat.html), without opening it as a database."""
    try:
        with path.open("rb") as file:
            return file.read(19)[18:] == b"\x02"
    except FileNotFoundError:
        return False


def _attach(connection: sqlite3.Connection, dump: Path) -> None:
    connection.execute(f"ATTACH ? AS {BEFORE}", (uri(dump, "mode=ro&immutable=1"),))


def _given_back(connection: sqlite3.Connection) -> Iterator[str]:
    """WAL mode; where that fails the rows are in their place all the same, and somebody must know of the mode."""
    try:
        _asked(connection, "main.journal_mode = WAL")
    except sqlite3.Error as error:
        yield f"The database is not in WAL mode any more: {describe(error)}. Set it again: PRAGMA journal_mode = WAL."


def _changed_numbers(backup: sqlite3.Connection, live: sqlite3.Connection) -> Iterator[str]:
    for name in _NUMBERS:
        was, now = _asked(backup, name), _asked(live, name)
        if was != now:
            yield f"PRAGMA {name} was set to {now} since the backup, and is {was} again."


def _asked(connection: sqlite3.Connection, pragma: str) -> object:
    return connection.execute(f"PRAGMA {pragma}").fetchone()[0]


def _opened(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(uri(path, "mode=rwc"), uri=True, timeout=BUSY_SECONDS, isolation_level=None)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
