"""Fixtures of the lifecycle's tests."""

from __future__ import annotations

import pytest

from dbmigration.lifecycle.observed import WorkloadView
from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.contract.result import MigrateReport
from tests.unit.lifecycle.drains import SPEC, STORE, WEB, tick
from tests.unit.lifecycle.laboratory import Laboratory


@pytest.fixture
def lab() -> Laboratory:
    return Laboratory()


@pytest.fixture
def migrating(lab: Laboratory) -> Laboratory:
    """A run whose migrate step is at work."""
    lab.turn()
    lab.answer()
    lab.turn()
    lab.answer()
    lab.turn()
    return lab


@pytest.fixture
def failed(lab: Laboratory) -> Laboratory:
    """The migration has just failed half-way; its backup is to be restored."""
    lab.spec = SPEC
    lab.workloads = {WEB: WorkloadView(2, 2, 2), STORE: WorkloadView(1, 1, 1)}
    for _ in range(2):
        lab.turn()
        lab.answer()
    lab.turn()
    lab.apply(lab.tasks[lab.running], 1)
    lab.fail(RunnerReason.MIGRATION_FAILED, changed=True, catalog=lab.catalog, migrate=MigrateReport(applied=("a1",)))
    return lab


@pytest.fixture
def draining(failed: Laboratory) -> Laboratory:
    """Scaled to zero; the Pods are still there."""
    failed.turn()
    tick(failed)
    return failed


@pytest.fixture
def restoring(draining: Laboratory) -> Laboratory:
    """The restore is at work."""
    draining.pods_follow()
    tick(draining)
    assert draining.running is not None
    return draining
