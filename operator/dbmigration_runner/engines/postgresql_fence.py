"""Keeping everybody out of a PostgreSQL database while it is compared and exchanged, and letting them in again.

The fence is ALLOW_CONNECTIONS false: superusers too stay out, and sessions that are open already, ours among them, go on.
What it is, and how it is undone, stands in the database's comment, which is set in the same transaction: so whoever finds
it, also with nothing but the ordinary URL, can lift one whose owner is gone. Its owner holds the run's lock inside the
database or the restore's lock outside; `COMMENT ON DATABASE` locks the database's row against others of its kind, so that
a lift and a new fence never cross.
"""
# ruff: noqa: S608  # statements are made of numbers, quoted names and literals of our own

from __future__ import annotations

import contextlib
import re
import time
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.engines.postgresql_names import RUN_KEY, quoted, restore_key, text_literal
from dbmigration_runner.errors import Refusal, RunnerError, SessionNotOpened, StatementRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from sqlalchemy.engine import URL

    from dbmigration_runner.engines.interface import Session

MARK = "dbmigration/fence/"
MAINTENANCE = ("postgres", "template1")
LEAVE_SECONDS = 10  # how long an ended session may take to vanish
POLL_SECONDS = 0.1
_SHOWN = 5
# They write nothing by themselves: the ones go with their leaders, the others only send. Any other process that has a user is
# a client's, or an extension's worker, which an order to connect no more does not end.
_WITHOUT_WRITES = ("parallel worker", "walsender")
_DATABASE = (
    "SELECT d.oid, d.datallowconn, pg_catalog.shobj_description(d.oid, 'pg_database') FROM pg_catalog.pg_database d"
    " WHERE d.datname = :name"
)
# Before 1.6.1, the first whose schema is called 1.6, pg_cron's scheduler ends without an error, and so for good.
_SCHEDULER = (
    "SELECT e.default_version FROM pg_catalog.pg_available_extensions e WHERE e.name = 'pg_cron' AND EXISTS"
    " (SELECT FROM pg_catalog.pg_stat_activity a WHERE a.datname = :name AND a.backend_type = 'pg_cron launcher')"
)
_COMES_BACK = (1, 6)
# A backend that is just starting has this lock before it reads whether it may, and still when it can be seen.
_STARTING = (
    "SELECT count(*) FROM pg_catalog.pg_locks WHERE locktype = 'object' AND database = 0 AND objid = {oid:d}"
    " AND classid = 'pg_catalog.pg_database'::pg_catalog.regclass AND mode = 'RowExclusiveLock'"
)


@dataclass(frozen=True)
class Database:
    """A row of pg_database. `comment` is the user's own, where a fence stands too."""

    oid: int
    is_open: bool
    comment: str | None
    fence: str = ""  # the token of who set it


@dataclass(frozen=True)
class Visitor:
    """A session in a database. A role that may not see what kind it is takes it for a client's."""

    pid: int
    user: str | None
    application_name: str
    kind: str

    def __str__(self) -> str:
        return f"{self.application_name or 'unnamed'} of {self.user or self.kind} (pid {self.pid})"


def find(desk: Session, name: str) -> Database | None:
    """The database of that name."""
    rows = desk.rows(_DATABASE, name=name)
    if not rows:
        return None
    oid, is_open, comment = rows[0]
    if comment is None or not comment.startswith(MARK):
        return Database(int(oid), bool(is_open), comment)
    first, newline, own = comment.partition("\n")
    return Database(int(oid), bool(is_open), own if newline else None, first[len(MARK) :].split(" ")[0])


def shut(desk: Session, name: str, token: str) -> None:
    """Set the fence. Sessions that are there stay: see `expel`."""
    found = find(desk, name)
    own = found.comment if found is not None else None
    mark = (
        f"{MARK}{token} A restore keeps everybody out. Whatever step comes next lifts this when the restore is gone;"
        f" by hand: ALTER DATABASE ... ALLOW_CONNECTIONS true"
    )
    with transaction(desk):
        desk.run(f"COMMENT ON DATABASE {quoted(name)} IS {text_literal(mark if own is None else mark + chr(10) + own)}")
        desk.run(f"ALTER DATABASE {quoted(name)} ALLOW_CONNECTIONS false")


def lift(desk: Session, name: str) -> None:
    """Take our own fence away."""
    found = find(desk, name)
    if found is not None and found.fence:
        with transaction(desk):
            _open(desk, name, found)


