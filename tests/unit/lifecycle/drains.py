"""Two workloads that are drained before a restore; the run that does so, step by step, is in conftest.py."""

from __future__ import annotations

from datetime import timedelta

from dbmigration.lifecycle.observed import WorkloadRef
from tests.unit.lifecycle.laboratory import Laboratory, manifest

WEB, STORE = WorkloadRef("Deployment", "shop-web"), WorkloadRef("StatefulSet", "shop-store")
SPEC = manifest(
    rollback={"onFailure": "Restore"},
    drain={"workloads": [{"kind": ref.kind, "name": ref.name} for ref in (WEB, STORE)]},
)


def tick(lab: Laboratory, seconds: int = 2) -> None:
    lab.now += timedelta(seconds=seconds)
    lab.turn()


def sizes(lab: Laboratory) -> tuple[int, ...]:
    return tuple(lab.workloads[ref].replicas for ref in (WEB, STORE) if ref in lab.workloads)
