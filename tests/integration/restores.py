"""Restores of real databases, by a runner started as a Job would start it."""

from __future__ import annotations

import contextlib
import os
import signal as signals
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil

from dbmigration_runner.contract.result import BackupReport
from dbmigration_runner.contract.task import (
    DatabaseAccess,
    ExpectedPlan,
    FindOrder,
    LockBudget,
    Migrations,
    RestoreOrder,
    RunIdentity,
    StepKind,
    Task,
)
from dbmigration_runner.engines import engine_for
from tests.integration.backups import Backups, drop
from tests.integration.postgresql_server import Database
from tests.integration.projects import RUNNER, Ran, Running, wait_for

KEPT = "before-7"
# Gives itself a signal at a certain point: SIGKILL as a lost node would, SIGSTOP as one that is lost and comes back. A point
# `place:name+2` is reached when the name is called for the third time.
_FAILING_RUNNER = """
import importlib, os, signal, sys
sys.path.insert(0, os.path.dirname({runner!r}))
from dbmigration_runner import log, supervisor
where, _, what = {at!r}.partition(":")
what, _, passed = what.partition("+")
passes = int(passed or 0)
def fail(*arguments, **options):
    global passes
    if passes:
        passes -= 1
        return real(*arguments, **options)
    print("failing", flush=True)
    os.kill(os.getpid(), getattr(signal, {signal!r}))
if where == "stage":
    say = log.Log.say
    def saying(self, event, **facts):
        say(self, event, **facts)
        if facts.get("stage") == what:
            fail()
    log.Log.say = saying
else:
    place = importlib.import_module("dbmigration_runner." + where)
    *owner, name = what.split(".")
    owner = getattr(place, owner[0]) if owner else place
    real = getattr(owner, name)
    setattr(owner, name, fail)
sys.exit(supervisor.main())
"""


