"""MariaDB's own programs: which of them serve a server, and how they are given a connection.

A program older than its server may not know what is in it, so an installation must be of the server's series or a newer
one. Everything of a URL goes by a private option file, which is the only one that is read: arguments are seen by everybody
on the machine, and another file would change what a dump is.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sqlalchemy.engine import URL

_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)-MariaDB")
_DUMP, _CLIENT = "mariadb-dump", "mariadb"
_REMEDY = "set backup.image to one that has them"
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")
# What a URL says to a driver, and the option that says the same to a program.
_FILES = {"ssl_ca": "ssl-ca", "ssl_capath": "ssl-capath", "ssl_cert": "ssl-cert", "ssl_key": "ssl-key"}
_VERIFIES = ("ssl_verify_cert", "ssl_verify_identity")
_REFUSED = ("read_default_file", "read_default_group", "init_command", "ssl_key_password", "sql_mode")


@dataclass(frozen=True)
class Tools:
    """The programs of one installation; `series` is (10, 11) of 10.11.19."""

    folder: Path
    version: str
    series: tuple[int, int]

    @property
    def dump(self) -> str:
        """Writes SQL."""
        return str(self.folder / _DUMP)

    @property
    def client(self) -> str:
        """Reads it."""
        return str(self.folder / _CLIENT)


def series_of(version: str) -> tuple[int, int]:
    """(10, 11) of a server's `10.11.19-MariaDB-0+deb12u1`.

    Raises Refusal (EngineNotSupported) where it is no MariaDB.
    """
    found = re.match(r"(?:5\.5\.5-)?(\d+)\.(\d+)\.", version)
    if found is None or "mariadb" not in version.lower():
        raise Refusal(
            RunnerReason.ENGINE_NOT_SUPPORTED,
            f"The server says it is {version}: backups are made of MariaDB alone, whose programs are not MySQL's. "
            "Take one by other means and say so in backup.skip.reason.",
        )
    return int(found[1]), int(found[2])


def choose(found: Iterable[Tools], server: tuple[int, int]) -> Tools:
    """The oldest programs that are not older than the server.

    Raises Refusal (ClientToolsTooOld) where there are none.
    """
    new_enough = sorted((tools for tools in found if tools.series >= server), key=lambda tools: tools.series)
    if new_enough:
        return new_enough[0]
    raise Refusal(
        RunnerReason.CLIENT_TOOLS_TOO_OLD,
        f"The server is MariaDB {server[0]}.{server[1]}, and this image has no {_DUMP} and {_CLIENT} of that version or a "
        f"newer one: {_REMEDY}.",
    )


def installed() -> tuple[Tools, ...]:
    """Every usable installation on PATH."""
    folders = [Path(entry) for entry in os.environ.get("PATH", os.defpath).split(os.pathsep) if entry]
    found = {folder.resolve(): _installation(folder.resolve()) for folder in folders}
    return tuple(tools for tools in found.values() if tools is not None)


@functools.cache
def _installation(folder: Path) -> Tools | None:
    if not all(os.access(folder / program, os.X_OK) for program in (_DUMP, _CLIENT)):
        return None
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        said = subprocess.run(
            [folder / _DUMP, "--no-defaults", "--version"],
            env=environment(), capture_output=True, text=True, check=True, timeout=30,
        ).stdout  # fmt: skip
        matched = _VERSION.search(said)
        if matched is not None:
            return Tools(folder, ".".join(matched.groups()), (int(matched[1]), int(matched[2])))
    return None


def environment() -> dict[str, str]:
    """Of our own environment only what a program needs to run: MYSQL_… variables would change what it does."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LD_LIBRARY_PATH", "TMPDIR") if name in os.environ}
    return {**kept, "LC_ALL": "C"}


@contextlib.contextmanager
def option_file(url: URL) -> Iterator[str]:
    """A file of options by which the programs find this server, in a folder of its own that is removed in the end.

    Raises Refusal (UrlInvalid) for what a backup cannot honour.
    """
    text = options(url)
    with tempfile.TemporaryDirectory(prefix="dbmigration-") as folder:
        path = Path(folder, "options")
        path.touch(mode=0o600)
        path.write_text(text, encoding="utf-8")
        yield str(path)


def options(url: URL) -> str:
    """The file's text. Nothing is left to a program's own defaults: those on TLS have changed between its versions."""
    refused = sorted(set(_REFUSED) & set(url.query))
    if refused:
        raise Refusal(
            RunnerReason.URL_INVALID,
            f"A backup cannot honour {', '.join(refused)} in the URL's query: take it out, or give backups a URL of their own "
            "by adminUrlFrom.",
        )
    socket = _first(url, "unix_socket")
    named = {
        "host": url.host or ("" if socket else "127.0.0.1"),
        "port": str(url.port or 3306),
        "socket": socket,
        "user": url.username or "",
        "password": str(url.password or ""),
        "protocol": "socket" if socket else "tcp",
        **{option: _first(url, name) for name, option in _FILES.items()},
    }
    lines = [f"{name}={_quoted(value)}" for name, value in named.items() if value]
    if asks_for_tls(url):
        lines += ["ssl", "ssl-verify-server-cert" if _verifies(url) else "skip-ssl-verify-server-cert"]
    else:
        lines += ["skip-ssl"]
    return "\n".join(["[client]", *lines, ""])


def asks_for_tls(url: URL) -> bool:
    """Does the URL have the driver encrypt its connections?"""
    named = any(_first(url, name) for name in _FILES)
    return named or _verifies(url) or _first(url, "ssl").lower() in _TRUE


def _verifies(url: URL) -> bool:
    """SQLAlchemy has a driver that is given an authority check the server's name too, unless it is told not to."""
    if any(_first(url, name).lower() in _TRUE for name in _VERIFIES):
        return True
    has_authority = bool(_first(url, "ssl_ca") or _first(url, "ssl_capath"))
    return has_authority and _first(url, "ssl_check_hostname").lower() not in _FALSE


def _first(url: URL, name: str) -> str:
    value = url.query.get(name, "")
    return value if isinstance(value, str) else value[0]


def _quoted(value: str) -> str:
    r"""A value in an option file: in double quotes, with \ for what the reader of such files takes for an escape."""
    if any(character in value for character in "\n\r\0"):
        raise Refusal(RunnerReason.URL_INVALID, "The URL holds a line break, which MariaDB's programs cannot be given.")
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
