"""The application's own MariaDB connections, dressed on the driver's level, whatever the driver.

Every change of the schema commits what ran before it, also where it then fails. What this server tells nobody, which
transaction this is and whether it wrote, is found out by a savepoint that ends with the transaction and by the session's
own counters; what was noted is kept in the session's user variables, for drivers' connections cannot all hold notes.
Must not leave a transaction open, and must not use parameters or the percent sign: drivers differ in both.
"""
# ruff: noqa: S608  # statements are made of numbers, quoted names and literals of our own

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING, Any

from dbmigration_runner.engines.interface import Adopted, Grantee, Rights
from dbmigration_runner.engines.mysql_names import SCHEMA, guest_locks, quoted, reader_locks, take_first, text_literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dbmigration_runner.engines.interface import GuestOrder

# A comment that begins with an exclamation mark is none: the server executes it.
_COMMENTS = re.compile(r"^(?:\s|--[ \t][^\n]*(?:\n|$)|#[^\n]*(?:\n|$)|/\*(?!M?!).*?\*/|\()*", re.DOTALL)
_WORD = re.compile(r"[A-Za-z]+")
_NEVER_WRITES = frozenset(
    ("SHOW", "DESC", "DESCRIBE", "EXPLAIN", "USE", "BEGIN", "START", "ROLLBACK", "SAVEPOINT", "RELEASE", "SET", "HELP")
)
# Everything else ends the transaction that it finds, or may run something that does.
_NEVER_COMMITS = frozenset(
    (
        *("SELECT", "INSERT", "UPDATE", "DELETE", "REPLACE", "WITH", "VALUES", "SHOW", "DESC", "DESCRIBE", "EXPLAIN"),
        *("USE", "DO", "HANDLER", "HELP", "ROLLBACK", "SAVEPOINT", "RELEASE"),
    )
)
# Changes of a schema: done whole or not at all, but for what ran before them.
_OF_THE_SCHEMA = frozenset(("ALTER", "CREATE", "DROP", "RENAME", "TRUNCATE"))
_OF_ROWS = frozenset(("INSERT", "UPDATE", "DELETE", "REPLACE"))
_SETS_A_VARIABLE = re.compile(r"SET\s+(?!STATEMENT\b)(?!.*\bautocommit\b)", re.IGNORECASE | re.DOTALL)
# A stored function may write, a sequence moves, and INTO leads to a file.
_MAY_CALL = re.compile(r"\(|\bINTO\b|\bNEXT\b", re.IGNORECASE)
_SAVEPOINT = "dbmigration"
_IN_TRANSACTION = "SELECT /*M! @@in_transaction */ /*!50708 1 */"  # MySQL does not tell: so yes
_UNTRANSACTIONAL = (
    "FROM information_schema.TABLES t JOIN information_schema.ENGINES e ON e.ENGINE = t.ENGINE"
    " WHERE t.TABLE_SCHEMA = DATABASE() AND t.TABLE_TYPE NOT IN ('VIEW', 'SEQUENCE', 'TEMPORARY')"
    " AND e.TRANSACTIONS <> 'YES'"
)
_COUNTERS = "SHOW SESSION STATUS WHERE Variable_name IN ('Handler_write', 'Handler_update', 'Handler_delete')"


