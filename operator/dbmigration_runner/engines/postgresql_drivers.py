"""PostgreSQL's drivers: which of them is here, what it must be told, and what it means when it does not connect.

Opens nothing itself. An image may hold any one of them, and the URL may name another.
"""

from __future__ import annotations

import contextlib
import importlib
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import NoSuchModuleError

from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.engines.messages import SqlError, describe, sql_error
from dbmigration_runner.errors import SessionNotOpened

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

CONNECT_SECONDS = 10
_DRIVERS = ("psycopg", "psycopg2", "asyncpg")
ASYNCHRONOUS = "asyncpg"
# A dead peer is noticed within half a minute in both directions: an idle lock session must not hang for two hours.
_LIBPQ: dict[str, Any] = {
    "connect_timeout": CONNECT_SECONDS,
    # Not the database's own: of an SQL_ASCII one psycopg would give bytes, and Python lacks some that a server has.
    "client_encoding": "utf8",
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 30_000,
}
_ASYNCPG_ONLY = (
    "prepared_statement_cache_size",
    "prepared_statement_name_func",
    "statement_cache_size",
    "command_timeout",
)


def importable_driver(url: URL) -> str:
    """The driver for our own sessions: the URL's where it can be had, else whichever the application has."""
    wanted = url.drivername.partition("+")[2].removesuffix("_async")
    for name in dict.fromkeys((wanted, *_DRIVERS)):
        if name not in _DRIVERS:
            continue
        with contextlib.suppress(ImportError, NoSuchModuleError):  # SQLAlchemy 1.4 has no dialect for psycopg
            importlib.import_module(name)
            url.set(drivername=f"postgresql+{name}").get_dialect()
            return name
    raise SessionNotOpened(
        RunnerReason.DRIVER_MISSING,
        f"None of the PostgreSQL drivers {', '.join(_DRIVERS)} can be imported by this interpreter: "
        "install one of them in the image, or set migrations.python to the interpreter that has it.",
    )


def for_driver(url: URL, driver: str) -> tuple[URL, dict[str, Any]]:
    """The URL and connect arguments in this driver's words; options of another driver are translated or left out."""
    query = {name: value for name, value in url.query.items() if name not in {"application_name", "async_fallback"}}
    if driver == ASYNCHRONOUS:
        mode = query.pop("sslmode", None)
        kept: dict[str, Any] = {
            name: query[name] for name in ("ssl", "target_session_attrs", "host", "port", "direct_tls") if name in query
        }
        if mode is not None:
            kept.setdefault("ssl", mode)
        arguments: dict[str, Any] = {"timeout": CONNECT_SECONDS, "statement_cache_size": 0}
        query = dict(kept)
    else:
        mode = query.pop("ssl", None)
        for name in _ASYNCPG_ONLY:
            query.pop(name, None)
        if isinstance(mode, str):
            query.setdefault("sslmode", {"true": "require", "True": "require"}.get(mode, mode))
        arguments = {name: value for name, value in _LIBPQ.items() if name not in query}
        if driver == "psycopg":
            arguments["prepare_threshold"] = None
    return url.set(drivername=f"postgresql+{driver}", query=query), arguments


_CONNECT_FAILURES = (
    (
        RunnerReason.AUTHENTICATION_FAILED,
        ("28P01", "28000"),
        ("password authentication failed", "no pg_hba.conf entry", "no password supplied"),
    ),
    (RunnerReason.FENCED, ("55000",), ("not currently accepting connections",)),
    (RunnerReason.DATABASE_NOT_FOUND, ("3D000",), ()),
    (RunnerReason.INSUFFICIENT_PRIVILEGE, ("42501",), ("permission denied for database",)),
)
# Libpq gives no SQLSTATE of a refused session, and the server's words may be in any language. A server that an invalid
# database is left on gives the fence's code for it. So what these two mean is seen in the server's own catalog.
UNTOLD = (RunnerReason.FENCED, RunnerReason.DATABASE_UNREACHABLE)


def not_opened(error: BaseException) -> SessionNotOpened:
    """What a driver raised instead of connecting, in our words."""
    found = sql_error(error) or SqlError("", describe(error))
    for reason, codes, words in _CONNECT_FAILURES:
        if found.code in codes or any(word in found.message for word in words):
            return SessionNotOpened(reason, f"The server refused the session: {found.message}")
    if "does not exist" in found.message:
        missing_role = 'role "' in found.message
        reason = RunnerReason.AUTHENTICATION_FAILED if missing_role else RunnerReason.DATABASE_NOT_FOUND
        return SessionNotOpened(reason, f"The server refused the session: {found.message}")
    return SessionNotOpened(RunnerReason.DATABASE_UNREACHABLE, f"The database cannot be reached: {found}")
