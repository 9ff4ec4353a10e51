"""The application's own PostgreSQL connections, dressed on the driver's level, whatever the driver.

Must not leave a transaction open, and must not use parameters or the percent sign: drivers differ in both.
"""
# ruff: noqa: S608  # statements are made of numbers, quoted names and literals of our own

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from dbmigration_runner.engines.interface import Adopted, Grantee, Rights
from dbmigration_runner.engines.postgresql_names import GUEST_KEY, quoted, text_literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dbmigration_runner.engines.interface import GuestOrder

# CONCURRENTLY waits for old transactions by taking locks on them: a lock timeout would end it and leave an invalid index.
# The word may stand in a comment or a string too. Statements that begin like these cannot run in a transaction of others,
# so none of them holds a lock that was taken without a limit.
_CONCURRENTLY = re.compile(
    r"^(?:\s|--[^\n]*\n|/\*.*?\*/)*(?:CREATE\s+(?:UNIQUE\s+)?INDEX|DROP\s+INDEX|REINDEX\b(?:(?!--|/\*)[^;'])*"
    r"|ALTER\s+TABLE\b(?:(?!--|/\*)[^;'])*DETACH\s+PARTITION\s+(?:\"[^\"]*\"|[^\s;'\"/-])+)\s+CONCURRENTLY\b",
    re.IGNORECASE | re.DOTALL,
)
# Not SELECT, which may call anything, and not EXPLAIN, which may ANALYZE.
_READS = ("SHOW", "SET ", "RESET", "BEGIN", "ROLLBACK", "SAVEPOINT", "RELEASE")
# What SQLAlchemy's inspector asks: of the catalog alone, and every function called by its qualified name.
_OUTSIDE_THE_CATALOG = re.compile(r"\b(?:FROM|JOIN)\s+(?!pg_catalog\.|\()", re.IGNORECASE)
_CALL = re.compile(
    r"(?<![\w.\"])(?!(?:pg_catalog\s*\.|IN|AND|OR|AS|ON|ANY|ALL|NOT|CASE|WHEN|THEN|ELSE|CAST|EXISTS|FROM|JOIN|WHERE"
    r"|SELECT|LATERAL|COALESCE|FILTER)\b)[\w.\"]+\s*\(",
    re.IGNORECASE,
)
# After a ROLLBACK that the driver does not know of, what follows commits by itself; one to a savepoint is none.
_MAY_COMMIT = re.compile(
    r"\b(?:COMMIT|END|PREPARE\s+TRANSACTION)\b|\b(?:ROLLBACK|ABORT)\b(?!\s+(?:WORK\s+|TRANSACTION\s+)?TO\b)",
    re.IGNORECASE,
)
# Where a statement begins: of a text, or of the next one in it.
_BEGINNING = r"(?:^|;)(?:\s|--[^\n]*(?:\n|$)|/\*.*?\*/)*"
# A CASE ends with END too, and an UPDATE with one may well fail for a lock: there it must be a statement's beginning.
_COMMITTED_A_PART = re.compile(rf"\bCOMMIT\b|{_BEGINNING}END\b|\bPREPARE\s+TRANSACTION\b", re.IGNORECASE | re.DOTALL)
_RUNS_A_PROCEDURE = re.compile(rf"{_BEGINNING}(?:CALL|DO)\b", re.IGNORECASE | re.DOTALL)
# The server looks every few seconds whether its client still lives: an ALTER of a dead Pod must not run on for hours.
_NOTICE_DEATH = {"client_connection_check_interval": "5s", "tcp_keepalives_idle": "10", "tcp_keepalives_interval": "5"}


