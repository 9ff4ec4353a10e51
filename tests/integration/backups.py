"""Backups of real databases: taken within the test's process, or by a runner started as a Job would start it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zstandard

from dbmigration_runner.checks.backup import Written, back_up, write_dump
from dbmigration_runner.checks.backup_progress import BackupProgress
from dbmigration_runner.checks.manifest import Manifest, read_manifests
from dbmigration_runner.contract.result import BackupReport
from dbmigration_runner.contract.task import (
    BackupOrder,
    DatabaseAccess,
    ExpectedPlan,
    LockBudget,
    Migrations,
    RunIdentity,
    StepKind,
    Task,
)
from dbmigration_runner.engines import engine_for
from dbmigration_runner.engines.dump import Dump, dump_for
from tests.integration.postgresql_server import CANARY, Server
from tests.integration.projects import RUNNER, Running


@dataclass(frozen=True)
class Backups:
    """The backups of one object."""

    url: str
    directory: Path
    admin_url: str | None = None

    def task(
        self, name: str, *, start: tuple[str, ...] | None = None, locks: LockBudget | None = None, **order: Any
    ) -> Task:
        expected = ExpectedPlan("plan-hash", start, ("next",)) if start is not None else None
        return Task(
            kind=StepKind.BACKUP,
            nonce="4fd1",
            run=RunIdentity("shops", "shop", "0123", 7, 1),
            database=DatabaseAccess(str(self.url_file), str(self.admin_url_file) if self.admin_url else None),
            timeout_seconds=120,
            migrations=Migrations(path="/nowhere/app", image="registry.example/shop:1.4"),
            expected=expected,
            locks=locks or LockBudget(),
            backup=BackupOrder(str(self.directory), name, **order),
        )

    @property
    def url_file(self) -> Path:
        return self.directory.with_name("url")

    @property
    def admin_url_file(self) -> Path:
        return self.directory.with_name("admin-url")

    def take(
        self,
        name: str = "first",
        *,
        alive: Callable[[], None] = lambda: None,
        far: BackupProgress | None = None,
        **wanted: Any,
    ) -> BackupReport:
        engine = engine_for(self.url)
        admin = engine_for(self.admin_url) if self.admin_url else None
        lock = engine.lock(exclusive=True, should_stop=lambda: None, wait_seconds=5)
        try:
            return back_up(self.task(name, **wanted), engine, lock=lock, alive=alive, admin=admin, far=far)
        finally:
            lock.release()

    @contextlib.contextmanager
    def written(self, name: str = "first", **wanted: Any) -> Iterator[tuple[Dump, Written]]:
        """The dump as it stands between being written and being verified."""
        self.directory.mkdir(exist_ok=True)
        engine = engine_for(self.url)
        lock = engine.lock(exclusive=True, should_stop=lambda: None, wait_seconds=5)
        try:
            dump = dump_for(engine, None, lock)
            path = self.directory / f"{name}{dump.suffix}.partial"
            yield dump, write_dump(self.task(name, **wanted), dump, path, lambda: None)
        finally:
            lock.release()

    def start(self, name: str = "first", **wanted: Any) -> Running:
        """A runner of its own, without any application beside it."""
        self.url_file.write_text(self.url + "\n", encoding="utf-8")
        if self.admin_url:
            self.admin_url_file.write_text(self.admin_url, encoding="utf-8")
        target = self.directory.with_name(f"result-{name}")
        environment = {
            **{variable: value for variable, value in os.environ.items() if not variable.startswith(("PG", "PYTHON"))},
            "DBMIGRATION_TASK": self.task(name, **wanted).to_json(),
            "DBMIGRATION_RESULT": str(target),
            "TMPDIR": str(self.directory.parent),
        }
        process = subprocess.Popen(
            [sys.executable, str(RUNNER)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        return Running(process, target, "4fd1")

    @property
    def manifests(self) -> tuple[Manifest, ...]:
        return read_manifests(self.directory)

    @property
    def files(self) -> set[str]:
        return {path.name for path in self.directory.iterdir()}


def restore(server: Server, dump: Path, database: str) -> None:
    """As a person would: zstd, pg_restore, and nothing of ours."""
    archive = dump.with_name("restored.archive")
    with dump.open("rb") as source, archive.open("wb") as target:
        zstandard.ZstdDecompressor().copy_stream(source, target)
    with server.superuser() as connection:
        connection.execute(f'CREATE DATABASE "{database}"')  # type: ignore[call-overload]
    address = {"PGHOST": "127.0.0.1", "PGPORT": str(server.port), "PGUSER": "postgres", "PGPASSWORD": CANARY}
    command = [server.binaries / "pg_restore", "--exit-on-error", f"--dbname={database}", archive]
    try:
        subprocess.run(command, env={**os.environ, **address}, check=True)
    finally:
        archive.unlink()


def contents(server: Server, database: str, table: str) -> list[tuple[Any, ...]]:
    """Every row of a table, in order."""
    with server.superuser(database) as connection:
        return connection.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall()  # type: ignore[call-overload]


def drop(server: Server, database: str) -> None:
    with server.superuser() as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')  # type: ignore[call-overload]


def probes(server: Server) -> list[str]:
    """Probe databases that are there."""
    with server.superuser() as connection:
        return [
            row[0]
            for row in connection.execute("SELECT datname FROM pg_database WHERE datname LIKE 'dbmigration_probe_%'")
        ]
