"""Dresses every connection that the application's env.py opens, and sees every statement and commit on it.

SQLAlchemy's events on the class Engine are the only seam that sees them all, whatever env.py does. Knows no engine and
no revision; must leave no transaction open on a connection, for Alembic would then never commit.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import threading
from typing import TYPE_CHECKING, Any

from sqlalchemy import event
from sqlalchemy.engine import Engine

from dbmigration_runner.checks.patience import Patience
from dbmigration_runner.checks.statements import shown
from dbmigration_runner.checks.transcript import Transcript
from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.engines.messages import sql_error
from dbmigration_runner.errors import Stopped
from dbmigration_runner.events import Committed, EventWriter, Opened, Settled

if TYPE_CHECKING:
    from collections.abc import Callable

    from dbmigration_runner.engines.interface import GuestOrder, Guests

INFO_KEY = "dbmigration.adopted"
_STAND_IN_KEY = "dbmigration.stand-in"  # opened in the place of the manifest's database, which is not there yet
_TRANSACTION_KEY = "dbmigration.transaction"  # the one in which a statement began that may end it


class Connections:
    """The application's connections, from the first to the last."""

    def __init__(self, order: GuestOrder, tell: EventWriter) -> None:
        self._order = order
        self._tell = tell
        self._guests = _guests_of(order.engine)
        self._stopping = threading.Event()
        self._revisions_run = False
        self._committed = False
        self._transcript = Transcript(tell)
        self._patience = Patience(order.retry_for_seconds, tell, self._stopping)
        self.write_refused = False  # a session that may only read was asked to write
        self.waited_for = ""  # the last statement, without values, that did not get a lock in time

    def install(self) -> None:
        """From here on; nothing of the application may be imported before."""
        event.listen(Engine, "do_connect", self._open)
        event.listen(Engine, "connect", self._connect)
        event.listen(Engine, "before_cursor_execute", self._before_statement)
        event.listen(Engine, "do_execute", self._execute)
        event.listen(Engine, "do_execute_no_params", self._execute_as_written)
        event.listen(Engine, "after_cursor_execute", self._after_statement)
        event.listen(Engine, "handle_error", self._failed)
        event.listen(Engine, "begin", self._begin)
        event.listen(Engine, "commit", self._commit)
        event.listen(Engine, "rollback", self._roll_back)
        event.listen(Engine, "savepoint", self._savepoint)
        event.listen(Engine, "rollback_savepoint", self._roll_back_to_savepoint)
        event.listen(Engine, "prepare_twophase", self._commit_in_two_phases)
        event.listen(Engine, "commit_twophase", self._commit_in_two_phases)

    def stop(self) -> None:
        """Refuse every further statement: an `except` in a revision may go on after its statement was cancelled."""
        self._stopping.set()

    def watch_commits(self) -> None:
        """Revisions run from here on: a commit means that something stays."""
        self._revisions_run = True

    def begin_revision(self, revision: str) -> None:
        """What runs from here on is of this one."""
        self._transcript.revision = revision

    def settle(self) -> None:
        """What was committed until now is answered for by the revisions that the version table holds."""
        self._committed = False
        self._tell(Settled())

    def are_of_the_manifest(self, connection: Any) -> bool:
        """Is this connection in the manifest's database?

        Asked of what was seen when it was opened: a statement now would begin a transaction.
        """
        adopted = connection.info.get(INFO_KEY)
        return adopted is not None and adopted.proven

    def ask(self, question: str, connection: Any, *arguments: Any) -> Any:
        """Ask a method of interface.Guests about a connection of SQLAlchemy's."""
        return getattr(self._guests, question)(_driver(connection), *arguments)

    def _open(self, dialect: Any, record: Any, arguments: Any, options: Any) -> Any:
        """A connection, or None for SQLAlchemy to open it as it would."""
        record.info.pop(_STAND_IN_KEY, None)
        if not dialect.name.startswith(self._order.engine):
            return None
        instead = self._guests.stand_in(arguments, self._order)
        if instead is None:
            return None
        record.info[_STAND_IN_KEY] = True
        return dialect.connect(*instead, **options)

    def _connect(self, dbapi_connection: Any, record: Any) -> None:
        record.info.pop(INFO_KEY, None)
        try:
            adopted = self._guests.adopt(dbapi_connection, self._order)
        except Exception:  # noqa: BLE001  # another engine's connection does not understand us, and stays as it is
            with contextlib.suppress(Exception):
                dbapi_connection.rollback()
            return
        if _STAND_IN_KEY in record.info:
            adopted = dataclasses.replace(adopted, proven=True)
        record.info[INFO_KEY] = adopted
        self._tell(Opened(adopted.session, adopted.proven))

    def _before_statement(self, connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        del cursor
        if self._stopping.is_set():
            raise Stopped(RunnerReason.CANCELLED, "The step was told to stop.")
        if self._waits_for_others(connection, statement):
            self._guests.set_lock_timeout(_driver(connection), 0)
        if self._watches(connection) and self._guests.may_commit(statement):
            connection.info[_TRANSACTION_KEY] = self._transaction(connection)

    def _execute(self, cursor: Any, statement: str, parameters: Any, context: Any) -> bool:
        return self._patiently(
            statement, context, lambda: context.dialect.do_execute(cursor, statement, parameters, context)
        )

    def _execute_as_written(self, cursor: Any, statement: str, context: Any) -> bool:
        return self._patiently(
            statement, context, lambda: context.dialect.do_execute_no_params(cursor, statement, context)
        )

    def _patiently(self, statement: str, context: Any, execute: Callable[[], None]) -> bool:
        """False for SQLAlchemy to execute it by itself."""
        connection = context.root_connection
        if not self._patience.seconds or not self._watches(connection):
            return False
        self._patience.run(
            execute,
            lambda: self._may_be_repeated(connection, statement),
            lambda: shown(statement, name_quote=_name_quote(connection)),
        )
        return True

    def _may_be_repeated(self, connection: Any, statement: str) -> bool:
        """Where nothing of the revision stays it is better tried again as a whole: then nobody is held up meanwhile."""
        writes_before = self._transcript.has_notes(connection.info)
        if not self._committed and not writes_before:
            return False
        alone = not writes_before and connection.info[INFO_KEY].transactional
        return self._guests.may_be_repeated(_driver(connection), statement, alone=alone)

    def _after_statement(self, connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        del cursor
        self._limit_locks_again(connection, statement)
        if not self._watches(connection):
            return
        writes = self._guests.may_write(statement)
        if writes:
            self._transcript.note(connection.info, statement, name_quote=_name_quote(connection))
        if self._guests.commits_by_itself(_driver(connection)):
            if writes:
                self._something_stays(connection)
        elif self._guests.may_commit(statement):
            began_in = connection.info.pop(_TRANSACTION_KEY, None)
            if began_in is None or began_in != self._transaction(connection):
                self._something_stays(connection)
        elif writes and not connection.info[INFO_KEY].transactional:
            self._something_stays(connection)

    def _failed(self, context: Any) -> None:
        found = sql_error(context.original_exception)
        self.write_refused = self.write_refused or (found is not None and found.is_write_refused)
        if context.connection is not None and context.statement is not None:
            if found is not None and found.is_lock_timeout:
                self.waited_for = shown(context.statement, name_quote=_name_quote(context.connection))
            with contextlib.suppress(Exception):  # the transaction is aborted, or the session gone: nothing to restore
                self._limit_locks_again(context.connection, context.statement)
            if self._watches(context.connection) and self._stays_though_failed(context.connection, context.statement):
                self._something_stays(context.connection)

    def _stays_though_failed(self, connection: Any, statement: str) -> bool:
        with contextlib.suppress(Exception):  # a session that is gone answers nothing: its server did what it did
            if self._guests.commits_before_failing(_driver(connection), statement):
                return True
        untransactional = not connection.info[INFO_KEY].transactional
        return untransactional and self._guests.may_write(statement) and not self._guests.may_commit(statement)

    def _begin(self, connection: Any) -> None:
        if self._watches(connection):
            with contextlib.suppress(Exception):  # what then is not known is taken for the worse
                self._guests.begins(_driver(connection))

    def _roll_back(self, connection: Any) -> None:
        if self._watches(connection):
            self._transcript.rolled_back(connection.info)

    def _savepoint(self, connection: Any, name: str) -> None:
        if self._watches(connection):
            self._transcript.savepoint(connection.info, name)

    def _roll_back_to_savepoint(self, connection: Any, name: str, _: Any) -> None:
        if self._watches(connection):
            self._transcript.rolled_back_to(connection.info, name)

    def _commit(self, connection: Any) -> None:
        if not self._watches(connection):
            return
        with contextlib.suppress(Exception):  # an aborted transaction answers nothing, and leaves nothing
            if self._guests.will_commit_writes(_driver(connection)):
                self._something_stays(connection)
        self._transcript.rolled_back(connection.info)  # what is still noted was not written

    def _commit_in_two_phases(self, connection: Any, *_: Any) -> None:
        if self._watches(connection):
            self._something_stays(connection)

    def _something_stays(self, connection: Any) -> None:
        if not self._committed:
            self._committed = True
            self._tell(Committed())
        self._transcript.committed(connection.info)

    def _watches(self, connection: Any) -> bool:
        if not self._revisions_run:
            return False
        try:
            return INFO_KEY in connection.info
        except NotImplementedError:  # SQLAlchemy makes itself acquainted with the server of another engine
            return False

    def _transaction(self, connection: Any) -> str | None:
        with contextlib.suppress(Exception):  # an aborted transaction answers nothing
            return self._guests.transaction(_driver(connection))
        return None

    def _waits_for_others(self, connection: Any, statement: str) -> bool:
        limited = self._order.lock_timeout_milliseconds is not None and INFO_KEY in connection.info
        return limited and self._guests.waits_for_others(statement)

    def _limit_locks_again(self, connection: Any, statement: str) -> None:
        if self._waits_for_others(connection, statement):
            self._guests.set_lock_timeout(_driver(connection), self._order.lock_timeout_milliseconds or 0)


def _driver(connection: Any) -> Any:
    """The driver's connection beneath SQLAlchemy's: no statement on it begins a transaction of SQLAlchemy's."""
    pooled = connection.connection
    return getattr(pooled, "dbapi_connection", None) or pooled.connection


def _name_quote(connection: Any) -> str:
    """What begins a quoted name on this connection, and so no value."""
    return str(connection.dialect.identifier_preparer.initial_quote)


def _guests_of(engine: str) -> Guests:
    module: Any = importlib.import_module(f"dbmigration_runner.engines.{engine}_guest")
    guests: Guests = module.GUESTS
    return guests