class PostgreSQLGuests:
    """See interface.Guests."""

    def stand_in(self, arguments: Sequence[Any], order: GuestOrder) -> None:
        """A server makes no database because somebody asks for it."""
        del arguments, order

    def adopt(self, connection: Any, order: GuestOrder) -> Adopted:
        """See interface.Guests."""
        key = int(order.proof["key"])
        settings = {"application_name": order.application_name, **_NOTICE_DEATH}
        if order.read_only:
            settings["default_transaction_read_only"] = "on"
        if order.lock_timeout_milliseconds is not None:
            settings["lock_timeout"] = f"{order.lock_timeout_milliseconds:d}ms"
        try:
            session = _value(connection, "SELECT pg_catalog.pg_backend_pid()")
            # False can only mean that somebody holds this key, and only our parent knows it: so this is its database.
            free = _value(connection, f"SELECT pg_catalog.pg_try_advisory_lock_shared({key:d})")
            if free:
                _value(connection, f"SELECT pg_catalog.pg_advisory_unlock_shared({key:d})")
            wanted = ", ".join(f"({text_literal(name)}, {text_literal(value)})" for name, value in settings.items())
            _value(
                connection,
                "SELECT count(pg_catalog.set_config(s.name, w.value, false)) FROM pg_catalog.pg_settings s"
                f" JOIN (VALUES {wanted}) AS w (name, value) ON w.name = s.name",
            )
            if not order.read_only:
                _value(connection, f"SELECT pg_catalog.pg_try_advisory_lock_shared({GUEST_KEY:d})")
            connection.commit()
        except BaseException:
            connection.rollback()
            raise
        return Adopted(session=int(session), proven=not free)

    def begins(self, connection: Any) -> None:
        """The server knows what a transaction wrote."""

    def will_commit_writes(self, connection: Any) -> bool:
        """A transaction has a number of its own as soon as it wrote."""
        return _value(connection, "SELECT pg_catalog.txid_current_if_assigned()") is not None

    def commits_by_itself(self, connection: Any) -> bool:
        """Every supported driver, and SQLAlchemy's adapters of the asynchronous ones, has this attribute."""
        return bool(getattr(connection, "autocommit", False))

    def may_write(self, statement: str) -> bool:
        """See interface.Guests. Several statements in one text are what the later ones are."""
        text = statement.strip().rstrip(";")
        if ";" in text:
            return True
        if text[:6].upper() == "SELECT":
            return _OUTSIDE_THE_CATALOG.search(text) is not None or _CALL.search(text) is not None
        return not text.upper().startswith(_READS)

    def may_commit(self, statement: str) -> bool:
        """See interface.Guests. Drivers send a text of several statements as it is, with a COMMIT in its middle."""
        return _MAY_COMMIT.search(statement) is not None

    def commits_before_failing(self, connection: Any, statement: str) -> bool:
        """See interface.Guests. A procedure may commit where nothing else began the transaction."""
        calls = _RUNS_A_PROCEDURE.search(statement) is not None
        return _COMMITTED_A_PART.search(statement) is not None or (calls and self.commits_by_itself(connection))

    def transaction(self, connection: Any) -> str:
        """When it began, in microseconds: the number that a transaction gets when it writes may not be there yet."""
        return str(_value(connection, "SELECT CAST(pg_catalog.transaction_timestamp() AS text)"))

    def schema_of(self, connection: Any, table: str) -> str | None:
        """See interface.Guests."""
        found = _value(
            connection,
            "SELECT coalesce((SELECT n.nspname FROM pg_catalog.pg_class c"
            " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
            f" WHERE c.oid = pg_catalog.to_regclass({text_literal(quoted(table))})), pg_catalog.current_schema())",
        )
        return str(found) if found is not None else None

    def rights(self, connection: Any, schema: str | None, version_table: str) -> Rights:
        """See interface.Guests."""
        here, table = text_literal(schema or ""), text_literal(version_table)
        mine = "n.nspname OPERATOR(pg_catalog.!~) '^pg_' AND n.nspname OPERATOR(pg_catalog.<>) 'information_schema'"
        writes, creates, somewhere, tables, owned, role, place, named = _row(
            connection,
            "SELECT (SELECT pg_catalog.bool_and(pg_catalog.has_table_privilege(c.oid, p.privilege))"
            "  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace,"
            "  (VALUES ('INSERT'), ('UPDATE'), ('DELETE'), ('SELECT')) AS p (privilege)"
            f"  WHERE n.nspname = {here} AND c.relname = {table}),"
            " (SELECT pg_catalog.has_schema_privilege(n.oid, 'CREATE') FROM pg_catalog.pg_namespace n"
            f"  WHERE n.nspname = {here}),"
            " (SELECT pg_catalog.bool_or(pg_catalog.has_schema_privilege(n.oid, 'CREATE')) FROM pg_catalog.pg_namespace n"
            f"  WHERE {mine}),"
            " t.tables, t.owned, pg_catalog.quote_ident(CURRENT_USER),"
            f" pg_catalog.quote_ident({here}), pg_catalog.quote_ident({table}) FROM (SELECT count(*) AS tables,"
            "  count(*) FILTER (WHERE pg_catalog.pg_has_role(c.relowner, 'USAGE')) AS owned"
            "  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
            f"  WHERE c.relkind IN ('r', 'p') AND {mine} AND NOT (n.nspname = {here} AND c.relname = {table})"
            "  AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass"
            "   AND d.objid = c.oid AND d.deptype = 'e')) AS t",
        )
        grantee = Grantee(f"The role {role}", role, f"schema {place}", f"SCHEMA {place}", f"TABLE {place}.{named}")
        return Rights(writes, creates, somewhere, int(tables), int(owned), grantee=grantee)

    def waits_for_others(self, statement: str) -> bool:
        """See interface.Guests."""
        return _CONCURRENTLY.search(statement) is not None

    def may_be_repeated(self, connection: Any, statement: str, *, alone: bool) -> bool:
        """After an error nothing but the end of its transaction is accepted: the revision is tried again, not the statement."""
        del connection, statement, alone
        return False

    def set_lock_timeout(self, connection: Any, milliseconds: int) -> None:
        """See interface.Guests."""
        _value(connection, f"SELECT pg_catalog.set_config('lock_timeout', '{milliseconds:d}ms', false)")


def _value(connection: Any, statement: str) -> Any:
    return _row(connection, statement)[0]


def _row(connection: Any, statement: str) -> Any:
    cursor = connection.cursor()
    try:
        cursor.execute(statement)
        return cursor.fetchone()
    finally:
        cursor.close()


GUESTS = PostgreSQLGuests()
