"""So many steps behind a database, by what its runs tell."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from dbmigration.api.status import HistoryEntry, Outcome, Status
from dbmigration.lifecycle.steps_back import revision_behind

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def run(start: tuple[str, ...], *applied: str) -> HistoryEntry:
    return HistoryEntry(
        number=1,
        outcome=Outcome.SUCCEEDED,
        reason="Succeeded",
        start_revisions=start,
        applied=applied,
        started_at=NOON,
        finished_at=NOON,
    )


def status(*heads: str, history: tuple[HistoryEntry, ...] = (run(("a2",), "a3", "a4"), run((), "a1", "a2"))) -> Status:
    return Status(current_revisions=heads, history=history)


@pytest.mark.parametrize(
    ("steps", "target"),
    [(1, "a3"), (2, "a2"), (3, "a1"), (4, "base")],
    ids=["one", "a whole run", "into an older run", "all"],
)
def test_steps_are_counted_through_the_runs(steps, target):
    assert revision_behind(status("a4"), steps) == target


def test_a_database_that_went_back_is_counted_from_where_it_is():
    assert revision_behind(status("a3"), 2) == "a1"


@pytest.mark.parametrize(
    ("found", "steps", "why"),
    [
        (status("a4"), 5, "only 4 step"),
        (status("b9"), 1, "tell 0 step"),
        (status("a4", "b4"), 1, "no one revision"),
        (Status(), 1, "no one revision"),
        (status("a3", history=(run(("a2", "b2"), "a3"),)), 1, "tell 0 step"),
    ],
    ids=["beyond the first", "a revision of nobody's", "two heads", "never read", "from two heads"],
)
def test_what_is_not_known_is_said_and_not_guessed(found, steps, why):
    with pytest.raises(ValueError, match=why):
        revision_behind(found, steps)
