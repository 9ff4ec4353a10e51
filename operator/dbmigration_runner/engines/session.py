"""A connection of ours, over SQLAlchemy, whatever driver is there: also an asynchronous one.

An image may hold asyncpg alone. Its connection is driven from synchronous code by SQLAlchemy's own greenlet bridge on a
private event loop. Knows no engine: what each server needs said at connect is given in.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import create_engine, event, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from dbmigration_runner.engines import mysql_messages
from dbmigration_runner.engines.messages import SqlError, describe, sql_error
from dbmigration_runner.errors import SessionLost, StatementRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Self

    from sqlalchemy.engine import URL, Connection, Engine

T = TypeVar("T")
S = TypeVar("S", bound="AlchemySession")
# Connection exceptions (class 08) and "terminated", "crashed", "shutting down", "idle session timeout".
_AS_WRITTEN = {"no_parameters": True}
_LOST = ("08", "57P01", "57P02", "57P03", "57P05")


def sessions(url: URL, *, connect_args: dict[str, Any], first: Sequence[str]) -> Engine:
    """What opens sessions of one kind: made once, for SQLAlchemy asks a server about itself once for each.

    `first` is said on the driver's connection before SQLAlchemy asks anything there: its own questions at connect call
    functions by unqualified names, which the search_path of a hostile database leads to functions of its own.
    """
    engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT", connect_args=connect_args)

    @event.listens_for(engine, "connect", insert=True)
    def say_first(driver: Any, record: Any) -> None:
        del record
        cursor = driver.cursor()
        for statement in first:
            cursor.execute(statement)
        cursor.close()
        driver.commit()

    return engine


class AlchemySession:
    """See interface.AskingSession."""

    def __init__(self, pool: Engine, *, asynchronous: bool) -> None:
        """Connect; driver errors come out as they are, for the engine to translate."""
        self._loop = asyncio.new_event_loop() if asynchronous else None
        self._connection: Connection | None = None
        try:
            self._connection = self._drive(pool.connect)
        except BaseException:
            self.close()
            raise

    def rows(self, statement: str, /, **parameters: Any) -> list[tuple[Any, ...]]:
        """See interface.Session."""
        return self._say(self._rows, statement, parameters)

    def value(self, statement: str, /, **parameters: Any) -> Any:
        """See interface.Session."""
        found = self.rows(statement, **parameters)
        return found[0][0] if found else None

    def run(self, statement: str, /) -> None:
        """See interface.Session."""
        self._say(self._plain, statement)

    def first_value(self, statement: str, /) -> Any:
        """See interface.AskingSession."""
        return self._say(self._first_value, statement)

    @property
    def driver(self) -> Any:
        """The driver's own connection, for what no statement can say."""
        return self._open.connection.driver_connection

    def close(self) -> None:
        """See interface.Session."""
        with contextlib.suppress(Exception):  # the session may be dead: there is nothing left to save
            if self._connection is not None:
                self._drive(self._connection.close)
        self._connection = None
        if self._loop is not None:
            self._loop.close()
            self._loop = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _say(self, how: Callable[..., T], *arguments: Any) -> T:
        try:
            return self._drive(how, *arguments)
        except (SQLAlchemyError, OSError, asyncio.TimeoutError) as error:  # noqa: UP041  # two until 3.11
            raise translate(error) from None

    def _drive(self, how: Callable[..., T], *arguments: Any) -> T:
        if self._loop is None:
            return how(*arguments)
        from sqlalchemy.util.concurrency import greenlet_spawn

        return self._loop.run_until_complete(greenlet_spawn(how, *arguments))

    @property
    def _open(self) -> Connection:
        if self._connection is None:
            raise SessionLost("The session was closed.")
        return self._connection

    def _rows(self, statement: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in self._open.execute(text(statement), parameters)]

    def _plain(self, statement: str) -> None:
        self._open.exec_driver_sql(statement, execution_options=_AS_WRITTEN)

    def _first_value(self, statement: str) -> Any:
        row = self._open.exec_driver_sql(statement, execution_options=_AS_WRITTEN).fetchone()
        return row[0] if row is not None else None


def translate(error: BaseException) -> StatementRefused | SessionLost:
    """Our words for what a driver raised on an open session."""
    found = sql_error(error) or SqlError("", describe(error))
    gone = isinstance(error, DBAPIError) and error.connection_invalidated
    ended = found.code.startswith(_LOST) or found.code in mysql_messages.LOST
    if gone or ended or not isinstance(error, DBAPIError):
        return SessionLost(f"The session with the database was lost: {found}.")
    return StatementRefused(found.code, str(found))