@dataclass(frozen=True)
class Restores:
    """The restores of one object's backups."""

    backups: Backups
    report: BackupReport

    def task(self, *, attempt: int = 1, run: int = 7, grace: int = 1, uid: str = "0123", **order: Any) -> Task:
        wanted = {
            "directory": str(self.backups.directory),
            "backup": self.report.name,
            "sha256": self.report.sha256,
            "keep_as": KEPT,
            **order,
        }
        access = self.backups
        return Task(
            kind=StepKind.RESTORE,
            nonce="4fd1",
            run=RunIdentity("shops", "shop", uid, run, attempt),
            database=DatabaseAccess(str(access.url_file), str(access.admin_url_file) if access.admin_url else None),
            timeout_seconds=600,
            migrations=Migrations(path="/nowhere/app", image="registry.example/shop:1.4"),
            locks=LockBudget(grace_seconds=grace),
            restore=RestoreOrder(**wanted),
        )

    def looking(self) -> Task:
        """The last look behind a restore whose end nobody heard, of a run that was planned just now."""
        engine = engine_for(self.backups.url)
        with engine.connect() as session:
            expected = ExpectedPlan("hash", ("a1",), ("a2",), "alembic_version", engine.facts(session).fingerprint)
        return replace(self.task(), kind=StepKind.LOOK, expected=expected)

    def finding(self, order: str, backup: str = "", name: str = "shop", known: tuple[str, ...] = ()) -> Task:
        """Look for what a person's order names."""
        given = FindOrder(str(self.backups.directory), backup or self.report.name, order, known)
        run = RunIdentity("shops", name, "0123", 7, 1)
        return replace(self.task(), kind=StepKind.FIND, run=run, restore=None, migrations=None, find=given)

    def find(self, order: str, backup: str = "", name: str = "shop", known: tuple[str, ...] = ()) -> Ran:
        """Its answer."""
        return self.start(task=self.finding(order, backup, name, known)).wait()

    def start(self, *, fails_at: str = "", signal: str = "SIGKILL", task: Task | None = None, **wanted: Any) -> Running:
        """A runner of its own; `stage:<name>` or `<module>:<function>` is where it fails."""
        access = self.backups
        access.url_file.write_text(access.url + "\n", encoding="utf-8")
        if access.admin_url:
            access.admin_url_file.write_text(access.admin_url, encoding="utf-8")
        target = access.directory.with_name("result-restore")
        target.unlink(missing_ok=True)
        environment = {
            **{variable: value for variable, value in os.environ.items() if not variable.startswith(("PG", "PYTHON"))},
            "DBMIGRATION_TASK": (task or self.task(**wanted)).to_json(),
            "DBMIGRATION_RESULT": str(target),
            "TMPDIR": str(access.directory.parent),
        }
        failing = _FAILING_RUNNER.format(runner=str(RUNNER), at=fails_at, signal=signal)
        program = ["-c", failing] if fails_at else [str(RUNNER)]
        process = subprocess.Popen(
            [sys.executable, *program], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        return Running(process, target, "4fd1")

    def lose(self, at: str, **wanted: Any) -> None:
        """One that is killed there."""
        running = self.start(fails_at=at, **wanted)
        stdout, stderr = running.process.communicate(timeout=90)
        assert "failing" in stdout, stdout + stderr
        assert not running.target.exists()

    def run(self, **wanted: Any) -> Ran:
        """To its end."""
        return self.start(**wanted).wait()


@contextlib.contextmanager
def stopped(running: Running) -> Iterator[None]:
    """Wait until it stopped by itself; afterwards it goes on."""
    assert running.process.stdout is not None
    for line in running.process.stdout:
        if line == "failing\n":
            break
    else:
        raise AssertionError(running.process.communicate()[1])
    process = psutil.Process(running.process.pid)
    wait_for(lambda: process.status() == psutil.STATUS_STOPPED)  # else SIGCONT could come first
    try:
        yield
    finally:
        os.kill(running.process.pid, signals.SIGCONT)


def shop(database: Database, directory: Path, *, as_shop: bool = False) -> Restores:
    """A small shop at revision a1 and a backup of it; restored by a superuser, or by the owner with CREATEDB."""
    database.ask(
        "SET ROLE shop; CREATE SCHEMA IF NOT EXISTS sales;"
        "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY); INSERT INTO alembic_version VALUES ('a1');"
        "CREATE TABLE sales.orders (id int PRIMARY KEY, note text, total numeric(10,2));"
        "INSERT INTO sales.orders SELECT i, 'note ' || i, i / 7.0 FROM generate_series(1, 5000) i;"
        'CREATE TABLE "Odd: (name%" ("a:b" text, "x""y" int, PRIMARY KEY ("x""y", "a:b"));'
        "INSERT INTO \"Odd: (name%\" VALUES (E'\\\\.', 1), ('%s :x', 2);"
        "CREATE TABLE log (line text); INSERT INTO log VALUES ('opened'), ('opened')"
    )
    admin = None if as_shop else database.server.url("postgres", user="postgres")
    backups = Backups(database.url, directory / "backups", admin)
    return Restores(backups, backups.take())


def databases(database: Database) -> dict[str, str | None]:
    """Every database that has to do with a test's, with its comment."""
    rows = database.server.superuser
    with rows() as connection:
        found = connection.execute(
            "SELECT datname, shobj_description(oid, 'pg_database') FROM pg_database"
            " WHERE starts_with(datname, 'dbmigration_') OR datname = %s OR starts_with(datname, %s) ORDER BY 1",
            (database.name, database.name + "_"),
        ).fetchall()
    return dict(found)


def kept(database: Database) -> str:
    """What a replaced database is called."""
    return f"{database.name}_{KEPT}"


def forget(database: Database) -> None:
    """Drop what restores left on the server, but for the test's own database."""
    for name in databases(database):
        if name != database.name:
            drop(database.server, name)


def migrate(database: Database) -> None:
    """What a migration that failed half-way leaves behind."""
    database.ask(
        "SET ROLE shop; UPDATE alembic_version SET version_num = 'a2'; CREATE TABLE invoices (id int PRIMARY KEY);"
        "ALTER TABLE sales.orders ADD COLUMN paid boolean DEFAULT false"
    )
