"""What a database must be able to do for us: one narrow interface, one class an engine.

Nobody outside this folder asks which engine it is. An engine's further abilities stand in modules beside its own, named
by `Engine.name`: `<name>_catalog.py` (`catalog(session)`), `<name>_dump.py`, `<name>_guest.py` (the application's own
connections). This module must not import a driver.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from dbmigration_runner.contract.result import CheckReport, DatabaseFacts
from dbmigration_runner.contract.task import ChecksBefore, LockBudget

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Self

    from sqlalchemy.engine import URL


S = TypeVar("S")


class Session(Protocol):
    """One connection of ours, in autocommit: each statement is its own transaction unless BEGIN is said by `run`.

    Raises StatementRefused where the server says no, SessionLost where it went away. Used by one thread at a time.
    """

    def rows(self, statement: str, /, **parameters: Any) -> list[tuple[Any, ...]]:
        """Every row of a statement; parameters are written `:name`."""
        ...

    def value(self, statement: str, /, **parameters: Any) -> Any:
        """The first column of the first row, None where there is no row."""
        ...

    def run(self, statement: str, /) -> None:
        """A statement exactly as it is written, without parameters and without a result."""
        ...

    def close(self) -> None:
        """End the session; never raises."""
        ...

    def __enter__(self) -> Self: ...
    def __exit__(self, *exc_info: object) -> None: ...


class AskingSession(Session, Protocol):
    """A session that also puts other people's questions."""

    def first_value(self, statement: str, /) -> Any:
        """The first value of a statement that somebody else wrote: neither `:name` nor `%` in it means anything."""
        ...


@dataclass(frozen=True)
class Guest:
    """A session of an application's env.py that we dressed: it holds the shared lock, so it can be found again."""

    session: int
    application_name: str


@dataclass(frozen=True)
class Adopted:
    """What dressing a connection of env.py brought to light. `session` is 0 where the engine has no such number.

    `transactional` is False where a statement may stay although its transaction is rolled back.
    """

    session: int
    proven: bool
    transactional: bool = True


@dataclass(frozen=True)
class Grantee:
    """Who lacks a right and on what, as a sentence says it and as the server's GRANT writes it."""

    told: str = "The role"
    name: str = "the role"
    place: str = "the schema"  # where Alembic's table is, or would be made
    schema: str = "the schema"  # the same as GRANT CREATE ON has it
    table: str = "the version table"


@dataclass(frozen=True)
class Rights:
    """What the role behind a connection may do. None = could not be told."""

    writes_version_table: bool | None = None
    creates_in_schema: bool | None = None  # in the version table's schema
    creates_somewhere: bool | None = None
    tables: int = 0  # of users, without the version table
    owned_tables: int = 0
    untransactional: tuple[str, ...] = ()  # tables whose rows no rollback takes back
    grantee: Grantee = Grantee()


class Guests(Protocol):
    """An engine's ways with the application's own connections, on the driver's level, beneath SQLAlchemy.

    Nothing here may leave a transaction open: Alembic would take it for the application's own and never commit.
    """

    def stand_in(self, arguments: Sequence[Any], order: GuestOrder) -> Sequence[Any] | None:
        """The driver's arguments for another database to be looked at, where opening the one that is meant would make it."""
        ...

    def adopt(self, connection: Any, order: GuestOrder) -> Adopted:
        """Dress a connection just opened. Raises whatever the driver raises where it is another engine's."""
        ...

    def begins(self, connection: Any) -> None:
        """A transaction of SQLAlchemy's begins: take note of what later questions compare with."""
        ...

    def will_commit_writes(self, connection: Any) -> bool:
        """Would a commit now leave something behind?"""
        ...

    def commits_by_itself(self, connection: Any) -> bool:
        """Is each statement its own transaction at the moment?"""
        ...

    def may_write(self, statement: str) -> bool:
        """Could it leave something behind where it is its own transaction?"""
        ...

    def may_commit(self, statement: str) -> bool:
        """Could it end the transaction that it runs in? Says yes too often rather than too rarely: see `transaction`."""
        ...

    def commits_before_failing(self, connection: Any, statement: str) -> bool:
        """Could it have committed a part of itself, or what ran before it, although it failed?"""
        ...

    def transaction(self, connection: Any) -> str:
        """Of the transaction that the next statement runs in: another text as soon as it is another one."""
        ...

    def schema_of(self, connection: Any, table: str) -> str | None:
        """The schema in which this connection finds the table, or would make it; None where there are no schemas."""
        ...

    def rights(self, connection: Any, schema: str | None, version_table: str) -> Rights:
        """What the connection's role, as env.py set it, may do."""
        ...

    def waits_for_others(self, statement: str) -> bool:
        """A statement that must not get our lock timeout."""
        ...

    def may_be_repeated(self, connection: Any, statement: str, *, alone: bool) -> bool:
        """Did it leave nothing, not even its transaction changed, when it did not get a lock in time?

        `alone`: nothing was written before it in its transaction, so that nobody is held up while it is waited.
        """
        ...

    def set_lock_timeout(self, connection: Any, milliseconds: int) -> None:
        """0 = none."""
        ...