def lift_surely(home: URL, desk: Session, name: str, application_name: str) -> None:
    """The same, by another session where this one is lost; where that cannot be done now either, the next step does it.

    Raises what had kept the first one from it.
    """
    try:
        lift(desk, name)
    except RunnerError:
        desk.close()
        with contextlib.suppress(RunnerError), desk_for(home, name, application_name) as other:
            lift(other, name)
        raise


def _open(desk: Session, name: str, found: Database) -> None:
    comment = "NULL" if found.comment is None else text_literal(found.comment)
    desk.run(f"COMMENT ON DATABASE {quoted(name)} IS {comment}")
    desk.run(f"ALTER DATABASE {quoted(name)} ALLOW_CONNECTIONS true")


class Door(Enum):
    """What a database that lets nobody in is, seen from outside."""

    OPEN = "Open"  # or it is by now
    SHUT = "Shut"  # and not by a restore of ours
    ABSENT = "Absent"


def admit(url: URL, application_name: str, refused: SessionNotOpened) -> None:
    """Find out why a session was not let in, whatever the server's language; back where it is worth trying again.

    Raises Refusal (Fenced), SessionNotOpened in better words, or `refused` where nothing can be seen from outside.
    """
    try:
        door = lift_left_over(url, application_name)
    except Refusal:
        raise
    except RunnerError:
        raise refused from None
    name = quoted(url.database or url.username or "")
    if door is Door.ABSENT:
        raise SessionNotOpened(RunnerReason.DATABASE_NOT_FOUND, f"The server has no database {name}.")
    if door is Door.SHUT:
        raise SessionNotOpened(
            RunnerReason.DATABASE_UNREACHABLE,
            f"The database is closed, and not by a restore. When it may be opened: ALTER DATABASE {name} ALLOW_CONNECTIONS true",
        )


def lift_left_over(url: URL, application_name: str) -> Door:
    """Lift the fence of a restore that is gone, from outside, with whatever rights this URL has.

    Raises Refusal (Fenced) where its owner lives, or this role may not.
    """
    name = url.database or url.username or ""
    with contextlib.ExitStack() as opened:
        desk = opened.enter_context(desk_for(url, name, application_name))
        found = find(desk, name)
        if found is None:
            return Door.ABSENT
        if not found.fence or found.is_open:
            return Door.OPEN if found.is_open else Door.SHUT
        try:
            desk.run("BEGIN")
            _open(desk, name, found)  # from here on nobody else can set one
            again = desk.rows("SELECT oid FROM pg_catalog.pg_database WHERE datname = :name", name=name)
            owners = _owners(desk, found.oid, name)
            if owners or again != [(found.oid,)]:
                desk.run("ROLLBACK")
                raise Refusal(
                    RunnerReason.FENCED,
                    f"A restore is at work on this database, and lets nobody in: {', '.join(owners) or 'it just ended'}.",
                )
            desk.run("COMMIT")
        except StatementRefused as error:
            raise Refusal(
                RunnerReason.FENCED,
                f"A restore that is gone left this database closed, and this role may not open it ({error.message}). Its owner "
                f"may: ALTER DATABASE {quoted(name)} ALLOW_CONNECTIONS true",
            ) from None
    return Door.OPEN


def _owners(desk: Session, oid: int, name: str) -> list[str]:
    keys = [(RUN_KEY, f" AND l.database = {oid:d}"), (restore_key(name), "")]
    held = " OR ".join(f"(l.classid = {key >> 32:d} AND l.objid = {key & 0xFFFFFFFF:d}{where})" for key, where in keys)
    found = desk.rows(
        "SELECT l.pid, a.application_name FROM pg_catalog.pg_locks l"
        " LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid WHERE l.locktype = 'advisory' AND l.granted"
        f" AND l.objsubid = 1 AND l.pid <> pg_catalog.pg_backend_pid() AND ({held}) ORDER BY 1"
    )
    return [f"{application or 'unnamed'} (pid {pid})" for pid, application in found]


def visitors(desk: Session, oid: int, but: frozenset[int]) -> tuple[Visitor, ...]:
    """Every session in the database but these."""
    rows = desk.rows(
        "SELECT pid, usename::text, coalesce(application_name, ''), coalesce(backend_type, 'client backend')"
        f" FROM pg_catalog.pg_stat_activity WHERE datid = {oid:d} ORDER BY pid"
    )
    return tuple(Visitor(int(row[0]), *row[1:]) for row in rows if row[0] not in but)


