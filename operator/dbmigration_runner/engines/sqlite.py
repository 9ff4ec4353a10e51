"""SQLite: a file instead of a server, and flock on a file beside it instead of a session's lock."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from sqlalchemy.engine import URL

from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.contract.result import CheckReport, DatabaseFacts
from dbmigration_runner.engines import sqlite_row_counts
from dbmigration_runner.engines.interface import AskingSession, BeforeReport, Guest, Session
from dbmigration_runner.engines.messages import describe
from dbmigration_runner.engines.session import AlchemySession, sessions
from dbmigration_runner.errors import Refusal, SessionNotOpened, StatementRefused, Stopped

if TYPE_CHECKING:
    from collections.abc import Callable

    from dbmigration_runner.contract.task import ChecksBefore, LockBudget

POLL_SECONDS = 0.5
BUSY_SECONDS = 10
# flock and SQLite's own locks are unreliable, or local to one machine, on all of these.
NETWORK_FILE_SYSTEMS = (
    "nfs",
    "nfs4",
    "cifs",
    "smb2",
    "smb3",
    "smbfs",
    "9p",
    "afs",
    "ceph",
    "glusterfs",
    "lustre",
    "ncpfs",
)
_NETWORK_FUSE = (
    "fuse.sshfs",
    "fuse.glusterfs",
    "fuse.s3fs",
    "fuse.gcsfuse",
    "fuse.rclone",
    "fuse.blobfuse2",
    "fuse.juicefs",
)
_READ_ONLY_MOUNT = 1  # ST_RDONLY
_SHOWN = 5
_NO_DATABASES = ("-journal", "-wal", "-shm", ".dbmigration-lock")  # they belong to one


class SQLite:
    """See interface.Engine."""

    name = "sqlite"

    def __init__(self, url: URL, application_name: str) -> None:
        self.url = url
        self._application_name = application_name
        self.path = _path(url)

    def connect(
        self,
        *,
        read_only: bool = True,
        pinned: bool = True,
        statement_timeout_seconds: float | None = 60,
        lock_timeout_seconds: float | None = None,
    ) -> AlchemySession:
        """See interface.Engine. A file that is not there yet is read as what it is, an empty database, and not made."""
        del pinned, statement_timeout_seconds
        patience = BUSY_SECONDS if lock_timeout_seconds is None else lock_timeout_seconds
        if not self.path.parent.is_dir():
            raise SessionNotOpened(
                RunnerReason.DATABASE_NOT_FOUND,
                f"The folder of the database file, {self.path.parent}, does not exist here: mount the claim there, or mend the URL.",
            )
        database = str(self.path) if self.path.exists() else ":memory:"
        first = ["PRAGMA query_only = ON"] if read_only else []
        try:
            pool = sessions(URL.create("sqlite", database=database), connect_args={"timeout": patience}, first=first)
            session = AlchemySession(pool, asynchronous=False)
            session.rows("SELECT count(*) FROM sqlite_master")
        except Exception as error:  # noqa: BLE001  # unreadable, no database, locked: all mean that it cannot be opened
            if isinstance(error, StatementRefused) and error.is_lock_timeout:
                raise SessionNotOpened(
                    RunnerReason.LOCK_HELD,
                    f"{self.path} could not be read within {patience:g} s, for another program keeps even readers out: it holds an "
                    "exclusive lock, or commits for that long.",
                ) from None
            raise SessionNotOpened(
                RunnerReason.DATABASE_UNREACHABLE, f"{self.path} cannot be opened as a database: {describe(error)}"
            ) from None
        return session

    def tls(self, directory: str) -> dict[str, str]:
        """A file needs none."""
        del directory
        return {}

    def facts(self, session: Session) -> DatabaseFacts:
        """See interface.Engine. The folder's identity and the name: they stay when the file is replaced by a restore."""
        del session
        folder = self.path.parent
        system = os.statvfs(folder).f_fsid
        digest = hashlib.sha256(f"sqlite\0{system}\0{folder.stat().st_ino}\0{self.path.name}".encode()).hexdigest()
        return DatabaseFacts(
            fingerprint=digest[:32], engine=self.name, flavour="sqlite", server_version=sqlite3.sqlite_version
        )

    def heads(self, session: Session, version_table: str) -> tuple[str, ...]:
        """See interface.Engine."""
        table = version_table.rpartition(".")[2]
        if not session.value("SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = :name", name=table):
            return ()
        name = '"' + table.replace('"', '""') + '"'
        return tuple(sorted(str(row[0]) for row in session.rows(f"SELECT version_num FROM {name}")))  # noqa: S608  # quoted

    def refuse_unsuitable(self, session: Session) -> tuple[str, ...]:
        """See interface.Engine."""
        del session
        kind = file_system_of(self.path.parent.resolve(), Path("/proc/self/mountinfo").read_text(encoding="utf-8"))
        if kind in NETWORK_FILE_SYSTEMS or kind in _NETWORK_FUSE:
            raise Refusal(
                RunnerReason.STORAGE_NOT_SUPPORTED,
                f"The database file lies on a network file system ({kind}), where SQLite's locks do not hold: "
                "use a volume of block storage.",
            )
        target = self.path if self.path.exists() else self.path.parent
        if os.statvfs(self.path.parent).f_flag & _READ_ONLY_MOUNT or not os.access(target, os.W_OK):
            raise Refusal(
                RunnerReason.DATABASE_READ_ONLY,
                f"{target} cannot be written by user {os.getuid()}: mount it writable, or set podTemplate.fsGroup.",
            )
        return _made_anew(self.path)

    def lock(self, *, exclusive: bool, should_stop: Callable[[], None], wait_seconds: float) -> SQLiteLock:
        """See interface.Engine."""
        lock = SQLiteLock(self.path, exclusive=exclusive)
        until = time.monotonic() + wait_seconds
        try:
            while not lock.try_exclusive():
                should_stop()
                lock.refuse_after(until)
                time.sleep(POLL_SECONDS)
            lock.sign(self._application_name)
        except BaseException:
            lock.release()
            raise
        return lock

    def guests(self, session: Session) -> tuple[Guest, ...]:
        """The connections are in our own child, and die with it."""
        del session
        return ()

    def cancel(self, session: Session, guests: tuple[Guest, ...]) -> None:
        """Ended by ending the child: SQLite rolls back what was not committed at the next opening."""

    def terminate(self, session: Session, guests: tuple[Guest, ...]) -> None:
        """See cancel."""

    def changes(self, session: Session) -> str | None:
        """SQLite counts the commits of all others in each connection."""
        return str(session.value("PRAGMA data_version"))

    def before(self, session: Session, checks: ChecksBefore) -> BeforeReport:
        """See interface.Engine. Transactions and replication are not things that SQLite has."""
        del session
        if checks.min_free_disk_bytes is not None:
            system = os.statvfs(self.path.parent)
            free = system.f_bavail * system.f_frsize
            if free < checks.min_free_disk_bytes:
                raise Refusal(
                    RunnerReason.DISK_SPACE_LOW,
                    f"{free} bytes are free where the database lies, {checks.min_free_disk_bytes} are asked for "
                    "by checks.before.minFreeDisk: grow the volume, or lower the demand.",
                )
        return BeforeReport()

    def has_table(self, session: Session, name: str) -> bool:
        """See interface.Engine."""
        table = name.rpartition(".")[2]
        return bool(
            session.value(
                "SELECT count(*) FROM sqlite_master WHERE type IN ('table', 'view') AND name = :name", name=table
            )
        )

    def has_column(self, session: Session, name: str) -> bool:
        """See interface.Engine."""
        qualified, _, column = name.rpartition(".")
        table = qualified.rpartition(".")[2]
        return bool(
            session.value(
                "SELECT count(*) FROM pragma_table_info(:name) WHERE name = :column", name=table, column=column
            )
        )

    def rows(self, session: AskingSession, table: str, column: str | None, *, seconds: float) -> int | None:
        """See interface.Engine."""
        return sqlite_row_counts.rows(session, table, column, seconds=seconds)

    def has_rows(self, session: AskingSession, table: str, column: str | None, *, seconds: float) -> bool | None:
        """See interface.Engine."""
        return sqlite_row_counts.has_rows(session, table, column, seconds=seconds)

    def integrity(self, session: Session) -> tuple[CheckReport, ...]:
        """quick_check reads 1.4 GB/s; a broken foreign key may be older than this migration, so it only warns."""
        answer = str(session.value("PRAGMA quick_check"))
        orphans = len(session.rows("PRAGMA foreign_key_check"))
        return (
            CheckReport(
                "integrity: quick_check",
                answer == "ok",
                "" if answer == "ok" else "The file is damaged: restore a backup.",
            ),
            CheckReport(
                "integrity: foreign keys", passed=True, message=f"{orphans} rows refer to nothing" if orphans else ""
            ),
        )

    def unfinished(self, session: Session) -> tuple[str, ...]:
        """See interface.Engine. An index is built within its statement, or is not there."""
        del session
        return ()

    def in_the_way(self, session: Session) -> tuple[str, ...]:
        """SQLite does not tell who holds a file."""
        del session
        return ()

    def lock_timeout_of(self, locks: LockBudget) -> int | None:
        """Who waits for SQLite's one write lock keeps nobody else waiting: the application's own setting stays."""
        del locks
        return None  # there is no such setting


