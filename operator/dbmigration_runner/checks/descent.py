"""What a way down would do to the data, and where it cannot be gone: read from the scripts, before anything runs.

Runs in the child, beside Alembic. It must not ask a database: what is really there is counted by the parent.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dbmigration_runner.checks.reversal import Reversible, reversal, taken_away
from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.contract.result import LOSES_DATA, Finding
from dbmigration_runner.errors import Refusal
from dbmigration_runner.events import Taken

if TYPE_CHECKING:
    from dbmigration_runner.checks.graph import Way


@dataclass(frozen=True)
class Descent:
    """What the downgrades of a way take out of the database of today, and what is to be told of them."""

    taken: tuple[Taken, ...] = ()
    findings: tuple[Finding, ...] = ()
    is_unclear: bool = False  # more may go than can be read


def descend(way: Way, dialect: str) -> Descent:
    """Read the downgrades of a way down. Raises Refusal (DowngradeImpossible) for one that only raises an error."""
    read = [(found, reversal(found, dialect)) for found in way.pending]
    for found, undone in read:
        if undone.kind is Reversible.RAISES:
            raise Refusal(
                RunnerReason.DOWNGRADE_IMPOSSIBLE,
                f"The downgrade of revision {found.revision} only raises an error: {Path(found.path).name}. "
                "Set another targetRevision, or restore a backup of the revision that is wanted.",
            )
    empty = tuple(
        Finding(
            "DowngradeEmpty", "Its downgrade does nothing: what its upgrade did stays in the database.", found.revision
        )
        for found, undone in read
        if undone.kind is Reversible.EMPTY
    )
    unclear = tuple(
        Finding(LOSES_DATA, f"Undoing {found.revision} may lose data: {'; '.join(undone.unclear)}.", found.revision)
        for found, undone in read
        if undone.unclear
    )
    drops = taken_away((found.revision, undone) for found, undone in read)
    taken = tuple(Taken(revision, drop.table, drop.column) for revision, found in drops.items() for drop in found)
    return Descent(taken, (*empty, *unclear), bool(unclear))
