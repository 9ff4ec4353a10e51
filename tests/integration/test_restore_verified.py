"""A restored copy is held against the backup's manifest before anybody is kept out: its revisions, its schema, its rows.

A dump whose hash is right may still be no backup of what its manifest tells: then nothing takes the database's place.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from dbmigration_runner.checks.manifest import SUFFIX
from dbmigration_runner.contract.result import Outcome
from tests.integration import mariadb_backups, mariadb_restores, restores
from tests.integration.backups import Backups
from tests.integration.restores import Restores
from tests.sampling import some

BACKED_UP = (
    "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)",
    "INSERT INTO alembic_version VALUES ('a1')",
    "CREATE TABLE orders (id int PRIMARY KEY, note text)",
    "INSERT INTO orders VALUES (1, 'first'), (2, 'second')",
)
SINCE = ("UPDATE alembic_version SET version_num = 'a2'", "INSERT INTO orders VALUES (3, 'late')")


@dataclass(frozen=True)
class Shop:
    """A backup at a1 of a database that is at a2 now."""

    restores: Restores
    beside: Callable[[], set[str]]  # what lies beside the database and is not always there

    @property
    def manifest(self) -> Path:
        return self.restores.backups.directory / (self.restores.report.name + SUFFIX)


def ask(url: str, *statements: str) -> list[tuple[Any, ...]]:
    """As the application; what the last statement answers."""
    with sa.create_engine(url, poolclass=sa.NullPool).begin() as connection:
        found = [connection.execute(sa.text(statement)) for statement in statements][-1]
        return [tuple(row) for row in found] if found.returns_rows else []


def place(request: pytest.FixtureRequest, folder: Path) -> tuple[Backups, Callable[[], set[str]]]:
    """Where a database of the wanted engine's is, and a way to see what lies beside it."""
    if request.param == "postgresql":
        database = request.getfixturevalue("database")
        database.ask("GRANT ALL ON SCHEMA public TO shop")
        backups = Backups(database.url, folder / "backups", database.server.url("postgres", user="postgres"))
        return backups, lambda: {*restores.databases(database)} - {database.name}
    if request.param == "mariadb":
        database = request.getfixturevalue("mariadb_database")
        return (
            mariadb_backups.of(database, folder / "backups"),
            lambda: mariadb_restores.databases(database) - {database.name},
        )
    file = folder / "data" / "shop.db"
    file.parent.mkdir()
    return (
        Backups(f"sqlite:///{file}", folder / "backups"),
        lambda: {path.name for path in file.parent.iterdir()} - {file.name, f"{file.name}.dbmigration-lock"},
    )


@pytest.fixture(params=["postgresql", "mariadb", "sqlite"])
def shop(request, tmp_path):
    backups, beside = place(request, tmp_path)
    ask(backups.url, *BACKED_UP)
    found = Shop(Restores(backups, backups.take()), beside)
    ask(backups.url, *SINCE)
    return found


def another_count(written: dict[str, Any]) -> tuple[dict[str, Any], str]:
    (orders,) = (table for table in written["rows"] if table.endswith("orders"))
    return {"rows": {**written["rows"], orders: 1}}, f"{orders} has 2 rows instead of 1"


def another_revision(_: dict[str, Any]) -> tuple[dict[str, Any], str]:
    return {"revisions": ["a0"]}, "its revisions are others"


def another_schema(written: dict[str, Any]) -> tuple[dict[str, Any], str]:
    return {"catalog": [*written["catalog"], "table nowhere"]}, "-table nowhere"


def test_a_copy_that_is_not_what_the_manifest_tells_takes_nobodys_place(shop):
    url, written = shop.restores.backups.url, json.loads(shop.manifest.read_text(encoding="utf-8"))
    for altered in some((another_count, another_revision, another_schema), 2):
        changes, told = altered(written)
        shop.manifest.write_text(json.dumps({**written, **changes}), encoding="utf-8")
        ran = shop.restores.run(accept_data_loss=True)
        assert (ran.result.outcome, ran.result.reason) == (Outcome.FAILED, "RestoreFailed"), ran
        assert (ran.result.changed, ran.result.heads) == (False, ("a2",))
        assert told in ran.result.message
        assert [event["stage"] for event in ran.events_called("restore-stage")] == ["verified"]
        assert shop.beside() == set()
        orders = ask(url, "UPDATE orders SET note = 'open to all'", "SELECT id FROM orders ORDER BY id")
        assert orders == [(1,), (2,), (3,)]
