"""MariaDB, and what speaks like it: sessions, facts, locks and cancelling. What is checked stands in mysql_checks.py.

MariaDB is what this was run against; MySQL is said to be untested. Every table of ours is named with its schema; native
functions come before stored ones of the same name, so nothing of a tenant's stands in for what we call.
"""
# ruff: noqa: S608  # statements are made of numbers, quoted names and literals of our own

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from typing import TYPE_CHECKING

from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.contract.result import CheckReport, DatabaseFacts
from dbmigration_runner.engines import mysql_checks, mysql_fence, mysql_record, mysql_row_counts
from dbmigration_runner.engines.interface import AskingSession, BeforeReport, Guest, Session
from dbmigration_runner.engines.mysql_drivers import (
    ASYNCHRONOUS,
    TLS_VARIABLE,
    for_driver,
    importable_driver,
    not_opened,
    takes_files,
    with_tls,
)
from dbmigration_runner.engines.mysql_lock import MySQLLock, no_schema
from dbmigration_runner.engines.mysql_names import SCHEMA, guest_locks, holders, parts, quoted, reader_locks
from dbmigration_runner.engines.session import AlchemySession, sessions
from dbmigration_runner.errors import Refusal, StatementRefused

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.engine import URL
    from sqlalchemy.engine import Engine as SQLAlchemyEngine

    from dbmigration_runner.contract.task import ChecksBefore, LockBudget

POLL_SECONDS = 0.5
AFTER_TERMINATE_SECONDS = 10
# A session of ours is idle while the application's code runs. The server does not notice by itself for hours that a node
# is gone: so the lock's session is asked to talk within ten minutes, which no step leaves it silent for.
_IDLE_SECONDS = 600
_NO_SUCH_TABLE = ("1146", "1049")
_OTHERS = ("TiDB", "SingleStore", "Vitess", "OceanBase", "StarRocks", "Doris", "Percona XtraDB Cluster")


