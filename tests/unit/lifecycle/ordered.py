"""A shop of which a backup is ordered: how it is driven, and what the order is told. Its fixture is `shop` of whoever uses it."""

from __future__ import annotations

from datetime import timedelta

from dbmigration.api.database_restore import RestoreStatus
from dbmigration.api.status import ConditionStatus, Phase, Status
from dbmigration.lifecycle.observed import WorkloadRef, WorkloadView
from dbmigration_runner.contract.task import StepKind
from tests.unit.lifecycle.laboratory import Laboratory, manifest

WEB = WorkloadRef("Deployment", "shop-web")
DRAINED = manifest(drain={"workloads": [{"kind": WEB.kind, "name": WEB.name}]})


def ready(status: Status | RestoreStatus) -> tuple[str, str]:
    """Whether, and why."""
    found = {condition.type: condition for condition in status.conditions}
    if found["Stalled"].status is ConditionStatus.TRUE:
        return "Stalled", found["Ready"].reason
    return found["Ready"].status.value, found["Ready"].reason


def of(lab: Laboratory, uid: str) -> RestoreStatus:
    """What an order is told."""
    return lab.orders[uid].status


def reach(lab: Laboratory, kind: StepKind) -> None:
    """Until this step is at work."""
    for _ in range(14):
        if lab.running is not None and lab.running.kind is kind:
            return
        if lab.running is not None:
            lab.answer()
        lab.now += timedelta(seconds=2)
        lab.turn()
        lab.pods_follow()
    raise AssertionError(f"{kind} was not reached: {lab.status.phase}")


def kinds(lab: Laboratory, since: int = 0) -> list[str]:
    return [ref.kind.value for ref in lab.started[since:]]


def at_its_newest(lab: Laboratory) -> Laboratory:
    """A shop with the backup from before, one of today's revision, and an application that can be drained."""
    lab.spec, lab.stored = DRAINED, {"old": ("a1",), "same": ("c3",)}
    lab.workloads = {WEB: WorkloadView(2, 2, 2)}
    lab.play()
    assert (lab.heads, lab.status.phase) == (("c3",), Phase.SUCCEEDED)
    return lab
