"""Wishes to go back over histories that nobody here wrote, as whole runs, on each engine.

Where a wish cannot be fulfilled the database is what it was: the run was refused before it changed anything, or what its
downgrades had changed was taken back by a restore.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy as sa

from dbmigration_runner.engines import engine_for, read_catalog
from tests.integration import mariadb_restores, restores
from tests.integration.local_program import Program
from tests.integration.mariadb_server import MariaDatabase
from tests.integration.postgresql_server import Database
from tests.integration.real_histories.conftest import Application, installed
from tests.integration.real_histories.histories import JUPYTERHUB, MLFLOW, OPTUNA, History
from tests.sampling import some

# The first test of an application installs it.
pytestmark = pytest.mark.timeout(900)
SECONDS = 600
STEPS = {
    "Succeeded": ["plan", "backup", "downgrade"],
    "Refused": ["plan"],
    "Failed": ["plan", "backup", "downgrade"],  # its first downgrade, before anything was changed
    "RolledBack": ["plan", "backup", "downgrade", "restore"],
}
EXITS = {"Succeeded": 0, "Refused": 3, "Failed": 3, "RolledBack": 8}
SPEC = {
    "policy": {"downgrade": "Allow"},
    "backup": {"storage": {"persistentVolumeClaim": {"claimName": "backups"}}},
    "drain": {"workloads": [{"kind": "Deployment", "name": "web"}]},
}
COMMANDS = ("--drain-command", "true", "--resume-command", "true")


@dataclass(frozen=True)
class Wish:
    """From the head to a target; `says` is in the report of one that does not get there."""

    history: History
    engine: str
    target: str
    outcome: str = "Succeeded"
    says: str = ""


# One transaction a revision: five are undone before it raises.
HALF_WAY = Wish(JUPYTERHUB, "postgresql", "base", "RolledBack", "Revision 3c2384c5aae1 failed: TypeError. 5 of 19")
_NO_INDEX = "Revision v3.2.0.a failed: 1091 Can't DROP INDEX"  # the application's own tables come without it
_TORN = "Revision v3.0.0.c is half undone: 1 of its statements ran and is committed"
_HALF_UNDONE = "Revision dc11669786a5 is half undone: 9 of its statements ran and are committed"
WISHES = (
    Wish(OPTUNA, "mariadb", "v3.0.0.d", "Failed", _NO_INDEX),
    Wish(OPTUNA, "mariadb", "v3.0.0.b", "Failed", _NO_INDEX),
    Wish(OPTUNA, "mariadb", "base", "Failed", _NO_INDEX),
    Wish(OPTUNA, "mariadb", "base", "Refused", "Undoing v0.9.0.a loses 1 row of the table version_info."),
    Wish(OPTUNA, "sqlite", "v3.0.0.d"),
    Wish(OPTUNA, "sqlite", "v3.0.0.b", "RolledBack", _TORN),
    Wish(OPTUNA, "sqlite", "base", "RolledBack", _TORN),
    Wish(MLFLOW, "mariadb", "75868b020152", "RolledBack", _HALF_UNDONE),
    Wish(MLFLOW, "mariadb", "17e22815139b", "RolledBack", _HALF_UNDONE),
    Wish(MLFLOW, "mariadb", "base", "RolledBack", _HALF_UNDONE),
    Wish(MLFLOW, "sqlite", "75868b020152"),
    Wish(MLFLOW, "sqlite", "17e22815139b"),
    Wish(MLFLOW, "sqlite", "base", "RolledBack", "Revision c8d9e0f1a2b3 is half undone"),
    Wish(JUPYTERHUB, "mariadb", "ff1860e38070"),
    Wish(JUPYTERHUB, "mariadb", "be8ecf03ddac"),
    Wish(JUPYTERHUB, "mariadb", "base", "RolledBack", "Revision 3c2384c5aae1 failed: TypeError. 5 of 19"),
    Wish(JUPYTERHUB, "sqlite", "ff1860e38070"),
    Wish(JUPYTERHUB, "sqlite", "be8ecf03ddac"),
    Wish(JUPYTERHUB, "sqlite", "base", "RolledBack", "Revision 3c2384c5aae1 failed: TypeError. 5 of 19"),
)


def named(wish: Wish) -> str:
    return f"{wish.history.application}-{wish.engine}-{wish.target}-{wish.outcome}"


@dataclass(frozen=True)
class Run:
    """An application whose database is at its head, and the program that is to take it back."""

    application: Application
    program: Program
    options: tuple[str, ...]

    @property
    def database(self) -> tuple[list[str], tuple[str, ...]]:
        """Its heads and its whole schema."""
        plain = sa.create_engine(self.application.url.replace("+psycopg2:", "+psycopg:"))
        with plain.connect() as connection:
            heads = list(connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalars())
        plain.dispose()
        engine = engine_for(self.application.url)
        with engine.connect() as session:
            return heads, read_catalog(engine, session).items


@pytest.fixture
def place(wish: Wish, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    """The URLs of an empty database, of its owner and of who may do everything on the server."""
    if wish.engine == "postgresql":
        database: Database = request.getfixturevalue("database")
        url = database.server.url(database.name, driver=wish.history.driver)
        yield url, database.server.url(database.name, user="postgres")
        restores.forget(database)
    elif wish.engine == "mariadb":
        other: MariaDatabase = request.getfixturevalue("mariadb_database")
        yield other.url, other.server.url(other.name, user="root")
        mariadb_restores.forget(other)
    else:
        url = f"sqlite:///{tmp_path / 'application.db'}"
        yield url, url


@pytest.fixture
def run(wish: Wish, place: tuple[str, str], tmp_path: Path) -> Iterator[Run]:
    """What `wish` is made of."""
    url, admin_url = place
    history, project = wish.history, installed(wish.history, url, tmp_path / "application")
    application = Application(history, project)
    if wish.engine != "mariadb" or history.runs_on_mariadb:
        application.begin()
        application.upgrade_without_us()
    (tmp_path / "admin-url").write_text(admin_url, encoding="utf-8")
    migrations = {"source": {"image": {"reference": f"{history.application}:1"}}, "config": history.config}
    rollback = {"onFailure": "Restore", "acceptDataLoss": wish.outcome != "Refused"}
    spec = {**SPEC, "migrations": migrations, "targetRevision": wish.target, "rollback": rollback}
    program = Program(project, tmp_path, spec)
    yield Run(
        application, program, (*COMMANDS, "--python", project.python, "--admin-url-file", str(tmp_path / "admin-url"))
    )
    program.end()


@pytest.mark.parametrize("wish", [HALF_WAY, *some(WISHES, 1)], ids=named)
def test_a_wish_ends_at_its_target_or_everything_is_as_it_was(wish: Wish, run: Run):
    told = run.application.tells()  # the application makes tables of its own when it starts
    before = run.database
    assert before[0] == [wish.history.head]

    said = run.program.start("run", *run.options).wait(SECONDS)
    assert said.code == EXITS[wish.outcome], said.out + said.err
    status = run.program.status()
    assert ([name for name, _ in run.program.steps()], status.get("drain")) == (STEPS[wish.outcome], None)
    assert wish.says in " ".join(said.out.split())
    heads, schema = run.database
    assert heads == status["currentRevisions"]
    if wish.outcome == "Succeeded":
        assert heads == ([] if wish.target == "base" else [wish.target])
        assert schema != before[1]
    else:
        assert (heads, schema) == before
        assert run.application.tells() == told