class MySQL:
    """See interface.Engine."""

    name = "mysql"

    def __init__(self, url: URL, application_name: str, *, passes_fences: bool = False) -> None:
        """`passes_fences`: for the restore itself, which sets them."""
        self.url = url
        self._passes_fences = passes_fences
        self._own_url = url
        self._secure(os.environ.get(TLS_VARIABLE))
        self._application_name = application_name
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
        """See interface.Engine. The fence of a restore that is gone is lifted first: behind it a database looks empty."""
        session = self.opened(
            read_only=read_only,
            pinned=pinned,
            statement_timeout_seconds=statement_timeout_seconds,
            lock_timeout_seconds=lock_timeout_seconds,
        )
        try:
            if not self._passes_fences and mysql_record.stage(session) is not None:
                with self.opened(read_only=False, statement_timeout_seconds=None) as lifting:
                    mysql_fence.lift_left_over(lifting)
        except BaseException:
            session.close()
            raise
        return session

    def opened(
        self,
        *,
        read_only: bool = True,
        pinned: bool = True,
        statement_timeout_seconds: float | None = 60,
        lock_timeout_seconds: float | None = None,
    ) -> AlchemySession:
        """One that does not look for a fence. A lock is waited for in whole seconds, rounded down: for less than one not at all."""
        settings = [f"wait_timeout = {_IDLE_SECONDS:d}"]
        if pinned:
            settings.append("sql_mode = ''")
        if lock_timeout_seconds is not None:
            patience = int(lock_timeout_seconds)
            settings += [f"lock_wait_timeout = {patience:d}", f"innodb_lock_wait_timeout = {max(patience, 1):d}"]
        # The two servers have a name each, and take each other's for a comment. 0: none, whatever the server's own is.
        milliseconds = 0 if statement_timeout_seconds is None else max(int(statement_timeout_seconds * 1000), 1)
        limits = f" /*M! , max_statement_time = {milliseconds / 1000:.3f} */ /*!50708 , max_execution_time = {milliseconds:d} */"
        first = [f"SET SESSION {', '.join(settings)}{limits}"]
        if read_only:
            first.append("SET SESSION TRANSACTION READ ONLY")
        try:
            return AlchemySession(
                self._sessions(first, statement_timeout_seconds), asynchronous=self._driver in ASYNCHRONOUS
            )
        except Exception as error:  # noqa: BLE001  # a driver may raise anything here: OSError, TimeoutError, its own
            raise not_opened(error) from None

    def tls(self, directory: str) -> dict[str, str]:
        """See interface.Engine."""
        self._secure(directory)
        self._pools.clear()
        return {TLS_VARIABLE: directory}

    def facts(self, session: Session) -> DatabaseFacts:
        """See interface.Engine.

        MariaDB keeps no identity with its data, and its @@server_uid is made of the network card's address, another one in
        each Pod. So it is where the URL leads, and what there tells one server from another: a restart changes nothing.
        """
        version, comment, schema, port, folder, number = session.rows(
            f"SELECT VERSION(), @@version_comment, {SCHEMA}, @@port, @@datadir, @@server_id"
        )[0]
        other = next((name for name in _OTHERS if name.lower() in f"{version} {comment}".lower()), None)
        if other is not None:
            raise Refusal(RunnerReason.ENGINE_NOT_SUPPORTED, f"This server only speaks like MySQL: it is {other}.")
        if schema is None:
            raise no_schema()
        where = self.url.query.get("unix_socket") or f"{(self.url.host or 'localhost').lower()}:{self.url.port or 3306}"
        digest = hashlib.sha256("\0".join(map(str, ("mysql", where, port, folder, number, schema))).encode())
        return DatabaseFacts(
            fingerprint=digest.hexdigest()[:32],
            engine=self.name,
            flavour="mariadb" if "mariadb" in str(version).lower() else "mysql",
            server_version=str(version).split("-", maxsplit=1)[0],
        )

    def heads(self, session: Session, version_table: str) -> tuple[str, ...]:
        """See interface.Engine."""
        table = ".".join(quoted(part) for part in parts(version_table) if part)
        try:
            found = session.rows(f"SELECT version_num FROM {table}")
        except StatementRefused as error:
            if error.code in _NO_SUCH_TABLE:
                self._refuse_fenced(session)
                return ()
            raise
        return tuple(sorted(str(row[0]) for row in found))

    def refuse_unsuitable(self, session: Session) -> tuple[str, ...]:
        """See interface.Engine."""
        return mysql_checks.refuse_unsuitable(session, self.connect)

    def lock(self, *, exclusive: bool, should_stop: Callable[[], None], wait_seconds: float) -> MySQLLock:
        """See interface.Engine."""
        session = self.connect(statement_timeout_seconds=60)
        try:
            lock = MySQLLock(session, self._application_name)
        except BaseException:
            session.close()
            raise
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
        held = session.rows(holders(guest_locks(_schema(session))))[0]
        return tuple(Guest(int(number), "env.py") for number in held if number is not None)

    def cancel(self, session: Session, guests: tuple[Guest, ...]) -> None:
        """See interface.Engine."""
        self._kill(session, guests, "KILL QUERY")

    def terminate(self, session: Session, guests: tuple[Guest, ...]) -> None:
        """See interface.Engine."""
        self._kill(session, guests, "KILL")

    def changes(self, session: Session) -> str | None:
        """What a server counts of commits is everybody's, in all of its databases."""
        del session
        return None  # there is no such value

    def before(self, session: Session, checks: ChecksBefore) -> BeforeReport:
        """See interface.Engine."""
        return mysql_checks.before(session, checks)

    def has_table(self, session: Session, name: str) -> bool:
        """See interface.Engine."""
        return mysql_checks.has_table(session, name)

    def has_column(self, session: Session, name: str) -> bool:
        """See interface.Engine."""
        return mysql_checks.has_column(session, name)

    def rows(self, session: AskingSession, table: str, column: str | None, *, seconds: float) -> int | None:
        """See interface.Engine."""
        return mysql_row_counts.rows(session, table, column, seconds=seconds)

    def has_rows(self, session: AskingSession, table: str, column: str | None, *, seconds: float) -> bool | None:
        """See interface.Engine."""
        return mysql_row_counts.has_rows(session, table, column, seconds=seconds)

    def integrity(self, session: Session) -> tuple[CheckReport, ...]:
        """See interface.Engine."""
        return mysql_checks.integrity(session)

    def unfinished(self, session: Session) -> tuple[str, ...]:
        """See interface.Engine."""
        return mysql_checks.unfinished(session)

    def in_the_way(self, session: Session) -> tuple[str, ...]:
        """See interface.Engine."""
        return mysql_checks.in_the_way(session)

    def lock_timeout_of(self, locks: LockBudget) -> int | None:
        """The servers know whole seconds only: rounded up, for 0 would mean not to wait at all, and never get through."""
        return max(-(-locks.timeout_milliseconds // 1000), 1) * 1000

    def _refuse_fenced(self, session: Session) -> None:
        """A restore may have begun since the session was opened: then there is no such table for as long as it takes."""
        if mysql_record.stage(session) is not None:
            raise Refusal(RunnerReason.FENCED, "A restore of this database is not at its end, and lets nobody in.")

    def _secure(self, directory: str | None) -> None:
        self._own_url = with_tls(self.url, directory)
        if takes_files(self.url):
            self.url = self._own_url

    def _sessions(self, first: list[str], statement_timeout_seconds: float | None) -> SQLAlchemyEngine:
        key = "; ".join(first)
        if key not in self._pools:
            url, arguments = for_driver(self._own_url, self._driver, statement_timeout_seconds)
            self._pools[key] = sessions(url, connect_args=arguments, first=first)
        return self._pools[key]

    def _wait(self, lock: MySQLLock, should_stop: Callable[[], None], until: float) -> None:
        """Poll. A holder of our own run is an earlier attempt whose Pod was given up: it is ended once."""
        ended = False
        while not lock.try_exclusive():
            should_stop()
            if time.monotonic() >= until:
                holder = lock.holder()
                if ended or holder is None or not holder.ours:
                    raise Refusal(
                        RunnerReason.LOCK_HELD,
                        f"Another migration holds this database: {holder or 'another session'}.",
                    )
                lock.terminate(holder.session)
                ended, until = True, time.monotonic() + AFTER_TERMINATE_SECONDS
            time.sleep(POLL_SECONDS)

    def _kill(self, session: Session, guests: tuple[Guest, ...], how: str) -> None:
        """End those that still hold a lock of ours: after a restart of the server a number may be somebody else's."""
        schema = _schema(session)
        alive = session.rows(holders((*guest_locks(schema), *reader_locks(schema))))[0]
        for guest in guests:
            if guest.session in alive:
                # It ended meanwhile, or runs a routine with its definer's rights and counts as his: who waits sees that.
                with contextlib.suppress(StatementRefused):
                    session.run(f"{how} {guest.session:d}")


def _schema(session: Session) -> str:
    schema = session.value(f"SELECT {SCHEMA}")
    if schema is None:
        raise no_schema()
    return str(schema)
