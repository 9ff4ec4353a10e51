"""What a database must be able to do for a backup: one narrow interface, one class an engine.

`engines/<name>_dump.py` holds `dump_for(engine, admin, lock)`. Where a dump is stored, what it is called and how long it
is kept is none of its business: it is given paths.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from dbmigration_runner.engines.messages import short

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from dbmigration_runner.engines.catalog import Catalog
    from dbmigration_runner.engines.interface import Engine, Lock


@dataclass(frozen=True)
class Setting:
    """What ALTER DATABASE … SET or ALTER ROLE … IN DATABASE … SET said; `role` is None for the database's own."""

    setting: str
    role: str | None = None


@dataclass(frozen=True)
class Surroundings:
    """What belongs to the database and is not in a dump of it: a restore puts it back from here.

    Lies beside the dump and is as private as it: a setting may hold anything.
    """

    owner: str
    encoding: str
    collate: str
    ctype: str
    locale_provider: str = "libc"
    locale: str | None = None
    collation_rules: str | None = None  # what ICU was told beside the locale
    tablespace: str = ""
    connection_limit: int = -1
    is_template: bool = False
    comment: str | None = None
    grants: tuple[str, ...] = ()
    settings: tuple[Setting, ...] = ()
    extensions: dict[str, str] = field(default_factory=dict)  # name to version: a restore takes the server's default
    definers: tuple[str, ...] = ()  # accounts that objects of the dump act as: without one of them its objects fail


@dataclass(frozen=True)
class Snapshot:
    """One instant of the database; a dump made of it holds exactly this. `tables` are those whose rows it must hold."""

    heads: tuple[str, ...]
    catalog: Catalog
    tables: frozenset[str]
    data_bytes: int  # what the rows take in the database, as far as it is known without reading them
    least_bytes: int  # a dump of it cannot be smaller
    server_version: str
    surroundings: Surroundings | None = None
    marks: Mapping[str, str] = field(default_factory=dict)  # see writes.py; read just before
    left_out: tuple[str, ...] = ()  # tables that have rows which no dump of it holds


@dataclass(frozen=True)
class Stored:
    """A dump as it was handed to the disk, and synced."""

    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Decoded:
    """A dump as it was read back from the disk, to its last row. `rows` counts them by table, `sizes` their bytes where known."""

    size_bytes: int
    sha256: str
    decoded_bytes: int
    rows: Mapping[str, int]
    fault: str = ""  # why it cannot be decoded
    notes: tuple[str, ...] = ()
    sizes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Probe:
    """What a restore of the schema into a fresh database showed; None = it could not be tried, `note` says why."""

    restorable: bool | None
    note: str = ""


def compared(dumped: Catalog, restored: Catalog) -> Probe:
    """Is what was restored what was dumped?"""
    difference = dumped.difference(restored)
    if not difference.is_of_wording:
        return Probe(restorable=False, note=short(f"The restored schema is another one: {difference}"))
    return Probe(
        restorable=True,
        note=short(f"The restored schema is spelled in another way: {difference}") if difference else "",
    )


class Dump(Protocol):
    """How one database is dumped, read back and tried."""

    engine: str
    suffix: str  # of the file's name; says how it is stored
    tool: str  # program and version, for the manifest

    def snapshot(self, version_table: str) -> AbstractContextManager[Snapshot]:
        """Hold one instant of the database while `write` copies it."""
        ...

    def write(self, path: Path, alive: Callable[[], None]) -> Stored:
        """Write the held snapshot to a new file and sync it. `alive` is called often and may raise.

        Raises RunnerError (BackupFailed and why) and OSError of the file; the file is then of no use.
        """
        ...

    def decode(self, path: Path, alive: Callable[[], None], read: Callable[[int], None] = lambda _: None) -> Decoded:
        """Read the file from the disk, not from memory, and decode all of it. `read` is often told how many bytes were read."""
        ...

    def probe(self, path: Path, snapshot: Snapshot, alive: Callable[[], None]) -> Probe:
        """Restore the schema into a database made for that, compare it with the snapshot's, drop it again."""
        ...


def dump_for(engine: Engine, admin: Engine | None, lock: Lock) -> Dump:
    """The dump of an engine; `admin` is the same server by the URL of who may create databases.

    Raises RunnerError where the client programs or the URL do not serve.
    """
    module = importlib.import_module(f"dbmigration_runner.engines.{engine.name}_dump")
    found: Dump = module.dump_for(engine, admin, lock)
    return found
