"""A restore's report fits, whatever was lost."""

from __future__ import annotations

from dbmigration_runner.contract.result import (
    RESULT_BYTES,
    Outcome,
    RestoreReport,
    RestoreStage,
    Result,
    TableLoss,
    fit,
)
from dbmigration_runner.contract.task import StepKind


def test_what_decides_is_never_cut():
    lost = tuple(TableLoss(f"schema.{'long' * 30}_{number}", 1, 2, 3, "why " * 50) for number in range(300))
    report = RestoreReport(
        *("shop-7-20261123T041233Z", RestoreStage.LOOKED, True, "shop_before-7", True, 300, 1800, lost),
        *("shop-7-20261123T041233Z.lost-before-7.jsonl", "e" * 64),
    )
    small = fit(Result(StepKind.RESTORE, "4fd1", Outcome.SUCCEEDED, restore=report))
    assert len(small.to_json().encode()) <= RESULT_BYTES
    assert small.truncated
    assert small.restore is not None
    assert (small.restore.lost_tables, small.restore.lost_rows) == (300, 1800)
    assert (small.restore.list_file, small.restore.list_sha256) == (report.list_file, report.list_sha256)
    assert (small.restore.kept_as, small.restore.stage) == (report.kept_as, report.stage)
    assert 0 < len(small.restore.lost) < 300
    assert Result.from_json(small.to_json(), nonce="4fd1") == small
