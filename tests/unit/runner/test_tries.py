"""What one try of env.py means: whether it may be repeated, and what it left. Every reading is given here; none is made."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dbmigration_runner.application import Story
from dbmigration_runner.checks.migrate import Attempt
from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.engines.catalog import Catalog
from dbmigration_runner.errors import Stopped
from dbmigration_runner.events import Failed
from dbmigration_runner.step import Seen

ONE, TWO = Catalog(("table one",)), Catalog(("table one", "table two"))
START, SECOND, TORN = Seen(("a1",), ONE), Seen(("a2",), TWO), Seen(("a2",), Catalog((*TWO.items, "table half")))
UNREAD, ENDED = Seen(None), Stopped(RunnerReason.CANCELLED, "enough")
LOCKED = Failed(RunnerReason.MIGRATION_FAILED, "no lock", lock_timeout=True)


def attempt(after: Seen, **story: object) -> Attempt:
    return Attempt(replace(Story(failed=LOCKED), **story), START, after, lock_waits=0)


@pytest.mark.parametrize(
    ("found", "repeated"),
    [
        (attempt(START), True),
        (attempt(SECOND, settled=SECOND, applied=["a2"]), True),
        (attempt(SECOND, applied=["a2"]), False),
        (attempt(TORN, settled=SECOND, applied=["a2"]), False),
        (attempt(SECOND, settled=SECOND, applied=["a2"], committed=True), False),
        (attempt(START, committed=True), False),
        (attempt(UNREAD), False),
        (attempt(START, stopped=ENDED), False),
        (attempt(START, works_on=True), False),
        (attempt(START, failed=replace(LOCKED, lock_timeout=False)), False),
    ],
    ids=[
        "nothing was changed",
        "nothing since a revision that was read",
        "a revision that was not read",
        "a schema since then",
        "rows since then",
        "rows of the first revision",
        "nobody could read",
        "it was told to stop",
        "a session of it works on",
        "no lock was in the way",
    ],
)
def test_a_try_is_repeated_where_it_left_nothing_that_the_heads_do_not_tell(found, repeated):
    assert found.may_be_repeated is repeated


def test_nobody_knows_what_a_session_that_works_on_will_change():
    assert attempt(START).changed is False
    assert attempt(START, works_on=True).changed is None
    assert replace(attempt(START, works_on=True), done=("a2",)).changed is None


def test_a_revision_is_torn_where_the_schema_is_not_the_one_before_it():
    assert not attempt(SECOND, settled=SECOND, applied=["a2"]).is_torn
    assert attempt(TORN, settled=SECOND, applied=["a2"]).is_torn
    assert attempt(replace(START, schema=Catalog((*ONE.items, "table half")))).is_torn
