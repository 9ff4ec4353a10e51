"""Which of the stored runs is meant by whoever asks how one stands: the same name may stand for many databases and projects.

What is not shown is named. It must not change anything that is stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dbmigration.local.store import Resource, folders, read


@dataclass(frozen=True, slots=True)
class Remembered:
    """What is stored in one folder."""

    folder: Path
    resource: Resource

    @property
    def project(self) -> str:
        """Where the Alembic project of its last wish is; "" where none is recorded."""
        return str(self.resource.spec.get("migrations", {}).get("path", ""))

    def __str__(self) -> str:
        """By what it is told from others of its name."""
        return (
            f"{self.resource.database or 'an unnamed database'}{f' (project {self.project})' if self.project else ''}"
        )


@dataclass(frozen=True, slots=True)
class Asked:
    """What was said of the run. A database is enough to tell it; else the project does, where one is given."""

    namespace: str
    name: str
    database: str | None
    project: Path | None

    def __str__(self) -> str:
        place = f" on {self.database}" if self.database is not None else f" from {self.project}" if self.project else ""
        return f"{self.namespace}/{self.name}{place}"

    def means(self, remembered: Remembered) -> bool:
        """Is it this one?"""
        if self.database is not None:
            return remembered.resource.database == self.database
        return self.project is None or Path(remembered.project).resolve() == self.project.resolve()


def remembered(root: Path, asked: Asked) -> tuple[list[Remembered], list[Remembered]]:
    """Those that are meant, and the others of the same name. Raises StoreBrokenError."""
    stored = (
        Remembered(folder, resource)
        for folder in folders(root, asked.namespace, asked.name)
        if (resource := read(folder)) is not None
    )
    meant: list[Remembered] = []
    others: list[Remembered] = []
    for known in stored:
        (meant if asked.means(known) else others).append(known)
    return meant, others
