"""PostgreSQL: sessions, facts, locks and cancelling. What is checked before and after stands in postgresql_checks.py.

Every query of ours runs with search_path pinned to the catalog: an object of the same name in a tenant's schema, made to
be called by us, is never found.
"""
# ruff: noqa: S608  # statements are made of numbers, quoted names and literals of our own

from __future__ import annotations

import contextlib
import hashlib
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.contract.result import CheckReport, DatabaseFacts
from dbmigration_runner.engines import postgresql_checks, postgresql_fence, postgresql_row_counts
from dbmigration_runner.engines.interface import AskingSession, BeforeReport, Guest, Session
from dbmigration_runner.engines.postgresql_drivers import (
    ASYNCHRONOUS,
    CONNECT_SECONDS,
    UNTOLD,
    for_driver,
    importable_driver,
    not_opened,
)
from dbmigration_runner.engines.postgresql_names import (
    ADVISORY,
    RUN_KEY,
    advisory_lock,
    guests,
    parts,
    quoted,
    text_literal,
)
from dbmigration_runner.engines.session import AlchemySession, sessions
from dbmigration_runner.errors import Refusal, RunnerError, SessionNotOpened, StatementRefused, Stopped

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.engine import URL
    from sqlalchemy.engine import Engine as SQLAlchemyEngine

    from dbmigration_runner.contract.task import ChecksBefore, LockBudget

POLL_SECONDS = 0.5
AFTER_TERMINATE_SECONDS = 10
# The same from the server's side: the lock of a Pod whose node is gone must not be held for hours.
_SERVER_SIDE = {"tcp_keepalives_idle": "10", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "3"}
# Since 14. A session of ours is idle while a program restores or the application's code runs; some hold a lock meanwhile.
_STAYS = (
    "(SELECT pg_catalog.set_config(name, '0', false) FROM pg_catalog.pg_settings WHERE name = 'idle_session_timeout')"
)
_OTHERS = ("CockroachDB", "YugabyteDB", "Redshift")


class PostgreSQL:
    """See interface.Engine."""

    name = "postgresql"

    def __init__(self, url: URL, application_name: str, *, looks_from_outside: bool = True) -> None:
        """`looks_from_outside`: why it is not let in is looked for from another database of the server."""
        self.url = url
        self._looks_from_outside = looks_from_outside
        self._application_name = application_name[:63]
        self._driver = importable_driver(url)
        self._pools: dict[str, SQLAlchemyEngine] = {}

    def connect(
        self,
        *,
        read_only: bool = True,
        pinned: bool = True,
        statement_timeout_seconds: float | None = 60,
        lock_timeout_seconds: float | None = None,
    ) -> AlchemySession:
        """See interface.Engine."""
        first = {
            "search_path": "pg_catalog, pg_temp",
            "application_name": self._application_name,
            **_SERVER_SIDE,
        }
        if read_only:
            first["default_transaction_read_only"] = "on"
        if statement_timeout_seconds is not None:
            first["statement_timeout"] = str(max(int(statement_timeout_seconds * 1000), 1))
        try:
            session = self._open(self._sessions(first))
            if lock_timeout_seconds is not None:
                session.run(f"SET lock_timeout = {max(int(lock_timeout_seconds * 1000), 1)}")
            if not pinned:
                session.run("RESET search_path")
        except RunnerError:
            raise
        except Exception as error:  # noqa: BLE001  # a driver may raise anything here: OSError, TimeoutError, its own
            raise not_opened(error) from None
        return session

    def connect_bare(self) -> AlchemySession:
        """A session that sets nothing: behind a transaction pooler a setting would be somebody else's too.

        Whoever asks by it begins a transaction and sets search_path within. Raises SessionNotOpened.
        """
        url, arguments = for_driver(self.url, self._driver)
        try:
            return self._open(sessions(url, connect_args=arguments, first=[]))
        except RunnerError:
            raise
        except Exception as error:  # noqa: BLE001  # see connect
            raise not_opened(error) from None

    def _open(self, pool: SQLAlchemyEngine) -> AlchemySession:
        """Open one; where the fence of a restore that is gone keeps us out, lift it first."""
        began = time.monotonic()
        try:
            return AlchemySession(pool, asynchronous=self._driver == ASYNCHRONOUS)
        except Exception as error:
            refused = not_opened(error)
            answered = refused.reason in UNTOLD and time.monotonic() - began < CONNECT_SECONDS / 2
            if not self._looks_from_outside or not answered:
                raise
        postgresql_fence.admit(self.url, self._application_name, refused)
        try:
            return AlchemySession(pool, asynchronous=self._driver == ASYNCHRONOUS)
        except Exception as error:
            again = not_opened(error)
            if again.reason is not RunnerReason.FENCED:
                raise
            raise SessionNotOpened(RunnerReason.DATABASE_UNREACHABLE, again.message) from None

    def tls(self, directory: str) -> dict[str, str]:
        """See interface.Engine."""
        files = {"PGSSLROOTCERT": "ca.crt", "PGSSLCERT": "tls.crt", "PGSSLKEY": "tls.key"}
        found = {name: str(Path(directory, file)) for name, file in files.items() if Path(directory, file).exists()}
        if "PGSSLROOTCERT" in found:
            found["PGSSLMODE"] = "verify-full"
        return found

    def facts(self, session: Session) -> DatabaseFacts:
        """See interface.Engine."""
        version = str(session.value("SELECT pg_catalog.version()"))
        if any(other in version for other in _OTHERS):
            raise Refusal(RunnerReason.ENGINE_NOT_SUPPORTED, f"This server only speaks like PostgreSQL: {version[:80]}")
        oid, name = session.rows(
            "SELECT oid, datname FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()"
        )[0]
        server = ""
        try:
            cluster = str(session.value("SELECT system_identifier FROM pg_catalog.pg_control_system()"))
            server = hashlib.sha256(f"postgresql\0{cluster}".encode()).hexdigest()[:32]
        except RunnerError:  # some managed services take the right away; the address is the next best
            cluster = f"{self.url.host}:{self.url.port}"
        digest = hashlib.sha256(f"postgresql\0{cluster}\0{oid}\0{name}".encode()).hexdigest()
        return DatabaseFacts(
            fingerprint=digest[:32],
            engine=self.name,
            flavour="postgresql",
            server_version=str(session.value("SHOW server_version")).split(" ")[0],
            server=server,
        )

    def heads(self, session: Session, version_table: str) -> tuple[str, ...]:
        """See interface.Engine."""
        schema, table = parts(version_table)
        if schema is None:
            schema = session.value(
                "SELECT n.nspname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
                " WHERE c.relname = :table AND c.relkind IN ('r', 'p')"
                " ORDER BY n.nspname = 'public' DESC, n.nspname LIMIT 1",
                table=table,
            )
        present = session.value(
            "SELECT true FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname = :schema AND c.relname = :table",
            schema=schema or "",
            table=table,
        )
        if schema is None or not present:
            return ()
        found = session.rows(f"SELECT version_num FROM {quoted(schema)}.{quoted(table)}")
        return tuple(sorted(str(row[0]) for row in found))

    def refuse_unsuitable(self, session: Session) -> tuple[str, ...]:
        """See interface.Engine."""
        if session.value("SELECT pg_catalog.pg_is_in_recovery()"):
            raise Refusal(
                RunnerReason.DATABASE_READ_ONLY,
                "This server is a standby: nothing can be migrated there. Point the URL at the primary.",
            )
        database = (
            "SELECT setting FROM (SELECT pg_catalog.unnest(s.setconfig) AS setting, s.setrole FROM pg_catalog.pg_db_role_setting s"
            " WHERE s.setdatabase IN (0, (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()))"
            " AND s.setrole IN (0, (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = session_user))) AS settings"
            " WHERE setting ~ '^default_transaction_read_only=(on|true|yes|1)'"
        )
        if session.value(database) is not None:
            raise Refusal(
                RunnerReason.DATABASE_READ_ONLY,
                "default_transaction_read_only is on for this role or database: "
                "take the setting back with ALTER ROLE or ALTER DATABASE … RESET.",
            )
        self._refuse_pooler(session)
        return ()

    def lock(self, *, exclusive: bool, should_stop: Callable[[], None], wait_seconds: float) -> PostgreSQLLock:
        """See interface.Engine."""
        lock = PostgreSQLLock(self.connect(statement_timeout_seconds=60))
        try:
            lock.prove()
            if exclusive:
                self._wait(lock, should_stop, time.monotonic() + wait_seconds)
        except BaseException:
            lock.release()
            raise
        return lock

    def guests(self, session: Session) -> tuple[Guest, ...]:
        """See interface.Engine."""
        return tuple(Guest(int(pid), str(name or "")) for pid, name in session.rows(guests()))

    def cancel(self, session: Session, guests: tuple[Guest, ...]) -> None:
        """See interface.Engine."""
        self._signal(session, guests, "pg_cancel_backend")

    def terminate(self, session: Session, guests: tuple[Guest, ...]) -> None:
        """See interface.Engine."""
        self._signal(session, guests, "pg_terminate_backend")

    def changes(self, session: Session) -> str | None:
        """PostgreSQL counts no commits of others that would not also count an application's own."""
        del session
        return None  # there is no such value

    def before(self, session: Session, checks: ChecksBefore) -> BeforeReport:
        """See interface.Engine."""
        return postgresql_checks.before(session, checks)

    def has_table(self, session: Session, name: str) -> bool:
        """See interface.Engine."""
        return postgresql_checks.has_table(session, name)

    def has_column(self, session: Session, name: str) -> bool:
        """See interface.Engine."""
        return postgresql_checks.has_column(session, name)

    def rows(self, session: AskingSession, table: str, column: str | None, *, seconds: float) -> int | None:
        """See interface.Engine."""
        return postgresql_row_counts.rows(session, table, column, seconds=seconds)

    def has_rows(self, session: AskingSession, table: str, column: str | None, *, seconds: float) -> bool | None:
        """See interface.Engine."""
        return postgresql_row_counts.has_rows(session, table, column, seconds=seconds)

    def integrity(self, session: Session) -> tuple[CheckReport, ...]:
        """See interface.Engine."""
        return postgresql_checks.integrity(session)

    def unfinished(self, session: Session) -> tuple[str, ...]:
        """See interface.Engine."""
        return postgresql_checks.unfinished(session)

    def in_the_way(self, session: Session) -> tuple[str, ...]:
        """See interface.Engine."""
        return postgresql_checks.in_the_way(session)

    def lock_timeout_of(self, locks: LockBudget) -> int | None:
        """See interface.Engine."""
        return max(locks.timeout_milliseconds, 1)

    def _sessions(self, settings: dict[str, str]) -> SQLAlchemyEngine:
        """What opens sessions with these settings: all of them in one round trip, by a function that nobody can stand in for."""
        wanted = ", ".join(
            f"pg_catalog.set_config({text_literal(name)}, {text_literal(value)}, false)"
            for name, value in settings.items()
        )
        if wanted not in self._pools:
            url, arguments = for_driver(self.url, self._driver)
            self._pools[wanted] = sessions(url, connect_args=arguments, first=[f"SELECT {wanted}, {_STAYS}"])
        return self._pools[wanted]

    def _wait(self, lock: PostgreSQLLock, should_stop: Callable[[], None], until: float) -> None:
        """Poll: a blocking wait holds a snapshot, and CREATE INDEX CONCURRENTLY waits for that one: a deadlock.

        A holder of our own name is an earlier attempt of this run whose Pod was given up: it is ended once.
        """
        ended = False
        while not lock.try_exclusive():
            should_stop()
            if time.monotonic() >= until:
                holders = lock.holders()
                ours = [pid for pid, name in holders if name == self._application_name]
                if ended or not ours:
                    names = ", ".join(f"{name or 'unnamed'} (pid {pid})" for pid, name in holders) or "another session"
                    raise Refusal(RunnerReason.LOCK_HELD, f"Another migration holds this database: {names}.")
                lock.terminate(ours)
                ended, until = True, time.monotonic() + AFTER_TERMINATE_SECONDS
            time.sleep(POLL_SECONDS)

    def _signal(self, session: Session, guests: tuple[Guest, ...], function: str) -> None:
        """Signal those that hold the guest's lock or bear the name: a pid alone may by now be somebody else's session."""
        alive = {guest.session for guest in self.guests(session)}
        for guest in guests:
            with contextlib.suppress(StatementRefused):  # another role's: that it stays is seen and told by who waits
                session.rows(
                    f"SELECT pg_catalog.{function}(pid) FROM pg_catalog.pg_stat_activity WHERE pid = {guest.session:d}"
                    " AND datname = pg_catalog.current_database() AND (:held OR application_name = :name)",
                    held=guest.session in alive,
                    name=guest.application_name,
                )

    def _refuse_pooler(self, session: Session) -> None:
        """Behind a transaction pooler a session's locks and settings belong to whoever comes next."""
        key = secrets.randbits(62)
        first = session.value("SELECT pg_catalog.pg_backend_pid()")
        session.value(f"SELECT pg_catalog.pg_try_advisory_lock({key:d})")
        with self.connect() as other:
            other.run("BEGIN")  # whatever backend stands behind it is taken now
            second = other.value("SELECT pg_catalog.pg_backend_pid()")
            free = other.value(f"SELECT pg_catalog.pg_try_advisory_lock({key:d})")
            again = {session.value("SELECT pg_catalog.pg_backend_pid()") for _ in range(3)}
            other.run("ROLLBACK")
            if free:
                other.value(f"SELECT pg_catalog.pg_advisory_unlock({key:d})")
        released = session.value(f"SELECT pg_catalog.pg_advisory_unlock({key:d})")
        if free or again != {first} or first == second or not released:
            raise Refusal(
                RunnerReason.POOLER_DETECTED,
                "The URL leads through a connection pooler that hands out a session per transaction: locks and settings do not "
                "stay with a session there. Give the server's own address, or a pool in session mode.",
            )


class PostgreSQLLock:
    """See interface.Lock."""

    def __init__(self, session: AlchemySession) -> None:
        self._session = session
        self._key = secrets.randbits(62)
        self._held = [self._key]
        self._is_asked = False  # by check, which may be in another thread

    @property
    def proof(self) -> dict[str, str]:
        """See interface.Lock."""
        return {"key": str(self._key)}

    @property
    def files(self) -> tuple[int, ...]:
        """See interface.Lock."""
        return ()

    def prove(self) -> None:
        """Hold a key that nobody can guess: who sees it held is in this database, on this server, now."""
        self._session.value(f"SELECT pg_catalog.pg_try_advisory_lock({self._key:d})")

    def try_exclusive(self) -> bool:
        """One try for the run's lock."""
        taken = bool(self._session.value(f"SELECT pg_catalog.pg_try_advisory_lock({RUN_KEY:d})"))
        if taken:
            self._held.append(RUN_KEY)
        return taken

    def holders(self) -> list[tuple[Any, ...]]:
        """Who holds the run's lock: pid and application_name."""
        return self._session.rows(advisory_lock(RUN_KEY))

    def terminate(self, pids: list[int]) -> None:
        """End these sessions."""
        for pid in pids:
            self._session.value(f"SELECT pg_catalog.pg_terminate_backend({pid:d})")

    def check(self) -> None:
        """See interface.Lock."""
        self._is_asked = True
        try:
            mine = self._session.value(
                f"SELECT count(*) FROM pg_catalog.pg_locks WHERE {ADVISORY} AND pid = pg_catalog.pg_backend_pid()"
            )
        except RunnerError as error:
            raise Stopped(RunnerReason.LOCK_LOST, f"The session that held the lock was lost: {error.message}") from None
        finally:
            self._is_asked = False
        if mine < len(self._held):
            raise Stopped(RunnerReason.LOCK_LOST, "The lock on the database is no longer ours.")

    def release(self) -> None:
        """See interface.Lock."""
        if self._is_asked:
            return  # the heartbeat hangs in it, and whoever asks it too would hang: it ends with this process
        with contextlib.suppress(Exception):  # ending the session gives it back too
            self._session.value("SELECT pg_catalog.pg_advisory_unlock_all()")
        self._session.close()
