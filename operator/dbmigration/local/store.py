"""What is remembered of one resource between two starts: a folder with one JSON file, and a lock that one process holds.

The file is replaced as a whole (temporary file, fsync, rename, fsync of the folder), so a crash at any instruction leaves
the old one or the new one. It must not decide, and holds neither URL nor password.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from dbmigration.api.status import Status
from dbmigration.local.errors import ManifestError, StoreBrokenError, StoreHeldError

VERSION = 1
_EVENTS_KEPT = 100


@dataclass(frozen=True, slots=True)
class Event:
    """What was told to everybody, once. `time` is RFC 3339, UTC."""

    time: str
    reason: str
    message: str
    warning: bool = False


@dataclass(frozen=True, slots=True)
class Resource:
    """What an API server would hold. `database` says where it is without user, password or parameters."""

    namespace: str
    name: str
    database: str
    uid: str
    generation: int = 0
    spec: dict[str, Any] = field(default_factory=dict)
    status: dict[str, Any] = field(default_factory=dict)
    retry: str = ""
    cancel: str = ""
    events: tuple[Event, ...] = ()

    @property
    def parsed_status(self) -> Status:
        """The status as the lifecycle reads it."""
        return Status.parse(self.status)

    @property
    def run_is_open(self) -> bool:
        """A run began and has not ended."""
        run = self.parsed_status.run
        return run is not None and run.outcome is None

    def wished(self, spec: dict[str, Any]) -> Resource:
        """Take over a spec; a changed one is a new generation."""
        return self if spec == self.spec else replace(self, spec=spec, generation=self.generation + 1)

    def told(self, event: Event) -> Resource:
        """One more event; the oldest are dropped from a very long list."""
        return replace(self, events=(*self.events, event)[-_EVENTS_KEPT:])


class Store:
    """The folder of one resource, locked; made by `open_store`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.steps = folder / "steps"

    def load(self, *, namespace: str, name: str, database: str) -> Resource:
        """What was saved last; a fresh resource where nothing was."""
        saved = read(self.folder)
        return saved or Resource(namespace, name, database, uid=str(uuid.uuid4()))

    def save(self, resource: Resource) -> None:
        """Replace what was saved; on return it is on the disk."""
        text = json.dumps({"version": VERSION, **asdict(resource)}, indent=2)
        replace_file(self.folder / "resource.json", text)


def folder_name(namespace: str, name: str, database: str) -> str:
    """One folder a resource and database: the same manifest for another database is another resource."""
    return f"{namespace}.{name}-{hashlib.sha256(database.encode()).hexdigest()[:8]}"


def folders(root: Path, namespace: str, name: str) -> list[Path]:
    """Every folder of a resource of that name, whatever its database."""
    pattern = re.compile(re.escape(f"{namespace}.{name}-") + "[0-9a-f]{8}")
    if not root.is_dir():
        return []
    return sorted(path for path in root.iterdir() if pattern.fullmatch(path.name) and (path / "resource.json").exists())


def read(folder: Path) -> Resource | None:
    """Read without the lock; None where nothing was saved. Raises StoreBrokenError."""
    path = folder / "resource.json"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        version = document.pop("version")
        if version != VERSION:
            raise StoreBrokenError(
                f"{path} is of version {version}, this program reads {VERSION}. Use the release that wrote it."
            )
        events = tuple(Event(**event) for event in document.pop("events"))
        resource = Resource(**document, events=events)
        resource.parsed_status  # noqa: B018  # a status that cannot be parsed is a broken store, found here
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise StoreBrokenError(
            f"{path} cannot be read ({type(error).__name__}). Move it away to start anew: the database itself is read by every run."
        ) from error
    return resource


@contextmanager
def open_store(root: Path, name: str) -> Iterator[Store]:
    """Hold the store of `name` below `root` alone; raises StoreHeldError, which names the pid of the holder."""
    folder = made(root / name, "--state")
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
            raise StoreHeldError(
                f"Another dbmigration, pid {holder}, is at work on {folder}. Wait for it, or interrupt it."
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield Store(folder)
    finally:
        os.close(descriptor)


def made(folder: Path, option: str) -> Path:
    """The folder, there from now on and its owner's alone; raises ManifestError, which names the option that says where."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ManifestError(f"{option}: the folder {folder} cannot be made: {error.strerror}. Name another.") from error
    return folder


def holder(folder: Path) -> int | None:
    """The pid of the process that holds a store now."""
    try:
        descriptor = os.open(folder / "lock", os.O_RDWR)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return int(os.pread(descriptor, 32, 0) or b"0")
    else:
        return None
    finally:
        os.close(descriptor)


def replace_file(path: Path, text: str) -> None:
    """Write a file whole or not at all, for its owner alone."""
    temporary = path.with_name(f".{path.name}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
