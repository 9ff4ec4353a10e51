"""What a driver's exception says, without the data in it.

SQLAlchemy prints statement and parameters with every error, PostgreSQL puts rows into DETAIL, and data exceptions
(SQLSTATE class 22) quote the value in the primary message itself: none of that may leave the process.
"""

from __future__ import annotations

import os
import re
import sqlite3
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dbmigration_runner.engines import mysql_messages
from dbmigration_runner.errors import LOCK_TIMEOUTS

if TYPE_CHECKING:
    from collections.abc import Iterator

DRIVERS = ("psycopg", "psycopg2", "asyncpg", "pg8000", "sqlite3", "aiosqlite")
READ_ONLY_TRANSACTION = "25006"
MESSAGE_CHARACTERS = 400
# A value may hold quotes and ends of lines itself: so from the first quote to the last, or to the end.
_QUOTED_VALUES = re.compile(r'"(?:.*"|.*)', re.DOTALL)
# asyncpg finds some of them by itself, and prints the value as Python would.
_ARGUMENT_VALUE = re.compile(r"(query argument \$\d+|element #\d+[^:]*):.*", re.DOTALL)
# Their exceptions say what they know of scripts, names and files; any other class may be given a row to say.
_SPEAKERS = ("alembic", "dbmigration_runner")
_MODULE_OS = (os.__file__, "<frozen os>")  # frozen into the interpreter since Python 3.11
_SPEAKING_CLASSES = (ImportError, SyntaxError, NameError, AttributeError, OSError)
# Until Python 3.11 sqlite3 gives no error codes; these primary messages have been the same for a decade.
_SQLITE_CODES = (
    ("database is locked", "SQLITE_BUSY"),
    ("database table is locked", "SQLITE_LOCKED"),
    ("attempt to write a readonly database", "SQLITE_READONLY"),
    ("file is not a database", "SQLITE_NOTADB"),
    ("database disk image is malformed", "SQLITE_CORRUPT"),
    ("unable to open database file", "SQLITE_CANTOPEN"),
    ("interrupted", "SQLITE_INTERRUPT"),
)


@dataclass(frozen=True)
class SqlError:
    """`code` is the SQLSTATE, MariaDB's number or SQLite's name of the error, "" where there is none."""

    code: str
    message: str

    @property
    def is_lock_timeout(self) -> bool:
        """A lock was not to be had in time; nothing is wrong with the statement."""
        return self.code in LOCK_TIMEOUTS

    @property
    def is_write_refused(self) -> bool:
        """The session may only read, and something wanted to write."""
        return self.code in {READ_ONLY_TRANSACTION, mysql_messages.READ_ONLY_TRANSACTION, "SQLITE_READONLY"}

    def __str__(self) -> str:
        return f"{self.code} {self.message}".strip()


def chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what it came from, each once."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)


def sql_error(error: BaseException) -> SqlError | None:
    """The database's own words where the error, or what it came from, is the database's; None otherwise."""
    for link in chain(error):
        found = _of_driver(getattr(link, "orig", None) or link)
        if found is not None:
            return found
    return None


def describe(error: BaseException) -> str:
    """One sentence about any exception, for a result: the database's words, or the class, with the text where it holds no data."""
    own = _of_driver(getattr(error, "orig", None) or error)
    if own is not None:
        return str(own)
    lines = str(error).strip().splitlines() if _speaks(error) else []
    said = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    cause = sql_error(error)
    return short(f"{said} (from {cause})" if cause is not None else said)


def short(text: str, characters: int = MESSAGE_CHARACTERS) -> str:
    """Cut a sentence."""
    return text if len(text) <= characters else text[: characters - 1] + "…"


def _speaks(error: BaseException) -> bool:
    root = type(error).__module__.split(".")[0]
    # SQLAlchemy's about a statement name its parameters, and begin with the text of what they wrap.
    return (
        root in _SPEAKERS
        or (root == "sqlalchemy" and getattr(error, "orig", None) is None)
        or (root == "builtins" and isinstance(error, _SPEAKING_CLASSES))
        or (isinstance(error, KeyError) and _raised_in(error) in _MODULE_OS)  # a variable that is not set
    )


def _raised_in(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return frames[-1].filename if frames else ""


def _of_driver(error: Any) -> SqlError | None:
    if isinstance(error, sqlite3.Error):
        return _of_sqlite(error)
    root = type(error).__module__.split(".")[0]
    if isinstance(error, BaseException) and root in mysql_messages.DRIVERS:
        code, text = mysql_messages.words(error)
        return _first_line(code, text, type(error).__name__)
    adapted = root == "sqlalchemy" and hasattr(error, "pgcode")  # asyncpg's errors, wrapped once more by SQLAlchemy
    if not isinstance(error, BaseException) or not (root in DRIVERS or adapted):
        return None
    inner: Any = error.__cause__ if adapted and error.__cause__ is not None else error
    code = getattr(inner, "sqlstate", None) or getattr(inner, "pgcode", None) or getattr(error, "pgcode", None) or ""
    primary = getattr(getattr(inner, "diag", None), "message_primary", None)
    fields = inner.args[0] if root == "pg8000" and inner.args and isinstance(inner.args[0], dict) else {}
    code, primary = fields.get("C", code), fields.get("M", primary)
    text = str(primary or inner)
    if code.startswith("22"):
        text = _ARGUMENT_VALUE.sub(r"\1: …", _QUOTED_VALUES.sub('"…"', text))
    return _first_line(code, text, type(inner).__name__)


def _first_line(code: str, text: str, otherwise: str) -> SqlError:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return SqlError(code, short(lines[0] if lines else otherwise))


def _of_sqlite(error: sqlite3.Error) -> SqlError:
    message = str(error)
    code = getattr(error, "sqlite_errorname", "") or next(
        (name for words, name in _SQLITE_CODES if message.startswith(words)), ""
    )
    base = "_".join(code.split("_")[:2])  # SQLITE_BUSY_SNAPSHOT is a SQLITE_BUSY
    return SqlError(base, short(message))
