"""MariaDB's and MySQL's drivers: which of them is here, what it must be told, and what it means when it does not connect.

Opens nothing itself. An image may hold any one of them, and the URL may name another.
"""

from __future__ import annotations

import contextlib
import importlib
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import NoSuchModuleError

from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.engines.messages import SqlError, chain, describe, sql_error
from dbmigration_runner.errors import SessionNotOpened

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

CONNECT_SECONDS = 10
ASYNCHRONOUS = ("asyncmy", "aiomysql")
TLS_VARIABLE = "DBMIGRATION_MYSQL_TLS"  # no driver reads one of its own: what lies in this folder is added to the URL
_TLS_FILES = {"ssl_ca": "ca.crt", "ssl_cert": "tls.crt", "ssl_key": "tls.key"}
# SQLAlchemy's name of a driver, and the module that it imports.
_MODULES = {
    "pymysql": "pymysql",
    "mysqldb": "MySQLdb",
    "mariadbconnector": "mariadb",
    "asyncmy": "asyncmy",
    "aiomysql": "aiomysql",
}
# What all of them understand in a URL.
_COMMON = ("charset", "unix_socket", *_TLS_FILES)
_WITH_CHARSET = ("pymysql", "mysqldb", "asyncmy", "aiomysql")
# The others take no bound for an answer: the server's own for a statement, and the heartbeat's, must do.
_WITH_READ_TIMEOUT = ("pymysql", "mysqldb", "mariadbconnector")
_AFTER_STATEMENT_SECONDS = 15


def takes_files(url: URL) -> bool:
    """Can the files of a certificate stand in a URL of this driver's? aiomysql wants an object that only a program can give."""
    return url.drivername.partition("+")[2] != "aiomysql"


def with_tls(url: URL, directory: str | None) -> URL:
    """The URL with the files of the manifest's `tls`, where there are some: the application's env.py gets them with it."""
    if not directory:
        return url
    files = {name: str(Path(directory, file)) for name, file in _TLS_FILES.items() if Path(directory, file).exists()}
    return url.update_query_dict({name: path for name, path in files.items() if name not in url.query})


def importable_driver(url: URL) -> str:
    """The driver for our own sessions: the URL's where it can be had, else whichever the application has."""
    wanted = url.drivername.partition("+")[2] or "mysqldb"
    for name in dict.fromkeys((wanted, *_MODULES)):
        if name not in _MODULES:
            continue
        with contextlib.suppress(ImportError, NoSuchModuleError):
            importlib.import_module(_MODULES[name])
            url.set(drivername=f"mysql+{name}").get_dialect()
            return name
    raise SessionNotOpened(
        RunnerReason.DRIVER_MISSING,
        f"None of the MariaDB drivers {', '.join(_MODULES.values())} can be imported by this interpreter: "
        "install one of them in the image, or set migrations.python to the interpreter that has it.",
    )


def for_driver(url: URL, driver: str, statement_timeout_seconds: float | None) -> tuple[URL, dict[str, Any]]:
    """The URL and connect arguments in this driver's words; options of another driver are left out."""
    same = url.drivername.partition("+")[2] == driver
    query = {name: value for name, value in url.query.items() if same or name in _COMMON}
    arguments: dict[str, Any] = {"connect_timeout": CONNECT_SECONDS}
    if driver in _WITH_CHARSET:
        query["charset"] = "utf8mb4"  # not the application's: of a latin1 one we would read names wrongly
    if driver in _WITH_READ_TIMEOUT and statement_timeout_seconds is not None:
        seconds = int(statement_timeout_seconds) + _AFTER_STATEMENT_SECONDS
        arguments |= {"read_timeout": seconds, "write_timeout": seconds}
    files = {name: str(query.pop(name)) for name in _TLS_FILES if name in query} if driver == "aiomysql" else {}
    if files:
        arguments["ssl"] = _context(files)
    return url.set(drivername=f"mysql+{driver}", query=query), {
        name: value for name, value in arguments.items() if name not in query
    }


def _context(files: dict[str, str]) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=files.get("ssl_ca"))
    if "ssl_cert" in files:
        context.load_cert_chain(files["ssl_cert"], files.get("ssl_key"))
    return context


_CONNECT_FAILURES = {
    "1045": RunnerReason.AUTHENTICATION_FAILED,
    "1698": RunnerReason.AUTHENTICATION_FAILED,
    "1524": RunnerReason.AUTHENTICATION_FAILED,  # an authentication plugin that is not loaded
    "4151": RunnerReason.AUTHENTICATION_FAILED,  # the account is locked
    "3118": RunnerReason.AUTHENTICATION_FAILED,  # the same, from MySQL
    "1820": RunnerReason.AUTHENTICATION_FAILED,  # the password has expired
    "1862": RunnerReason.AUTHENTICATION_FAILED,
    "1049": RunnerReason.DATABASE_NOT_FOUND,
    "1044": RunnerReason.INSUFFICIENT_PRIVILEGE,
}


def not_opened(error: BaseException) -> SessionNotOpened:
    """What a driver raised instead of connecting, in our words."""
    found = sql_error(error) or SqlError("", describe(error))
    reason = _CONNECT_FAILURES.get(found.code)
    if reason is not None:
        return SessionNotOpened(reason, f"The server refused the session: {found.message}")
    # Some drivers say of a certificate that is refused only that there is no connection.
    cause = next((link for link in chain(error) if isinstance(link, OSError)), None)
    said = describe(cause) if cause is not None else ""
    why = f" ({said})" if said and said not in str(found) else ""
    return SessionNotOpened(RunnerReason.DATABASE_UNREACHABLE, f"The database cannot be reached: {found}{why}")
