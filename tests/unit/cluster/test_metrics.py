"""What the metrics tell of runs that ended."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from dbmigration.api.status import HistoryEntry, Outcome, Procedure, Status
from dbmigration.metrics.registry import Metrics

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("procedure", "order", "told"),
    [
        (Procedure.MIGRATE, "", "Migrate"),
        (Procedure.ROLL_BACK, "", "RollBack"),
        (Procedure.RESTORE, "", "Restore"),
        (Procedure.RESTORE, "monday-night", "Order"),
    ],
)
def test_what_a_person_ordered_is_told_from_what_answered_a_failure(procedure, order, told):
    metrics = Metrics(statuses=lambda: (), queue_depth=lambda: 0, is_leader=lambda: True)
    entry = HistoryEntry(
        number=1,
        outcome=Outcome.SUCCEEDED,
        reason="Restored",
        procedure=procedure,
        order=order,
        started_at=NOON,
        finished_at=NOON,
    )
    metrics.status_changed(Status(), Status(history=(entry,)))
    line = f'dbmigration_runs_total{{outcome="Succeeded",procedure="{told}",reason="Restored"}} 1.0'
    assert line in metrics.exposition().decode().splitlines()