@dataclass(frozen=True)
class BeforeReport:
    """What could not be seen before a migration (as sentences); what was seen to be wrong is raised."""

    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class GuestOrder:
    """How the child dresses every connection that env.py opens. Crosses from parent to child as JSON.

    `proof` is what only the right database can show: a lock's key, or the file's identity.
    """

    engine: str
    application_name: str
    read_only: bool
    lock_timeout_milliseconds: int | None = None
    retry_for_seconds: int = 0  # how long a statement that cannot be undone with its revision is tried again
    proof: dict[str, str] = field(default_factory=dict)


class Lock(Protocol):
    """The run's exclusive hold on its database, and the proof by which another connection shows that it is the same."""

    @property
    def proof(self) -> dict[str, str]:
        """For GuestOrder."""
        ...

    @property
    def files(self) -> tuple[int, ...]:
        """Open files that the child must inherit, so that the lock outlives a killed parent as long as the child lives."""
        ...

    def check(self) -> None:
        """Is it still held? Raises Stopped (LockLost) where it is not, or where the server does not answer in time."""
        ...

    def release(self) -> None:
        """Give it back; never raises."""
        ...


class Engine(Protocol):
    """A database server or file, reached by one URL."""

    name: str  # "postgresql", "mysql", "sqlite": also the prefix of the engine's modules
    url: URL  # the manifest's, normalised; holds the password: for connecting and for redaction only

    def connect(
        self,
        *,
        read_only: bool = True,
        pinned: bool = True,
        statement_timeout_seconds: float | None = 60,
        lock_timeout_seconds: float | None = None,
    ) -> AskingSession:
        """Open a session of ours.

        `pinned` sets search_path to the catalog alone (all our own queries qualify their names); unpinned it is the
        user's own. `lock_timeout_seconds` is how long a question waits for somebody else's lock, None for as long as the
        statement may take. Raises SessionNotOpened.
        """
        ...

    def tls(self, directory: str) -> dict[str, str]:
        """The environment variables by which this engine's drivers, the application's too, find certificates there."""
        ...

    def facts(self, session: Session) -> DatabaseFacts:
        """Which database this is."""
        ...

    def heads(self, session: Session, version_table: str) -> tuple[str, ...]:
        """The revisions in `[schema.]version_table`, sorted; () where there is no such table."""
        ...

    def refuse_unsuitable(self, session: Session) -> tuple[str, ...]:
        """Raise Refusal for a read-only server, a transaction pooler or storage that cannot lock; warnings otherwise."""
        ...

    def lock(self, *, exclusive: bool, should_stop: Callable[[], None], wait_seconds: float) -> Lock:
        """Take the run's lock (`exclusive`), or only make the proof for a reading step.

        Polls, never blocks on the server; `should_stop` is called between tries and may raise. Raises Refusal
        (LockHeld) naming the holder.
        """
        ...

    def guests(self, session: Session) -> tuple[Guest, ...]:
        """Sessions of a migration that are alive in this database, whosever attempt started them."""
        ...

    def cancel(self, session: Session, guests: tuple[Guest, ...]) -> None:
        """End their running statements."""
        ...

    def terminate(self, session: Session, guests: tuple[Guest, ...]) -> None:
        """End the sessions themselves."""
        ...

    def changes(self, session: Session) -> str | None:
        """A value that moves whenever anybody else commits to this database; None where the engine has none."""
        ...

    def before(self, session: Session, checks: ChecksBefore) -> BeforeReport:
        """What must hold before a migration; raises Refusal."""
        ...

    def has_table(self, session: Session, name: str) -> bool:
        """`[schema.]table`; an unqualified one is looked for in every schema that is not the system's."""
        ...

    def has_column(self, session: Session, name: str) -> bool:
        """`[schema.]table.column`, looked for like a table."""
        ...

    def rows(self, session: AskingSession, table: str, column: str | None, *, seconds: float) -> int | None:
        """How many rows `[schema.]table` has, or how many have a value in its column; None where no such thing holds data.

        An unqualified name leads where it leads in a session of the URL's role. Raises StatementRefused where it takes longer
        than `seconds`, where a lock is in the way, and where the role may not see every row.
        """
        ...

    def has_rows(self, session: AskingSession, table: str, column: str | None, *, seconds: float) -> bool | None:
        """As `rows`, but only whether there is one: quick where that one is found soon."""
        ...

    def integrity(self, session: Session) -> tuple[CheckReport, ...]:
        """What the engine itself says about its health after a migration."""
        ...

    def unfinished(self, session: Session) -> tuple[str, ...]:
        """What a migration may have left half built, as sentences; cheap, and asked after every migration."""
        ...

    def in_the_way(self, session: Session) -> tuple[str, ...]:
        """Who holds a lock that keeps even readers out, and of what; () where nobody is seen to."""
        ...

    def lock_timeout_of(self, locks: LockBudget) -> int | None:
        """Milliseconds that a statement of the migration may wait; None where the engine has no such setting."""
        ...