class MySQLGuests:
    """See interface.Guests."""

    def stand_in(self, arguments: Sequence[Any], order: GuestOrder) -> None:
        """A server makes no database because somebody asks for it."""
        del arguments, order

    def adopt(self, connection: Any, order: GuestOrder) -> Adopted:
        """See interface.Guests."""
        proof = order.proof
        try:
            session, schema, holder = _row(
                connection, f"SELECT CONNECTION_ID(), {SCHEMA}, IS_USED_LOCK({text_literal(proof['lock'])})"
            )
            # Held by this very session: then it is on our parent's server; and only there its number means anything.
            proven = str(holder) == proof["session"] and str(schema) == proof["schema"]
            names = (reader_locks if order.read_only else guest_locks)(proof["schema"])
            _take_a_place(connection, names)
            if order.lock_timeout_milliseconds is not None:
                self.set_lock_timeout(connection, order.lock_timeout_milliseconds)
            transactional = True
            if order.read_only:
                _run(connection, "SET SESSION TRANSACTION READ ONLY")
            else:
                transactional = _is_transactional(connection)
                self.begins(connection)
            connection.commit()
        except BaseException:
            connection.rollback()
            raise
        return Adopted(session=int(session), proven=proven, transactional=transactional)

    def begins(self, connection: Any) -> None:
        """See interface.Guests."""
        _run(connection, f"SET @dbmigration_counted = {_counted(connection):d}, @dbmigration_wrote = 0")

    def will_commit_writes(self, connection: Any) -> bool:
        """A transaction that only read is one too, and Alembic begins each with reading."""
        return bool(_row(connection, _IN_TRANSACTION)[0]) and self._has_written(connection)

    def commits_by_itself(self, connection: Any) -> bool:
        """Not within a transaction that was begun by a statement, whatever the driver believes."""
        return _autocommit(connection) and not _row(connection, _IN_TRANSACTION)[0]

    def may_write(self, statement: str) -> bool:
        """See interface.Guests. Several statements in one text are what the later ones are."""
        text = _bare(statement)
        word = _first_word(text)
        if ";" in text or word not in _NEVER_WRITES | {"SELECT"}:
            return True
        return word == "SELECT" and _MAY_CALL.search(text) is not None

    def may_commit(self, statement: str) -> bool:
        """See interface.Guests."""
        text = _bare(statement)
        return ";" in text or not (_first_word(text) in _NEVER_COMMITS or _SETS_A_VARIABLE.match(text))

    def commits_before_failing(self, connection: Any, statement: str) -> bool:
        """See interface.Guests. A change of the schema that failed did nothing, and committed what was written before it."""
        if not self.may_commit(statement) or _release(connection):
            return False
        text = _bare(statement)
        if ";" in text or _first_word(text) not in _OF_THE_SCHEMA:
            return True
        return bool(_row(connection, "SELECT @dbmigration_wrote")[0])

    def transaction(self, connection: Any) -> str:
        """A savepoint ends with its transaction, however that ends."""
        if not _release(connection):
            wrote = int(self._has_written(connection))
            name = text_literal(secrets.token_hex(8))
            _run(connection, f"SET @dbmigration_transaction = {name}, @dbmigration_wrote = {wrote:d}")
        _run(connection, f"SAVEPOINT {_SAVEPOINT}")
        return str(_row(connection, "SELECT @dbmigration_transaction")[0])

    def schema_of(self, connection: Any, table: str) -> str | None:
        """See interface.Guests."""
        del connection, table
        return None  # the database itself, which the URL names

    def rights(self, connection: Any, schema: str | None, version_table: str) -> Rights:
        """What is granted to a role or by a pattern is not seen by everybody: what cannot be told is left open."""
        here = "DATABASE()" if schema is None else text_literal(schema)
        columns = [
            str(privileges)
            for (privileges,) in _rows(
                connection,
                f"SELECT PRIVILEGES FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = {here}"
                f" AND TABLE_NAME = {text_literal(version_table)}",
            )
        ]
        wanted = {"select", "insert", "update"}
        writes = all(wanted <= set(found.split(",")) for found in columns) if columns else None
        tables = _rows(connection, f"SELECT t.TABLE_NAME, t.ENGINE {_UNTRANSACTIONAL} ORDER BY 1")
        return Rights(
            writes_version_table=writes,
            creates_in_schema=_may_create(connection, here),
            untransactional=tuple(f"{table} ({engine})" for table, engine in tables),
            grantee=_grantee(connection, here, version_table),
        )

    def waits_for_others(self, statement: str) -> bool:
        """Nothing in MariaDB waits for old transactions but by the locks that they hold."""
        del statement
        return False

    def may_be_repeated(self, connection: Any, statement: str, *, alone: bool) -> bool:
        """See interface.Guests. A change of the schema begins by committing: it is always alone."""
        text = _bare(statement)
        if ";" in text:
            return False
        word = _first_word(text)
        if word in _OF_THE_SCHEMA:
            return True
        return alone and word in _OF_ROWS and not _row(connection, "SELECT @@innodb_rollback_on_timeout")[0]

    def set_lock_timeout(self, connection: Any, milliseconds: int) -> None:
        """See interface.Guests. Whole seconds: see `MySQL.lock_timeout_of`."""
        seconds = f"{-(-milliseconds // 1000):d}" if milliseconds else "DEFAULT"
        _run(connection, f"SET SESSION lock_wait_timeout = {seconds}, innodb_lock_wait_timeout = {seconds}")

    def _has_written(self, connection: Any) -> bool:
        """Since `begins`: rows that were written and rolled back count too."""
        return _counted(connection) > int(_row(connection, "SELECT @dbmigration_counted")[0] or 0)


