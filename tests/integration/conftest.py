"""Real databases for every test of this tier; each test has a database of its own."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from psycopg import sql

from tests.integration import mariadb_restores
from tests.integration.local_program import Program
from tests.integration.mariadb_server import MariaDatabase, MariaDB, fresh_database, running_mariadb
from tests.integration.postgresql_server import Database, Server, running_pooler, running_server
from tests.integration.projects import ENVIRONMENTS, Project

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """One PostgreSQL server for all tests of a session."""
    with running_server() as server:
        yield server


@pytest.fixture
def database(postgres: Server) -> Iterator[Database]:
    """A fresh PostgreSQL database; it goes with the test, whoever is still in it."""
    name = f"test_{next(_numbers)}"
    with postgres.superuser() as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER shop").format(sql.Identifier(name)))
    yield Database(postgres, name)
    with postgres.superuser() as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDB]:
    """One MariaDB server for all tests of a session."""
    with running_mariadb() as server:
        yield server


@pytest.fixture
def mariadb_database(mariadb: MariaDB) -> Iterator[MariaDatabase]:
    """A fresh MariaDB database; it goes with the test, whoever is still in it."""
    with fresh_database(mariadb, f"test_{next(_numbers)}") as database:
        yield database


@pytest.fixture(params=["database", "mariadb_database"], ids=["postgresql", "mariadb"])
def each_database(request: pytest.FixtureRequest) -> Database | MariaDatabase:
    """A fresh database of each server, for claims that hold whichever it is."""
    found: Database | MariaDatabase = request.getfixturevalue(request.param)
    return found


@pytest.fixture(params=["postgresql", "mariadb", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of a fresh database of each engine."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/shop.db"
    found: Database | MariaDatabase = request.getfixturevalue(
        {"postgresql": "database", "mariadb": "mariadb_database"}[request.param]
    )
    return found.url


@pytest.fixture
def project(tmp_path: Path) -> Any:
    """Make a project: `project("url_in_the_ini", url)`."""

    def make(environment: str, url: str, **options: Any) -> Project:
        path = tmp_path / "application"
        shutil.copytree(ENVIRONMENTS / environment, path)
        return Project(path, url, **options)

    return make


@pytest.fixture(params=["mariadb", "sqlite"])
def piecemeal(request: pytest.FixtureRequest, project: Any, tmp_path: Path) -> Iterator[Program]:
    """`dbmigration run`, with backups, on a database that keeps what half a revision did; a restore there is possible."""
    database: MariaDatabase | None = request.getfixturevalue("mariadb_database") if request.param == "mariadb" else None
    shop = project("url_in_the_ini", database.url if database is not None else f"sqlite:///{tmp_path / 'shop.db'}")
    env = shop.path / "migrations" / "env.py"
    text = env.read_text(encoding="utf-8")
    env.write_text(text.replace("context.configure(", "context.configure(transaction_per_migration=True, "), "utf-8")
    program = Program(shop, tmp_path)
    program.spec["backup"] = {"storage": {"persistentVolumeClaim": {"claimName": "backups"}}}
    if database is not None:
        (tmp_path / "admin-url").write_text(database.server.url(database.name, user="root"))
        program.admin = ("--admin-url-file", str(tmp_path / "admin-url"))
    yield program
    program.end()
    if database is not None:
        mariadb_restores.forget(database)


@pytest.fixture
def small_volume(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    folder = tmp_path / "volume"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=0700", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.fixture
def pooler(postgres: Server) -> Iterator[Callable[[str], int]]:
    """Start PgBouncer: `pooler("transaction")` gives its port."""
    with contextlib.ExitStack() as stack:
        yield lambda mode: stack.enter_context(running_pooler(postgres, mode))
