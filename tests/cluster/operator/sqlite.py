"""The stage on SQLite: a file on a small volume of its own, which this machine sees too."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

from tests.cluster.access import Namespace
from tests.cluster.operator.stage import Stage

CLAIM = "data"
VOLUME_MIB = 24


class SQLiteStage(Stage):
    """One scenario's surroundings, with a database in a file. There is no server, and no password."""

    def __init__(self, namespace: Namespace) -> None:
        self.namespace, self.database, self.role = namespace, "shop.db", "no-role"

    def prepare(self) -> None:
        super().prepare()
        self.spec["database"] |= {"persistentVolumeClaim": {"claimName": CLAIM, "mountPath": "/data"}}

    def make_database(self) -> None:
        folder = self.namespace.volume(CLAIM, size_mib=VOLUME_MIB).folder
        assert folder is not None
        self.folder: Path = folder

    @property
    def file(self) -> Path:
        """The database as this machine sees it."""
        return self.folder / self.database

    @property
    def url(self) -> str:
        return f"sqlite:////data/{self.database}"

    def kept(self) -> list[str]:
        return sorted(path.name for path in self.folder.glob(f"{self.file.name}.replaced-*"))

    def rows(self, sql: str) -> tuple[tuple[Any, ...], ...]:
        return _answer(self.file, sql)

    def orders(self, kept: str = "") -> dict[str, str]:
        return dict(_answer(self.folder / (kept or self.file), "SELECT id, note FROM orders"))

    def heads(self) -> list[str]:
        return [head for (head,) in self.rows("SELECT version_num FROM alembic_version ORDER BY 1")]


def _answer(file: Path, sql: str) -> tuple[tuple[Any, ...], ...]:
    with contextlib.closing(sqlite3.connect(file, timeout=30)) as connection:
        return tuple(connection.execute(sql))