class SQLiteLock:
    """See interface.Lock. flock goes with the open file, also through the child that inherits it, and ends with both."""

    def __init__(self, database: Path, *, exclusive: bool) -> None:
        self._database = database
        self._path = database.with_name(database.name + ".dbmigration-lock")
        self.file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o660) if exclusive else -1

    @property
    def proof(self) -> dict[str, str]:
        """See interface.Lock."""
        return {"path": str(self._database)}

    @property
    def files(self) -> tuple[int, ...]:
        """See interface.Lock."""
        return (self.file,) if self.file >= 0 else ()

    def try_exclusive(self) -> bool:
        """One try; a reading step needs none."""
        if self.file < 0:
            return True
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def sign(self, name: str) -> None:
        """Write into the lock who holds it, for the one who waits."""
        if self.file >= 0:
            os.ftruncate(self.file, 0)
            os.pwrite(self.file, name.encode(), 0)

    def refuse_after(self, until: float) -> None:
        """Raises Refusal (LockHeld) naming who signed last."""
        if time.monotonic() >= until:
            holder = os.pread(self.file, 200, 0).decode(errors="replace") or "its lock file is taken"
            raise Refusal(RunnerReason.LOCK_HELD, f"Another migration holds this database: {holder}.")

    def check(self) -> None:
        """A lock file that somebody removed locks nobody out."""
        if self.file < 0:
            return
        try:
            same = os.path.samestat(os.fstat(self.file), self._path.stat())
        except OSError:
            same = False
        if not same:
            raise Stopped(RunnerReason.LOCK_LOST, f"The lock file {self._path.name} was removed or replaced.")

    def release(self) -> None:
        """The file stays: removing it would let two at once hold locks on two files of one name."""
        if self.file >= 0:
            with contextlib.suppress(OSError):
                os.ftruncate(self.file, 0)
            os.close(self.file)
            self.file = -1


