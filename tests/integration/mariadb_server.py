"""A real MariaDB server, of the distribution's package, for as long as a test session lasts.

It runs as an unprivileged user in a folder of its own, whatever server the machine may run besides, and dies with this
process however that ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pymysql
from pymysql.converters import escape_string
from sqlalchemy.engine import URL

from tests.integration.certificates import write_certificates
from tests.integration.postgresql_server import CANARY

# A minute or more of work. SLEEP would not do: it looks every few seconds whether its client is still there, and nothing
# else does.
WORK = "SELECT BENCHMARK(1000000000, MD5(1))"
_UNPRIVILEGED = 65534
_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG
_PACKAGES = ("mariadb-server-core", "mariadb-client")
_SETTINGS = {
    "bind-address": "127.0.0.1",
    "skip-name-resolve": "1",
    "character-set-server": "utf8mb4",
    "collation-server": "utf8mb4_general_ci",
    "innodb-buffer-pool-size": "32M",
    "innodb-log-file-size": "16M",
    "innodb-flush-log-at-trx-commit": "0",
    "innodb-doublewrite": "0",
    "max-connections": "80",
    "performance-schema": "0",
    "local-infile": "0",
}


@dataclass(frozen=True)
class MariaDB:
    """A MariaDB server on this machine."""

    port: int
    home: Path  # holds ca.crt
    start: Callable[[], subprocess.Popen[bytes]] = field(compare=False)
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list, compare=False)  # the last one lives

    def crash(self) -> None:
        """As when the machine's power goes, and comes again."""
        self.processes[-1].kill()
        self.processes[-1].wait()
        self.processes.append(self.start())
        _connection(self, CANARY).close()

    def url(self, database: str, *, user: str = "shop", password: str = CANARY, driver: str = "mysql+pymysql") -> str:
        url = URL.create(driver, username=user, password=password, host="127.0.0.1", port=self.port, database=database)
        return url.render_as_string(hide_password=False)

    @contextmanager
    def superuser(self, database: str | None = None, **options: Any) -> Iterator[pymysql.Connection[Any]]:
        """A session of root's, in autocommit."""
        connection = self.session(database, user="root", **options)
        try:
            yield connection
        finally:
            if connection.open:
                connection.close()

    def session(self, database: str | None, *, user: str = "shop", password: str = CANARY) -> pymysql.Connection[Any]:
        return pymysql.connect(
            host="127.0.0.1", port=self.port, user=user, password=password, database=database, autocommit=True
        )


@dataclass(frozen=True)
class MariaDatabase:
    """A fresh database; the user `shop` may do everything in it, and nothing elsewhere."""

    server: MariaDB
    name: str

    @property
    def url(self) -> str:
        return self.server.url(self.name)

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        with self.server.superuser(self.name) as connection:
            return said(connection, statement)

    def tables(self) -> set[str]:
        found = self.ask(
            "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE <> 'VIEW'"
        )
        return {row[0] for row in found}

    def at_work(self) -> list[tuple[Any, ...]]:
        """The sessions that run `WORK`."""
        return self.ask(
            f"SELECT id FROM information_schema.PROCESSLIST WHERE INFO LIKE '%{WORK[7:]}%' AND id <> CONNECTION_ID()"
        )


def said(connection: pymysql.Connection[Any], statement: str) -> list[tuple[Any, ...]]:
    """What a session answers."""
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall()) if cursor.description else []


def quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


@contextmanager
def fresh_database(server: MariaDB, name: str) -> Iterator[MariaDatabase]:
    """Made for a test, and gone with it, whoever is still in it."""
    # In a GRANT the name is a pattern.
    pattern = quoted(name).replace("_", r"\_").replace("%", r"\%")
    with server.superuser() as connection:
        said(connection, f"CREATE DATABASE {quoted(name)}")
        said(connection, f"GRANT ALL ON {pattern}.* TO shop")
    yield MariaDatabase(server, name)
    with server.superuser() as connection:
        said(connection, f"REVOKE ALL ON {pattern}.* FROM shop")
        for (number,) in said(
            connection,
            f"SELECT id FROM information_schema.PROCESSLIST WHERE db = '{escape_string(name)}' AND id <> CONNECTION_ID()",
        ):
            with contextlib.suppress(pymysql.OperationalError):  # it ended by itself
                said(connection, f"KILL {number}")
        said(connection, f"DROP DATABASE {quoted(name)}")


