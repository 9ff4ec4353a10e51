"""Which revision lies so many steps behind a database, as far as its runs tell.

Pure: a status in, a revision out. It must not know the scripts: what no run applied is not known here.
"""

from __future__ import annotations

from dbmigration.api.status import Status
from dbmigration_runner.contract.counting import counted

BASE = "base"


def revision_behind(status: Status, steps: int) -> str:
    """The revision that a database had so many revisions ago. Raises ValueError, whose text says why it is not known."""
    heads = status.current_revisions
    if heads is None or len(heads) != 1:
        raise ValueError("the database has no one revision from which steps could be counted")
    before: dict[str, str | None] = {}
    for entry in reversed(status.history):
        start = entry.start_revisions
        previous: str | None = BASE if not start else start[0] if len(start) == 1 else None
        for revision in entry.applied:
            before[revision], previous = previous, revision
    found: str | None = heads[0]
    for step in range(steps):
        found = before.get(found) if found is not None else None
        if found is None:
            raise ValueError(f"the runs that are remembered tell {counted(step, 'step')} back from {heads[0]}")
        if found == BASE and step + 1 < steps:
            raise ValueError(f"from {heads[0]} to nothing it is only {counted(step + 1, 'step')}")
    assert found is not None  # noqa: S101  # at least one step was gone, or none was asked for
    return found