def file_system_of(path: Path, mounts: str) -> str:
    """The type of the file system that holds an absolute path, as /proc/self/mountinfo tells; "" where it does not."""
    best, kind = -1, ""
    for line in mounts.splitlines():
        left, _, right = line.partition(" - ")
        fields = left.split(" ")
        point = Path(fields[4].replace("\\040", " "))
        if (path == point or point in path.parents) and len(point.parts) >= best:
            best, kind = len(point.parts), right.split(" ")[0]
    return kind


def _made_anew(path: Path) -> tuple[str, ...]:
    """A name that was mistyped leads to no database as well as one that is still to be made."""
    if path.exists() and path.stat().st_size:
        return ()
    try:
        beside = sorted(found.name for found in path.parent.iterdir() if _may_be_meant(found, path))
    except OSError:
        beside = []
    more = f" and {len(beside) - _SHOWN} more" if len(beside) > _SHOWN else ""
    names = f"Files beside it: {', '.join(beside[:_SHOWN])}{more}." if beside else "There is no other file beside it."
    state = "is empty" if path.exists() else "does not exist"
    return (f"The database file {path} {state}: it will be made anew, from the first revision on. {names}",)


def _may_be_meant(found: Path, instead_of: Path) -> bool:
    return found.name != instead_of.name and not found.name.endswith(_NO_DATABASES) and found.is_file()


def _path(url: URL) -> Path:
    database = url.database or ""
    if database.startswith("file:"):
        database = unquote(database[len("file:") :].partition("?")[0])
        database = "/" + database.lstrip("/") if database.startswith("//") else database
    if database in {"", ":memory:"} or url.query.get("mode") == "memory":
        raise Refusal(RunnerReason.URL_INVALID, "The URL names a database in memory: there is nothing to migrate.")
    return Path(os.path.realpath(database))  # as SQLite follows links: its log lies there, and one file has one lock
