"""A MariaDB database put back: restored into a schema beside it, and then their tables change places by two renames.

The schema itself stays, with its grants; the replaced tables are kept in another. What keeps everybody out tells
mysql_fence.py, what comes after what mysql_exchange.py.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from typing import TYPE_CHECKING

from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.engines import mysql_blockers as blockers
from dbmigration_runner.engines import mysql_fence as fences
from dbmigration_runner.engines import mysql_record as records
from dbmigration_runner.engines.long_work import patiently
from dbmigration_runner.engines.messages import short
from dbmigration_runner.engines.mysql import MySQL
from dbmigration_runner.engines.mysql_exchange import Exchange, go_back_or_on
from dbmigration_runner.engines.mysql_fresh import Fresh, comment_of
from dbmigration_runner.engines.mysql_loading import Clients
from dbmigration_runner.engines.mysql_names import SCHEMA, kept_name, plain_literal, quoted, text_literal
from dbmigration_runner.engines.mysql_patience import PATIENCE_SECONDS, briefly, despite_locks
from dbmigration_runner.engines.mysql_record import Record
from dbmigration_runner.engines.mysql_rows import Rows
from dbmigration_runner.engines.mysql_tools import choose, installed, option_file, series_of
from dbmigration_runner.engines.restore import STILL_CLOSED, not_looked_for
from dbmigration_runner.engines.row_comparison import compare
from dbmigration_runner.errors import Refusal, RunnerError, StatementRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dbmigration_runner.contract.result import TableLoss
    from dbmigration_runner.engines.interface import AskingSession, Engine, Lock
    from dbmigration_runner.engines.restore import LostRow, Wanted

REPLACED = "dbmigration/replaced/"  # how the comment of a schema begins that holds replaced tables
REPLACING = "dbmigration/replacing/"  # and of one that is to hold them
POLL_SECONDS = 0.25
IDLE_SECONDS = 7 * 24 * 3600  # the desk is silent for as long as the copy is filled


def restore_for(engine: Engine, admin: Engine | None, wanted: Wanted) -> MySQLRestore:
    """See engines.restore.restore_for."""
    url = engine.url if admin is None else admin.url.set(database=engine.url.database)
    return MySQLRestore(engine, MySQL(url, wanted.application_name), admin, wanted)


def drop_replaced(engine: Engine, admin: Engine | None, name: str) -> bool:
    """See engines.restore.drop_replaced. The name must be of this database's, and the comment be ours."""
    home = admin or engine
    with MySQL(home.url.set(database=engine.url.database), "dbmigration/retention").connect(
        read_only=False, statement_timeout_seconds=600
    ) as desk:
        live = str(desk.value(f"SELECT {SCHEMA}"))
        if not (comment_of(desk, name) or "").startswith(f"{REPLACED}{_digest(live)}/"):
            return False
        desk.run(f"DROP DATABASE {quoted(name)}")
    return True