def expel(
    desk: Session,
    oid: int,
    *,
    but: frozenset[int],
    spared: tuple[str, ...],
    everybody: bool,
    alive: Callable[[], None],
) -> tuple[str, ...]:
    """End whatever may write in a fenced database, and see that none is left or just beginning; whose they were.

    `spared` are roles whose sessions are let be; with `everybody`, as before an exchange of names, they too are ended, and
    so is whatever else can be.

    Raises RunnerError (SessionStays).
    """
    until = time.monotonic() + LEAVE_SECONDS
    refused: dict[int, str] = {}
    ended: dict[str, None] = {}
    while True:
        there = [
            visitor
            for visitor in visitors(desk, oid, but)
            if visitor.user  # the server's own have none, and make room by themselves
            and (everybody or (visitor.kind not in _WITHOUT_WRITES and visitor.user not in spared))
        ]
        if not there and not desk.value(_STARTING.format(oid=oid)):
            return tuple(ended)
        for visitor in there:
            ended[str(visitor)] = None
            try:
                desk.value(f"SELECT pg_catalog.pg_terminate_backend({visitor.pid:d})")
            except StatementRefused as error:
                refused[visitor.pid] = error.message
        staying = [visitor for visitor in there if visitor.pid in refused]
        if staying or time.monotonic() >= until:
            raise _stays(staying or there, refused)
        alive()
        time.sleep(POLL_SECONDS)


def scheduler_for_good(desk: Session, name: str) -> str:
    """The version of the pg_cron whose scheduler is in the database and would not come back when it is ended, or ""."""
    version = str(desk.value(_SCHEDULER, name=name) or "")
    numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:2])
    return version if numbers < _COMES_BACK else ""


def readers_elsewhere(desk: Session) -> tuple[str, ...]:
    """Who reads from a physical standby is not ended by a fence: a warning, where this role sees that there is one."""
    found = desk.value(
        "SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity WHERE backend_type = 'walsender' AND datid IS NULL"
    )
    if not found:
        return ()
    return (
        "Sessions that were open on a standby go on reading the replaced database there; let whoever reads from one connect again.",
    )


def _stays(there: list[Visitor], refused: dict[int, str]) -> RunnerError:
    names = ", ".join(str(visitor) for visitor in there[:_SHOWN]) or "a session that is only beginning"
    whys = "; ".join(dict.fromkeys(refused.values())) or f"it was told to and did not within {LEAVE_SECONDS} s"
    return RunnerError(
        RunnerReason.SESSION_STAYS,
        f"{len(there)} sessions do not leave the database: {names}. {whys}. End them, or set adminUrlFrom to a role that may; "
        "nothing was changed.",
    )


def cancelling(desk: Session, pids: Iterable[int]) -> Callable[[], None]:
    """What ends the statements of these sessions, which stay."""

    def cancel() -> None:
        for pid in pids:
            with contextlib.suppress(RunnerError):
                desk.value(f"SELECT pg_catalog.pg_cancel_backend({pid:d})")

    return cancel


@contextlib.contextmanager
def transaction(session: Session) -> Iterator[None]:
    """All of it or nothing."""
    session.run("BEGIN")
    try:
        yield
    except BaseException:
        with contextlib.suppress(RunnerError):
            session.run("ROLLBACK")
        raise
    session.run("COMMIT")


def run_together(session: Session, statements: Iterable[str]) -> None:
    """All of them or none."""
    with transaction(session):
        for statement in statements:
            session.run(statement)


def desk_for(url: URL, database: str, application_name: str) -> Session:
    """A session on the same server outside of the database, where its name can be changed. Raises SessionNotOpened."""
    from dbmigration_runner.engines.postgresql import PostgreSQL

    candidates = [name for name in dict.fromkeys((url.database, *MAINTENANCE)) if name and name != database]
    for number, name in enumerate(candidates, 1):
        try:
            outside = PostgreSQL(url.set(database=name), application_name, looks_from_outside=False)
            return outside.connect(read_only=False, statement_timeout_seconds=600)
        except RunnerError:
            if number == len(candidates):
                raise
    raise AssertionError(candidates)
