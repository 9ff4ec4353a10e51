"""The application's own SQLite connections, dressed on the driver's level."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dbmigration_runner.engines.interface import Adopted, Rights

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dbmigration_runner.engines.interface import GuestOrder

_READS = ("SELECT", "PRAGMA", "EXPLAIN", "BEGIN", "ROLLBACK", "SAVEPOINT", "RELEASE")


class SQLiteGuests:
    """See interface.Guests."""

    def stand_in(self, arguments: Sequence[Any], order: GuestOrder) -> Sequence[Any] | None:
        """SQLite makes a file at the first look where there was none: an empty database in memory is looked at instead."""
        if not order.read_only or not arguments:
            return None
        path = str(arguments[0])
        meant = os.path.realpath(path) == os.path.realpath(order.proof["path"])
        return [":memory:", *arguments[1:]] if meant and not Path(path).exists() else None

    def adopt(self, connection: Any, order: GuestOrder) -> Adopted:
        """See interface.Guests. The proof is the file."""
        rows = _rows(connection, "PRAGMA database_list")
        path = next((str(row[2]) for row in rows if row[1] == "main"), "")
        proven = bool(path) and os.path.realpath(path) == os.path.realpath(order.proof["path"])
        if order.read_only:
            _rows(connection, "PRAGMA query_only = ON")
        if order.lock_timeout_milliseconds is not None:
            _rows(connection, f"PRAGMA busy_timeout = {order.lock_timeout_milliseconds:d}")
        return Adopted(session=0, proven=proven)

    def begins(self, connection: Any) -> None:
        """The driver knows whether a transaction is open."""

    def will_commit_writes(self, connection: Any) -> bool:
        """The driver begins a transaction at the first write, and at nothing else."""
        return bool(getattr(_driver_connection(connection), "in_transaction", False))

    def commits_by_itself(self, connection: Any) -> bool:
        """Outside a transaction of the driver's, every statement is committed as it ends: schema changes mostly are."""
        return not self.will_commit_writes(connection)

    def may_write(self, statement: str) -> bool:
        """A SELECT calls nothing that could write."""
        return not statement.lstrip().upper().startswith(_READS)

    def may_commit(self, statement: str) -> bool:
        """The driver takes one statement at a time, and knows after each whether a transaction is left."""
        del statement
        return False

    def commits_before_failing(self, connection: Any, statement: str) -> bool:
        """A statement is all or nothing."""
        del connection, statement
        return False

    def transaction(self, connection: Any) -> str:
        """See `may_commit`: it need not be told from another."""
        del connection
        return ""

    def schema_of(self, connection: Any, table: str) -> str | None:
        """See interface.Guests."""
        del connection, table
        return None  # a schema that is not there, not nothing to say

    def rights(self, connection: Any, schema: str | None, version_table: str) -> Rights:
        """Who may write the file may do everything, and that is checked before."""
        del connection, schema, version_table
        return Rights()

    def waits_for_others(self, statement: str) -> bool:
        """Nothing in SQLite waits for anything but the one write lock."""
        del statement
        return False

    def may_be_repeated(self, connection: Any, statement: str, *, alone: bool) -> bool:
        """There is no lock budget: it waits as long as the application wants it to."""
        del connection, statement, alone
        return False

    def set_lock_timeout(self, connection: Any, milliseconds: int) -> None:
        """See interface.Guests."""
        _rows(connection, f"PRAGMA busy_timeout = {milliseconds:d}")


def _rows(connection: Any, statement: str) -> list[Any]:
    cursor = connection.cursor()
    try:
        cursor.execute(statement)
        return list(cursor.fetchall())
    finally:
        cursor.close()


def _driver_connection(connection: Any) -> Any:
    """SQLAlchemy's adapter of aiosqlite holds the driver's connection, and that one the standard library's."""
    inner = getattr(connection, "driver_connection", None) or getattr(connection, "_connection", None) or connection
    return getattr(inner, "_conn", None) or inner


GUESTS = SQLiteGuests()