class MySQLRestore:
    """See restore.Restore."""

    def __init__(self, ordinary: Engine, engine: MySQL, admin: Engine | None, wanted: Wanted) -> None:
        self.engine = engine
        self._through = MySQL(engine.url, wanted.application_name, passes_fences=True)
        self._ordinary = ordinary if admin is not None else None
        self._wanted = wanted
        self._desk = self._through.connect(
            read_only=False, statement_timeout_seconds=None, lock_timeout_seconds=PATIENCE_SECONDS
        )
        self._should_stop: Callable[[], None] = lambda: None
        try:
            self._desk.run(f"SET SESSION wait_timeout = {IDLE_SECONDS:d}")
            self._name = str(self._desk.value(f"SELECT {SCHEMA}"))
            self._token = f"{_digest(self._name)}/{wanted.token}"
            self._kept = kept_name(self._name, wanted.keep_as)
            self._series = series_of(str(self._desk.value("SELECT VERSION()")))
            self._tools = choose(installed(), self._series)
        except BaseException:
            self._desk.close()
            raise
        self._fresh = Fresh(engine, self._desk, wanted, self._token, self._tools)
        self._record = Record()
        self._inside: AskingSession | None = None
        self._sums: dict[tuple[str, tuple[str, ...]], object] = {}
        self._lock: Lock | None = None
        self._warnings: tuple[str, ...] = ()
        self._exchanged = False
        self._is_shut = False  # by us, or perhaps

    def lock(self, should_stop: Callable[[], None]) -> Lock:
        """See restore.Restore."""
        self._should_stop = should_stop
        lock = self._through.lock(exclusive=True, should_stop=should_stop, wait_seconds=self._wanted.grace_seconds)
        try:
            if self._ordinary is not None:
                _refuse_elsewhere(self._ordinary, lock)
            self._take_turn(should_stop)
            if (left := records.read(self._desk)) is not None:
                try:
                    self._warnings = go_back_or_on(self._desk, left, lambda: self._exchange(left))
                except StatementRefused as error:
                    raise _fenced(left, error) from None
        except BaseException:
            lock.release()
            raise
        self._lock = lock
        return lock

    def swapped(self) -> str | None:
        """See restore.Restore. One that was lost in the middle of it was ended when the lock was taken."""
        done = (comment_of(self._desk, self._kept) or "").startswith(f"{REPLACED}{self._token} ")
        self._exchanged = done
        return self._kept if done else None

    def refuse_impossible(self) -> None:
        """See restore.Restore."""
        whys = list(self._impossible())
        if whys:
            raise Refusal(RunnerReason.RESTORE_NOT_POSSIBLE, short(" ".join(whys)))

    @property
    def is_compared(self) -> bool:
        """See restore.Restore."""
        return not self._wanted.nothing_written

    @property
    def is_filled(self) -> bool:
        """See restore.Restore. The dump is read once more also where an earlier attempt had filled the copy."""
        return False

    def fill(self, alive: Callable[[], None]) -> tuple[str, ...]:
        """See restore.Restore."""
        return self._fresh.fill(alive)

    @contextlib.contextmanager
    def fence(self, alive: Callable[[], None]) -> Iterator[None]:
        """See restore.Restore."""
        desk, there = self._desk, self._wanted.surroundings
        self._inside = self._through.connect(read_only=False, statement_timeout_seconds=None)
        ours = {int(session.value("SELECT CONNECTION_ID()")) for session in (desk, self._inside)}
        assert self._lock is not None  # noqa: S101  # nobody fences without it
        ours.add(int(self._lock.proof["session"]))
        told = f"{REPLACED}{self._token} A restore of {self._wanted.path.name} took its place."
        self._record = Record(
            token=self._token,
            kept=self._kept,
            fresh=self._fresh.name,
            tables=records.tables_of(desk, self._name),
            copies=records.tables_of(desk, self._fresh.name),
            old=records.programs_of(desk, self._name, with_events=True),
            new=records.programs_of(desk, self._fresh.name, with_events=False),
            events=self._fresh.events(),
            charset=there.encoding if there is not None else "",
            collate=there.collate if there is not None else "",
            comment=told,
            schema_comment=(there.comment or "") if there is not None else "",
        )
        try:
            if self.is_compared:
                self._rows(alive, is_fenced=False).foresee()
            self._is_shut = True
            spared = self._wanted.spared_users
            ended = fences.shut(desk, self._record, ours=frozenset(ours), spared=spared, alive=alive)
            if ended and not self.is_compared:
                self._warnings += (not_looked_for(ended, self._kept),)
            self._refuse_referred()
            yield
        finally:
            self._leave()
            if not self._exchanged:
                self._lift()

    def compare(self, lost: Callable[[LostRow], None], alive: Callable[[], None]) -> tuple[TableLoss, ...]:
        """See restore.Restore."""
        return tuple(compare(self._rows(alive, is_fenced=True), lost))

    def _rows(self, alive: Callable[[], None], *, is_fenced: bool) -> Rows:
        inside = self._inside
        assert inside is not None  # noqa: S101  # within fence()
        number = int(inside.value("SELECT CONNECTION_ID()"))

        def cancel() -> None:
            with contextlib.suppress(RunnerError):
                self._desk.run(f"KILL QUERY {number:d}")

        def at_once(work: Callable[[], None]) -> None:
            patiently(work, alive=alive, cancel=cancel)

        return Rows(inside, self._record, self._wanted.version_table, at_once, self._sums, is_fenced=is_fenced)

    def swap(self, lock: Lock, alive: Callable[[], None]) -> str:
        """See restore.Restore. The lock is kept: it is one of the server's, and of a name that does not change."""
        self._leave()
        alive()
        lock.check()
        exchange = self._exchange(self._record)
        try:
            self._make_room()
            self._fresh.spend()
            exchange.begin()
        except StatementRefused as error:
            raise RunnerError(
                RunnerReason.SESSION_STAYS, f"The tables could not be exchanged: {error.message}. Nothing was restored."
            ) from None
        self._exchanged = True  # there is no way back from here, whatever comes
        try:
            self._warnings += exchange.end()
        except StatementRefused as error:
            raise _fenced(self._record, error) from None
        return self._kept

    def confirm(self) -> tuple[str, ...]:
        """See restore.Restore. The ordinary URL names the same schema as before; what could not be made again is told."""
        return self._warnings

    def discard(self) -> tuple[str, ...]:
        """See restore.Restore. Nothing goes while a record is there: by it the next attempt goes back or on."""
        if self._exchanged:
            return self._warnings
        is_closed = self._is_shut
        with contextlib.suppress(RunnerError):  # the next attempt, or the next restore, drops them
            with self._through.connect() as desk:  # our own may be lost
                is_closed = records.stage(desk) is not None
            if not is_closed:
                with briefly(self._desk):
                    self._fresh.drop()
                    self._drop_room()
        return (*self._warnings, *((STILL_CLOSED,) if is_closed else ()))

    def close(self) -> None:
        """See restore.Restore."""
        self._leave()
        self._desk.close()

    def _take_turn(self, should_stop: Callable[[], None]) -> None:
        """Who held it before is an attempt that is lost, for we have the run's lock: what it still does must fail."""
        name = text_literal(fences.restore_lock(self._name))
        until = time.monotonic() + self._wanted.grace_seconds + fences.LEAVE_SECONDS
        while not self._desk.value(f"SELECT GET_LOCK({name}, 0)"):
            should_stop()
            holder = self._desk.value(f"SELECT IS_USED_LOCK({name})")
            if holder is not None:
                with contextlib.suppress(StatementRefused):
                    self._desk.run(f"KILL {int(holder):d}")
            if time.monotonic() >= until:
                raise Refusal(RunnerReason.LOCK_HELD, "Another restore of this database is at work.")
            time.sleep(POLL_SECONDS)

    def _impossible(self) -> Iterator[str]:
        desk = self._desk
        yield from blockers.in_the_way(desk)
        comment = comment_of(desk, self._kept)
        if self._kept == self._name:
            yield f"The replaced database could not be called {self._kept}."
        elif comment is not None and not comment.startswith(REPLACING):
            yield f"A database {self._kept} is there already: the replaced one could not be kept under that name."
        elif comment is None:
            try:
                despite_locks(desk, self._try_room, self._should_stop)
            except StatementRefused as error:
                yield f"The role may not make the databases that a restore needs ({error.message}): set adminUrlFrom."

    def _refuse_referred(self) -> None:
        """What was made while the copy was filled: nobody was kept from it."""
        if whys := tuple(blockers.in_the_way(self._desk)):
            raise Refusal(RunnerReason.RESTORE_NOT_POSSIBLE, short(f"{' '.join(whys)} Nothing was restored."))

    def _make_room(self) -> None:
        there = self._wanted.surroundings
        like = f" CHARACTER SET {there.encoding} COLLATE {there.collate}" if there is not None else ""
        self._desk.run(
            f"CREATE DATABASE IF NOT EXISTS {quoted(self._kept)}{like} COMMENT {plain_literal(REPLACING + self._token)}"
        )

    def _try_room(self) -> None:
        self._make_room()
        self._desk.run(f"DROP DATABASE {quoted(self._kept)}")

    def _drop_room(self) -> None:
        """What was made for replaced tables, unless there are some in it."""
        is_ours = (comment_of(self._desk, self._kept) or "").startswith(REPLACING)
        if is_ours and not records.tables_of(self._desk, self._kept):
            self._desk.run(f"DROP DATABASE {quoted(self._kept)}")

    def _exchange(self, record: Record) -> Exchange:
        def load_events(text: bytes) -> None:
            import zstandard

            with option_file(self.engine.url) as options, Clients(self._tools, options, self._name) as clients:
                clients.feed(zstandard.ZstdCompressor().compress(text))

        return Exchange(self._desk, record, load_events)

    def _leave(self) -> None:
        if self._inside is not None:
            self._inside.close()
        self._inside = None

    def _lift(self) -> None:
        """Let everybody in again; where that cannot be done now, the next step does it."""
        try:
            self._warnings += _lift(self._desk)
        except StatementRefused:
            return
        except RunnerError:
            self._desk.close()
            with (
                contextlib.suppress(RunnerError),
                self._through.connect(read_only=False, statement_timeout_seconds=None) as desk,
            ):
                self._warnings += _lift(desk)


def _lift(desk: AskingSession) -> tuple[str, ...]:
    left = records.read(desk)
    return fences.lift(desk, left) if left is not None and not left.is_beyond else ()


def _fenced(record: Record, error: StatementRefused) -> RunnerError:
    return RunnerError(
        RunnerReason.FENCED,
        f"The exchange is not at its end ({error.message}). The old tables are whole in {record.kept} or under their numbers; the "
        "next attempt at the restore goes on from there, once what the server refused is mended.",
    )


def _refuse_elsewhere(ordinary: Engine, lock: Lock) -> None:
    """The same server: then it sees who holds the lock."""
    with ordinary.connect() if not isinstance(ordinary, MySQL) else ordinary.opened() as session:
        seen = session.value(f"SELECT IS_USED_LOCK({text_literal(lock.proof['lock'])})")
    if str(seen) != lock.proof["session"]:
        raise Refusal(
            RunnerReason.WRONG_DATABASE,
            "adminUrlFrom leads to another server than urlFrom: the lock that is held by the one is not seen by the other.",
        )


def _digest(database: str) -> str:
    return hashlib.sha256(database.encode()).hexdigest()[:12]
