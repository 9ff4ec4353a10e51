"""What on this machine stands for the Secrets, images and volumes that a manifest names.

The URL is in memory, and in a file of its own for the steps: in a private folder, for its owner alone, removed when this
program ends. It must not reach an argument list, an environment, the store or a message.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from dbmigration.api.names import API_VERSION, KIND
from dbmigration.lifecycle.observed import Places
from dbmigration.local.errors import ManifestError
from dbmigration.local.manifest import Manifest, parse_manifest
from dbmigration.local.store import folder_name, made, replace_file
from dbmigration_runner.contract import database_url

URL_VARIABLE = "DBMIGRATION_URL"
ADMIN_URL_VARIABLE = "DBMIGRATION_ADMIN_URL"
_SQLITE_RELATIVE = re.compile(r"^(sqlite(?:\+\w+)?:///)([^/?:][^?]*)(.*)$", re.DOTALL)
_NO_URL = (
    "The database URL cannot be read. It is a SQLAlchemy URL, such as postgresql+psycopg://user:password@host/database."
)
_WHERE = ("host", "port", "dbname", "service", "unix_socket")  # parameters by which a URL may say where the server is


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the options said. Paths are absolute."""

    url: str = field(repr=False)
    project: Path
    admin_url: str | None = field(default=None, repr=False)
    python: str = sys.executable
    backups: Path | None = None
    tls: Path | None = None

    @property
    def database(self) -> str:
        """See `database_of`."""
        return database_of(self.url)


def database_of(url: str) -> str:
    """Where the database is, without user, password or anything else that is not needed to find it. Raises ManifestError."""
    text = database_url.without_user(checked_url(url))
    if text is None:
        raise ManifestError(_NO_URL)
    try:
        parts = urlsplit(text)
        place = f"{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}{parts.path}"
    except ValueError:
        raise ManifestError(_NO_URL) from None
    if not parts.scheme:
        raise ManifestError(_NO_URL)
    given = parse_qs(parts.query)
    more = [f"{key}={value}" for key in _WHERE for value in given.get(key, ())]
    return " ".join([f"{parts.scheme.partition('+')[0]}://{place}", *more])


def checked_url(url: str) -> str:
    """The URL, if it is plain what of it may be shown. Raises ManifestError, which repeats no part of it."""
    if wrong := database_url.fault(url):
        raise ManifestError(wrong)
    return url


def absolute_url(url: str, base: Path) -> str:
    """A relative SQLite path means one from here, not from wherever a step works."""
    match = _SQLITE_RELATIVE.match(url)
    return f"{match[1]}{base / match[2]}{match[3]}" if match else url


def wish_of(manifest: Manifest, around: Surroundings) -> dict[str, Any]:
    """The spec as it is run here: an edited path is another wish, as another image is on a cluster."""
    return {**manifest.document, "migrations": {**manifest.document["migrations"], "path": str(around.project)}}


def own_backups(base: Path, manifest: Manifest, around: Surroundings) -> Path:
    """As on a cluster's volume, each name and database has its own folder there: retention counts what is in it."""
    return base / folder_name(manifest.namespace, manifest.name, around.database)


def manifest_of_options(
    name: str, no_backup: str | None, wishes: Callable[[dict[str, Any]], dict[str, Any]]
) -> Manifest:
    """The manifest that the options alone make, for a project that has none."""
    backup = (
        {"skip": {"reason": no_backup}} if no_backup else {"storage": {"persistentVolumeClaim": {"claimName": "local"}}}
    )
    spec = {
        "database": {"urlFrom": {"secretKeyRef": {"name": "local", "key": "url"}}},
        "migrations": {"source": {"persistentVolumeClaim": {"claimName": "local"}}, "config": "alembic.ini"},
        "targetRevision": "head",
        "backup": backup,
    }
    return parse_manifest(
        {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": name}, "spec": wishes(spec)}, "the options"
    )


def environment_of_steps(manifest: Manifest, own: Mapping[str, str]) -> dict[str, str]:
    """This program's environment without the URLs, and what podTemplate.env says; raises ManifestError."""
    environment = {name: value for name, value in own.items() if name not in {URL_VARIABLE, ADMIN_URL_VARIABLE}}
    for item in manifest.spec.pod_template.env:
        name = str(item.get("name", ""))
        if "value" in item:
            environment[name] = str(item["value"])
        elif name not in environment:
            raise ManifestError(
                f"spec.podTemplate.env: {name} comes from an object of the cluster; set the variable {name} here."
            )
    return environment


@contextmanager
def places(manifest: Manifest, around: Surroundings, store: Path) -> Iterator[Places]:
    """Where the steps find their things; the files with the URLs exist only within."""
    if not (around.project / manifest.spec.migrations.config).is_file():
        raise ManifestError(
            f"There is no {manifest.spec.migrations.config} in {around.project}. "
            "Give --project the folder of the Alembic project, and --config the file's name if it has another."
        )
    backups = ""
    if manifest.spec.backup.storage is not None:
        if around.backups is None:
            raise ManifestError(
                "A backup is wanted: give --backups the folder for it, or state by --no-backup (in a manifest by backup.skip.reason) why none is."
            )
        backups = str(made(own_backups(around.backups, manifest, around), "--backups"))
    private = made(_private_folder(store), "--state")
    try:
        replace_file(private / "url", around.url)
        admin = None
        if around.admin_url is not None:
            replace_file(private / "admin-url", around.admin_url)
            admin = str(private / "admin-url")
        yield Places(str(private / "url"), str(around.project), backups, admin, str(around.tls) if around.tls else None)
    finally:
        shutil.rmtree(private, ignore_errors=True)


def _private_folder(store: Path) -> Path:
    """In memory where the system has a folder for that, else in the store; its name is always the same, so that what a killed start left there is found."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if runtime and os.access(runtime, os.W_OK):
        base = Path(runtime) / "dbmigration"
        with contextlib.suppress(OSError):
            base.mkdir(mode=0o700, exist_ok=True)
            # Another --state has the same names.
            return base / hashlib.sha256(str(store).encode()).hexdigest()[:16]
    return store / "private"