def _is_transactional(connection: Any) -> bool:
    """Has the database no table that knows no transactions? Where somebody keeps a table to himself, nobody can tell."""
    try:
        return not _row(connection, f"SELECT count(*) {_UNTRANSACTIONAL}")[0]
    except Exception:  # noqa: BLE001  # each driver has its own class for a lock that was not to be had
        return False


def _take_a_place(connection: Any, names: tuple[str, ...]) -> None:
    """A connection that could not be found again is not one of ours: env.py is then told that it is another database's."""
    if _row(connection, take_first(names))[0] is None:
        raise LookupError(f"{len(names)} connections of env.py are open")


def _grantee(connection: Any, here: str, version_table: str) -> Grantee:
    """The account is one that the server chose by name and host: often another than whoever wrote the URL thinks."""
    user, database = map(str, _row(connection, f"SELECT CURRENT_USER(), {here}"))
    name, _, host = user.rpartition("@")
    account, schema = f"{quoted(name)}@{quoted(host)}", quoted(database)
    return Grantee(
        told=f"{account} (the account that the server chose)",
        name=account,
        place=f"the database {database}",
        schema=f"{schema}.*",
        table=f"{schema}.{quoted(version_table)}",
    )


def _may_create(connection: Any, here: str) -> bool | None:
    """None where roles or grants to PUBLIC may give what the user's own do not."""
    mine = "GRANTEE = CONCAT(QUOTE(SUBSTRING_INDEX(CURRENT_USER(), '@', 1)), '@', QUOTE(SUBSTRING_INDEX(CURRENT_USER(), '@', -1)))"
    granted = (
        f"SELECT 1 FROM information_schema.USER_PRIVILEGES WHERE {mine} AND PRIVILEGE_TYPE = 'CREATE'"
        f" UNION ALL SELECT 1 FROM information_schema.SCHEMA_PRIVILEGES WHERE {mine} AND PRIVILEGE_TYPE = 'CREATE'"
        f" AND {here} LIKE TABLE_SCHEMA"
    )
    if _rows(connection, granted):
        return True
    # MariaDB shows what one may do by a role, or as anybody, under that one's name.
    others = f"SELECT 1 FROM information_schema.SCHEMA_PRIVILEGES WHERE NOT ({mine})"
    return None if _row(connection, "SELECT CURRENT_ROLE()")[0] or _rows(connection, others) else False


def _bare(statement: str) -> str:
    """Without what stands before its first word, and without a semicolon at its end."""
    text = statement.strip().rstrip(";").rstrip()
    return text[_COMMENTS.match(text).end() :]  # type: ignore[union-attr]  # it matches the empty text too


def _first_word(text: str) -> str:
    found = _WORD.match(text)
    return found[0].upper() if found is not None else ""


def _autocommit(connection: Any) -> bool:
    """As the server told the driver last; asked of the server where this driver does not say."""
    for inner in (connection, getattr(connection, "_connection", None)):
        told = getattr(inner, "get_autocommit", None)
        if callable(told):
            return bool(told())
    return bool(_row(connection, "SELECT @@autocommit")[0])


def _release(connection: Any) -> bool:
    """Is the savepoint of ours still there? It is not afterwards."""
    try:
        _run(connection, f"RELEASE SAVEPOINT {_SAVEPOINT}")
    except Exception:  # noqa: BLE001  # each driver has its own class for it; a session that is lost is told by what follows
        return False
    return True


def _counted(connection: Any) -> int:
    return sum(int(value) for _, value in _rows(connection, _COUNTERS))


def _run(connection: Any, statement: str) -> None:
    cursor = connection.cursor()
    try:
        cursor.execute(statement)
    finally:
        cursor.close()


def _rows(connection: Any, statement: str) -> list[Any]:
    cursor = connection.cursor()
    try:
        cursor.execute(statement)
        return list(cursor.fetchall())
    finally:
        cursor.close()


def _row(connection: Any, statement: str) -> Any:
    return _rows(connection, statement)[0]


GUESTS = MySQLGuests()
