"""What a start says of the open run before it does anything with it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from dbmigration.api.drained import Drain
from dbmigration.api.restored import Order
from dbmigration.api.status import Outcome, Procedure, Run, Status, Step, StepState
from dbmigration.local.begun import opening

NIGHT = datetime(2026, 11, 23, 3, tzinfo=UTC)
ORDER = Order(name="restore-1", uid="u1", backup="b1")
RESTORING = (Step(name="restore", attempt=1, job="j", state=StepState.STARTED, started_at=NIGHT),)


def _with(procedure, order=None, *, drain=None, steps=(), outcome=None):
    run = Run(
        number=7,
        procedure=procedure,
        identity="1:0",
        generation=1,
        started_at=NIGHT,
        target_revision="head",
        backup="b0",
        order=order,
        outcome=outcome,
    )
    return Status(run=run, drain=drain, steps=steps)


DRAINING, DRAINED = Drain(started_at=NIGHT), Drain(started_at=NIGHT, drained_at=NIGHT)


@pytest.mark.parametrize(
    ("status", "goes_on", "is_ended"),
    [
        (_with(Procedure.MIGRATE, outcome=Outcome.FAILED), "", ""),
        (
            _with(Procedure.MIGRATE),
            "goes on: the migration to head, begun 2026-11-23 03:00:00 UTC.",
            "is ended: the migration to head, begun 2026-11-23 03:00:00 UTC.",
        ),
        (
            _with(Procedure.RESTORE, ORDER, drain=DRAINING),
            "goes on: restore-1, backup b1, draining since 03:00:00 UTC; its time was over at 03:10:00 UTC.",
            "is given up, nothing was restored: restore-1, backup b1, draining since 03:00:00 UTC.",
        ),
        (
            _with(Procedure.RESTORE, ORDER, drain=DRAINED, steps=RESTORING),
            "goes on: restore-1, backup b1, drained since 03:00:00 UTC.",
            "goes to its end, for its way back has begun and is not broken off: restore-1, backup b1, drained since 03:00:00 UTC.",
        ),
        (
            _with(Procedure.RESTORE, drain=DRAINING),
            "goes on: the restore behind a migration that failed, backup b0, draining since 03:00:00 UTC; its time was over at 03:10:00 UTC.",
            (
                "goes to its end, for its way back has begun and is not broken off: the restore behind a migration that failed, "
                "backup b0, draining since 03:00:00 UTC."
            ),
        ),
    ],
    ids=["none", "migration", "order that drains", "order that restores", "way back"],
)
def test_the_first_line_says_which_run_it_is_and_what_becomes_of_it(status, goes_on, is_ended):
    assert opening(status, to_cancel=False, is_changed=False).removeprefix("Run 7 ") == goes_on
    assert opening(status, to_cancel=True, is_changed=False).removeprefix("Run 7 ") == is_ended


def test_one_that_another_wish_may_end_is_not_said_to_go_on():
    said = opening(_with(Procedure.MIGRATE), to_cancel=False, is_changed=True)
    assert said == "Run 7 is open: the migration to head, begun 2026-11-23 03:00:00 UTC."
