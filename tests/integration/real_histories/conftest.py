"""The applications, installed and at hand: their database, their configuration, and steps run on them."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.integration.backups import Backups
from tests.integration.postgresql_server import Database
from tests.integration.projects import Project, Ran
from tests.integration.real_histories.histories import ALL, History, named
from tests.integration.real_histories.installed import environment_of, interpreter, packages

PROGRAMS = Path(__file__).parent / "programs"
SECONDS = 300  # importing an application takes up to 15 s on a busy machine, and every step does it


@dataclass(frozen=True)
class Application:
    """One application with a database of its own."""

    history: History
    project: Project

    @property
    def url(self) -> str:
        return self.project.url

    def begin(self) -> None:
        """Make what the database holds before the first of the pending revisions, as the application does."""
        if self.history.first_tables_by:
            url = self.url.replace("+psycopg:", "+psycopg2:")
            python = interpreter(environment_of(self.history.first_tables_by))
            _output(python, PROGRAMS / f"{self.history.application}_begins.py", url, folder=self.project.path)

    def run(self, kind: str, *, target: str = "head", **changes: Any) -> Ran:
        """Run a step of the runner to its end."""
        migrations = {"config": self.history.config, "target": target}
        ran = self.project.start(kind, migrations=migrations, timeout_seconds=SECONDS, **changes).wait(SECONDS)
        assert "S3cret" not in ran.text + ran.stdout + ran.stderr, "the password of the URL was said"
        return ran

    def upgrade_without_us(self) -> None:
        """What Alembic's own command does, up to the head."""
        _output(
            *(self.project.python, PROGRAMS / "alembic_upgrades.py", self.history.config, self.url, "head"),
            folder=self.project.path,
        )

    def undo_without_us(self) -> list[dict[str, Any]]:
        """Alembic's own command, revision by revision down to the first that fails, and what the runner reads in each."""
        undoes = PROGRAMS / "alembic_undoes.py"
        told = _output(self.project.python, undoes, self.history.config, self.url, folder=self.project.path)
        return [json.loads(line) for line in told.splitlines() if line.startswith('{"revision"')]

    def tells(self) -> str:
        """What the application finds in its database; it refuses one that is not at its head."""
        accepts = PROGRAMS / f"{self.history.application}_accepts.py"
        return _output(self.project.python, accepts, self.url, folder=self.project.path).strip()


@dataclass(frozen=True)
class OnPostgreSQL(Application):
    """One whose database is asked, and backed up, past it."""

    database: Database
    backups: Backups

    def kept(self) -> list[list[tuple[Any, ...]]]:
        """The rows that must outlive every revision."""
        return [self.database.ask(query) for query in self.history.kept]


@pytest.fixture(params=ALL, ids=named)
def history(request: pytest.FixtureRequest) -> History:
    """Each of the applications in turn."""
    found: History = request.param
    return found


@pytest.fixture
def application(history: History, database: Database, tmp_path: Path) -> OnPostgreSQL:
    """The application of `history`; nothing of it is in the database yet."""
    url = database.server.url(database.name, driver=history.driver)
    # Whoever may create databases lets the backup prove that it can be restored.
    admin_url = database.server.url(database.name, user="postgres")
    backups = Backups(url, tmp_path / "backups", admin_url)
    return OnPostgreSQL(history, installed(history, url, tmp_path / "application"), database, backups)


def installed(history: History, url: str, path: Path) -> Project:
    """The application of a history, its working directory at `path`."""
    environment = environment_of(history.application)
    if history.config_is_made:
        path.mkdir()
        _output(interpreter(environment), PROGRAMS / f"{history.application}_configures.py", folder=path)
    else:
        # So that a step's files stay out of the shared environment.
        path.symlink_to(packages(environment) / history.path)
    return Project(path, url, python=interpreter(environment))


def _output(python: str, program: Path, *arguments: str, folder: Path) -> str:
    ran = subprocess.run([python, program, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout
