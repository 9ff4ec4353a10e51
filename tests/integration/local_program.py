"""`dbmigration` as a real process, as somebody would start it in a shell."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import sqlalchemy as sa
import yaml

from tests.integration.projects import Project, wait_for

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Said:
    """What one start of the program said and left."""

    code: int
    out: str
    err: str


@dataclass
class Program:
    """Starts of the program for one project, with one state folder."""

    project: Project
    folder: Path
    spec: dict[str, Any] = field(default_factory=dict)
    given: Path | None = None  # a manifest to use as it is, instead of `spec`
    admin: tuple[str, ...] = ()  # the option that tells who may restore, where the URL's role may not
    started: list[Started] = field(default_factory=list)

    def end(self) -> None:
        """Leave nothing running: no start of the program, and no step that outlived one."""
        for started in self.started:
            if started.process.poll() is None:
                started.kill()
        for pid in {int(path.read_text(encoding="ascii")) for path in self.state.glob("*/steps/*/pid")}:
            with contextlib.suppress(psutil.Error):
                process = psutil.Process(pid)
                if process.environ().get("DBMIGRATION_RESULT", "").startswith(str(self.state)):
                    process.kill()

    @property
    def manifest(self) -> Path:
        """The manifest, as it is now."""
        if self.given is not None:
            return self.given
        path = self.folder / "migration.yaml"
        spec = {
            "database": {"urlFrom": {"secretKeyRef": {"name": "shop", "key": "url"}}},
            "migrations": {"source": {"image": {"reference": "shop:1"}}},
            "backup": {"skip": {"reason": "a test"}},
            **self.spec,
        }
        document = {"apiVersion": "dbmigration.io/v1alpha1", "kind": "DatabaseMigration"}
        path.write_text(yaml.safe_dump({**document, "metadata": {"name": "shop"}, "spec": spec}), encoding="utf-8")
        return path

    @property
    def state(self) -> Path:
        """Where runs are remembered."""
        return self.folder / "state"

    @property
    def backups(self) -> Path:
        """What stands for the backup volume."""
        return self.folder / "backups"

    def command(self, command: str, *options: str) -> list[str]:
        what = ["--filename", str(self.manifest), "--project", str(self.project.path), "--state", str(self.state)]
        where = ["--backups", str(self.backups)] if command == "run" else []
        return [sys.executable, "-m", "dbmigration", command, *what, *where, *options]

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "XDG", "COLUMNS"))}
        return {
            **kept,
            "PYTHONPATH": str(ROOT / "operator"),
            "DBMIGRATION_URL": self.project.url,
            **self.project.variables,
        }

    def start(self, command: str = "run", *options: str) -> Started:
        """Start it, and do not wait for it."""
        process = subprocess.Popen(
            self.command(command, *options),
            env=self.environment,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(Started(process))
        return self.started[-1]

    def run(self, command: str = "run", *options: str) -> Said:
        """Start it, and wait for its end."""
        return self.start(command, *options).wait()

    def resource(self) -> dict[str, Any]:
        """What is stored."""
        (path,) = self.state.glob("*/resource.json")
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return document

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = self.resource()["status"]
        return status

    def steps(self) -> list[tuple[str, str]]:
        """Every attempt of the current run, with what became of it."""
        return [(step["name"], step["state"]) for step in self.status()["steps"]]

    def runner(self, kind: str = "migrate") -> int | None:
        """The pid of the process of the last such step."""
        found = sorted(self.state.glob(f"*/steps/*-{kind}-*/pid"))
        return int(found[-1].read_text(encoding="ascii")) if found else None

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        """What the database answers by itself, on a connection that is closed at once: an open one keeps a restore out."""
        engine = sa.create_engine(self.project.url)
        with engine.connect() as connection:
            answer = [tuple(row) for row in connection.execute(sa.text(statement))]
        engine.dispose()
        return answer

    def tables(self) -> set[str]:
        """Those of the database."""
        engine = sa.create_engine(self.project.url)
        names = set(sa.inspect(engine).get_table_names())
        engine.dispose()
        return names

    def written(self) -> dict[Path, bytes]:
        """Every file that any start or step left behind."""
        roots = [root for root in (self.state, self.backups) if root.exists()]
        return {path: path.read_bytes() for root in roots for path in root.rglob("*") if path.is_file()}


@dataclass
class Started:
    """The program at work."""

    process: subprocess.Popen[str]

    def wait(self, seconds: float = 90) -> Said:
        try:
            out, err = self.process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            out, err = self.process.communicate()
            raise AssertionError(f"it did not end within {seconds} s:\n{out}\n{err}") from None
        return Said(self.process.returncode, out, err)

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def kill(self) -> Said:
        self.process.kill()
        return self.wait()


def is_alive(pid: int) -> bool:
    """Does a process run? One that nobody reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_for_end(pid: int) -> None:
    wait_for(lambda: not is_alive(pid))