@contextmanager
def running_mariadb(settings: Mapping[str, str] | None = None, folder: Path | None = None) -> Iterator[MariaDB]:
    """A server of its own, with these settings besides, in that folder; everything of it is removed at the end."""
    home = Path(tempfile.mkdtemp(prefix="dbmigration-mariadb-", dir=folder))
    processes: list[subprocess.Popen[bytes]] = []
    try:
        user: dict[str, Any] = {"user": _UNPRIVILEGED, "group": _UNPRIVILEGED} if os.geteuid() == 0 else {}
        # A server that starts removes what looks like its own from the folder for temporary files: not from a common one.
        user["env"] = {**os.environ, "TMPDIR": str(home)}
        if os.geteuid() == 0:
            os.chown(home, _UNPRIVILEGED, _UNPRIVILEGED)
        home.chmod(0o755)
        made = subprocess.run(
            [
                *(_program("mariadb-install-db"), "--no-defaults", f"--datadir={home / 'data'}"),
                *("--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"),
            ],
            check=False,
            capture_output=True,
            text=True,
            cwd=home,
            **user,
        )
        assert made.returncode == 0, made.stdout + made.stderr
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        write_certificates(home)
        tls = {"ssl-ca": home / "ca.crt", "ssl-cert": home / "server.crt", "ssl-key": home / "server.key"}
        files = {"datadir": home / "data", "socket": home / "socket", "pid-file": home / "pid", "port": port}
        told = {**_SETTINGS, **files, **tls, **(settings or {})}
        command = [*(_program("mariadbd"), "--no-defaults"), *(f"--{name}={value}" for name, value in told.items())]

        def start() -> subprocess.Popen[bytes]:
            with (home / "log").open("ab") as log:
                return subprocess.Popen(
                    command,
                    stdout=log,
                    stderr=log,
                    cwd=home,
                    start_new_session=True,  # Ctrl-C is for whoever uses the server, not for it
                    preexec_fn=_die_with_parent,  # noqa: PLW1509  # one call of prctl; no thread has been started yet
                    **user,
                )

        server = MariaDB(port, home, start)
        processes = server.processes
        processes.append(start())
        _make_users(server)
        yield server
    finally:
        for process in processes:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(home, ignore_errors=True)


def _program(name: str) -> str:
    path = f"{os.environ['PATH']}:/usr/sbin"
    found = shutil.which(name, path=path)
    if found is None:
        subprocess.run([Path(__file__).parents[2] / "scripts" / "install-packages", *_PACKAGES], check=True)
        found = shutil.which(name, path=path)
    assert found is not None, f"{_PACKAGES} hold {name}"
    return found


def _die_with_parent() -> None:
    """A test run that is killed takes its server along."""
    ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)


def _connection(server: MariaDB, password: str) -> pymysql.Connection[Any]:
    """Root's, as soon as the server takes one."""
    until = time.monotonic() + 30
    while True:
        try:
            return server.session(None, user="root", password=password)
        except pymysql.OperationalError:
            log = (server.home / "log").read_text(encoding="utf-8")
            assert server.processes[-1].poll() is None, log
            assert time.monotonic() < until, log
            time.sleep(0.1)


def _make_users(server: MariaDB) -> None:
    """Root has no password at first; afterwards nobody is without."""
    connection = _connection(server, "")
    password = escape_string(CANARY)
    with connection:
        said(connection, "DELETE FROM mysql.global_priv WHERE user = '' OR host NOT IN ('localhost', '127.0.0.1')")
        said(connection, "FLUSH PRIVILEGES")
        for host in ("localhost", "127.0.0.1"):
            said(connection, f"GRANT ALL ON *.* TO root@'{host}' IDENTIFIED BY '{password}' WITH GRANT OPTION")
        said(connection, f"CREATE USER shop IDENTIFIED BY '{password}'")
