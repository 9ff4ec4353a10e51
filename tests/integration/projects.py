"""Applications with Alembic projects of their own, and the runner as a real process, started as a Job would start it."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dbmigration.lifecycle.progress import progress
from dbmigration_runner.contract.result import Result
from dbmigration_runner.contract.task import (
    DatabaseAccess,
    ExpectedPlan,
    Migrations,
    RunIdentity,
    StepKind,
    Task,
    UrlHandover,
)

RUNNER = Path(__file__).parents[2] / "operator" / "dbmigration_runner"
ENVIRONMENTS = Path(__file__).parent / "environments"
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Ran:
    """One run of the runner, as its Job would see it."""

    result: Result
    code: int
    stdout: str
    stderr: str
    text: str = field(repr=False)  # the result as it was written

    @property
    def events(self) -> list[dict[str, Any]]:
        lines = [line for line in self.stdout.splitlines() if line.startswith('{"time"')]
        return [json.loads(line) for line in lines]

    @property
    def told_on_the_way(self) -> list[str]:
        """How far it was, in words, as whoever watched was told, each once."""
        lines = self.stdout.splitlines()
        told = [str(progress(lines[: number + 1]) or "") for number in range(len(lines))]
        return [words for words, before in zip(told, ["", *told], strict=False) if words != before]

    def events_called(self, name: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["event"] == name]


@dataclass
class Project:
    """A copy of one of the environments, and the means to give it revisions and run steps on it."""

    path: Path
    url: str
    python: str = sys.executable
    nonce: str = "4fd1"
    url_to: UrlHandover = field(default_factory=UrlHandover)
    variables: dict[str, str] = field(default_factory=dict)
    folder: str = "migrations/versions"

    def revision(
        self,
        name: str,
        after: str | tuple[str, ...] | None,
        *body: str,
        title: str = "",
        extra: str = "",
        down: str = "",
    ) -> Path:
        """Write a revision whose upgrade() is `body`, and its downgrade(), where there is one, `down`."""
        lines = "\n".join(f"    {line}" for part in (body or ("pass",)) for line in part.splitlines())
        file = self.path / self.folder / f"{name}.py"
        file.write_text(
            f'"""{title or "revision " + name}."""\n\nimport sqlalchemy as sa\nfrom alembic import context, op\n\n'
            f"revision = {name!r}\ndown_revision = {after!r}\n{extra}\n\n\ndef upgrade():\n{lines}\n"
            + (f"\n\ndef downgrade():\n{textwrap.indent(down, '    ')}\n" if down else ""),
            encoding="utf-8",
        )
        return file

    def three_revisions(self) -> None:
        """Three tables, one a revision."""
        for number in (1, 2, 3):
            before = f"a{number - 1}" if number > 1 else None
            self.revision(f"a{number}", before, create(f"t{number}"), down=f'op.drop_table("t{number}")')

    def task(self, kind: str, **changes: Any) -> Task:
        migrations = {"url_to": self.url_to, **changes.pop("migrations", {})}
        defaults: dict[str, Any] = {
            "kind": StepKind(kind),
            "nonce": self.nonce,
            "run": RunIdentity("shops", "shop", "0123", 7, 1),
            "database": DatabaseAccess(url_file=str(self.path.parent / "url")),
            "timeout_seconds": 60,
            "migrations": Migrations(path=str(self.path), **migrations),
        }
        return Task(**{**defaults, **changes})

    def start(self, kind: str, **changes: Any) -> Running:
        """Start the runner, and do not wait for it."""
        (self.path.parent / "url").write_text(self.url + "\n", encoding="utf-8")
        target = self.path.parent / f"result-{next(_numbers)}"
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("PG", "PYTHON"))},
            **self.variables,
            "DBMIGRATION_TASK": self.task(kind, **changes).to_json(),
            "DBMIGRATION_RESULT": str(target),
        }
        process = subprocess.Popen(
            [self.python, str(RUNNER)],
            cwd=self.path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        return Running(process, target, self.nonce)

    def run(self, kind: str, **changes: Any) -> Ran:
        """Run the runner to its end."""
        return self.start(kind, **changes).wait()

    def planned(self, **changes: Any) -> ExpectedPlan:
        """Plan, and what a later step is told of it."""
        result = self.run("plan", **changes).result
        plan, facts = result.plan, result.database
        assert plan is not None
        assert facts is not None
        return ExpectedPlan(plan.hash, plan.start, plan.target, plan.version_table, facts.fingerprint)


@dataclass
class Running:
    """A runner at work."""

    process: subprocess.Popen[str]
    target: Path
    nonce: str

    def wait(self, seconds: float = 90) -> Ran:
        try:
            stdout, stderr = self.process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            stdout, stderr = self.process.communicate()
            raise AssertionError(f"the runner did not end within {seconds} s:\n{stdout}\n{stderr}") from None
        assert self.target.exists(), f"no result was written:\n{stdout}\n{stderr}"
        text = self.target.read_text(encoding="utf-8")
        return Ran(Result.from_json(text, nonce=self.nonce), self.process.returncode, stdout, stderr, text)


def create(table: str, *columns: str) -> str:
    """A line of a revision that makes a table."""
    more = "".join(f", {column}" for column in columns)
    return f'op.create_table("{table}", sa.Column("id", sa.Integer, primary_key=True){more})'


def wait_for(truth: Callable[[], object], seconds: float = 20, pause: float = 0.05) -> None:
    """Until `truth()` holds; fails where it never does."""
    until = time.monotonic() + seconds
    while not truth():
        assert time.monotonic() < until, "what was waited for did not come"
        time.sleep(pause)
