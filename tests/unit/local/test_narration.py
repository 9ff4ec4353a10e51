"""What is told of a run without a cluster comes in the order in which it happened, and says nothing twice."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from dbmigration.api.reasons import Reason
from dbmigration.api.status import (
    Backup,
    Condition,
    ConditionStatus,
    Failure,
    Finding,
    Metrics,
    Outcome,
    Plan,
    Procedure,
    Run,
    Status,
    Step,
)
from dbmigration.api.status import StepState as State
from dbmigration.lifecycle.record import rolling_back
from dbmigration.local.narration import news
from dbmigration.local.report import plan_document, plan_report, report
from dbmigration.local.store import Resource
from dbmigration_runner.contract.result import Outcome as StepOutcome
from dbmigration_runner.contract.result import PlanReport, Result
from dbmigration_runner.contract.task import StepKind

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
RUN = Run(number=1, identity="i", generation=1, started_at=NOON)


def step(name: str, state: State, reason: str = "") -> Step:
    """The first attempt of a step."""
    over = None if state is State.STARTED else NOON
    return Step(name=name, attempt=1, job=name, state=state, started_at=NOON, finished_at=over, reason=reason)


MIGRATING = Status(run=RUN, steps=(step("migrate", State.STARTED),))


def ended(outcome: Outcome, reason: str, metrics: Metrics | None = None) -> str:
    """The report of a run that ended so."""
    condition = Condition(
        type="Ready",
        status=ConditionStatus.TRUE,
        reason=reason,
        message="Said.",
        last_transition_time=NOON,
        observed_generation=1,
    )
    status = Status(run=replace(RUN, outcome=outcome), conditions=(condition,), metrics=metrics)
    return report(Resource("default", "shop", "", "uid", status=status.document()), [], "logs", None, 100)


@pytest.mark.parametrize(("outcome", "is_told"), [(Outcome.FAILED, True), (Outcome.SUCCEEDED, False)])
def test_a_failed_run_says_how_its_backup_is_put_back_and_nothing_of_what_a_reader_of_sql_is_told(outcome, is_told):
    backup = Backup(name="shop-1", location="here", size_bytes=1, sha256="ab", taken_at=NOON, verified_at=NOON)
    findings = (Finding(code="NotRenderable", message="Why."), Finding(code="LosesData", message="What."))
    plan = Plan(hash="h", count=1, findings=findings)
    status = Status(run=replace(RUN, outcome=outcome, backup="shop-1"), backups=(backup,), plan=plan)
    said = report(Resource("default", "shop", "", "uid", status=status.document()), [], "logs", None, 100)
    assert ("the same command with --restore shop-1 would put it back" in said) == is_told
    assert ("NotRenderable" in said, "LosesData" in said) == (False, True)


@pytest.mark.parametrize(
    ("procedure", "name", "begins"),
    [
        (Procedure.ROLL_BACK, "downgrade", "Undoing revisions and verifying …"),
        (Procedure.RESTORE, "restore", "Restoring the backup …"),
    ],
)
def test_a_failure_is_told_before_what_is_done_about_it_begins(procedure, name, begins):
    failure = Failure(reason="MigrationFailed", message="Revision b failed.")
    steps = (step("migrate", State.FAILED, "MigrationFailed"), step(name, State.STARTED))
    run = replace(RUN, procedure=procedure, failure=failure)
    end, cause, beginning = news(MIGRATING, replace(MIGRATING, run=run, steps=steps))
    assert end.startswith("The migrate step: Failed")
    assert cause.startswith("The migration failed: Revision b failed.")
    assert beginning == begins


def test_why_the_downgrade_failed_is_told_before_the_backup_is_restored():
    first = Failure(reason="MigrationFailed", message="Revision b failed.")
    run = replace(RUN, procedure=Procedure.ROLL_BACK, failure=first)
    undoing = replace(MIGRATING, run=run, steps=(step("downgrade", State.STARTED),))
    failed = rolling_back(undoing, Procedure.RESTORE, Reason.MIGRATION_FAILED, "Revision a failed: RuntimeError.")
    end, cause = news(undoing, replace(failed, steps=(step("downgrade", State.FAILED, "MigrationFailed"),)))
    assert end.startswith("The downgrade step: Failed")
    assert cause == "The downgrade failed: Revision a failed: RuntimeError. The backup is to be restored."
    assert list(news(failed, failed)) == []


@pytest.mark.parametrize(
    ("outcome", "reason", "said"),
    [
        (Outcome.SUCCEEDED, "Succeeded", "Succeeded"),
        (Outcome.SUCCEEDED, "UpToDate", "Succeeded (UpToDate)"),
        (Outcome.FAILED, "MigrationFailed", "Failed (MigrationFailed)"),
        (Outcome.ROLLED_BACK, "RolledBack", "RolledBack"),
    ],
)
def test_a_reason_that_only_repeats_the_outcome_is_left_out(outcome, reason, said):
    assert ended(outcome, reason).splitlines()[0].split(maxsplit=1) == ["outcome", said]


def test_a_peak_that_nobody_measured_is_not_told():
    assert "CPU" not in ended(Outcome.SUCCEEDED, "Succeeded", Metrics(peak_memory_bytes=1 << 20))
    assert "CPU 0 %" in ended(Outcome.SUCCEEDED, "Succeeded", Metrics(peak_cpu_percent=0.0))


@pytest.mark.parametrize(("loses", "accepts"), [(True, False), (True, True), (False, False)])
def test_a_plan_whose_run_would_refuse_to_lose_data_says_so_and_what_to_give(loses, accepts):
    plan = PlanReport("hash", ("a2",), ("a1",), 1, downgrade=True, loses_data=loses)
    result = Result(StepKind.PLAN, "nonce", StepOutcome.SUCCEEDED, plan=plan)
    said = plan_report(result, None, 200, accepts_data_loss=accepts)
    assert ("a run would end with DataLossNotAccepted: give --accept-data-loss" in said) is (loses and not accepts)
    refused = plan_document(result, None, accepts_data_loss=accepts)["refused"]
    assert (f"refused     {refused}\n" in said) if loses and not accepts else refused is None
