"""The laboratory as an explorer needs it: copied cheaply, known by a key, and with every event that could happen to it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import lru_cache

from dbmigration.api.database_restore import RestoreStatus
from dbmigration.api.spec import MigrationSpec
from dbmigration.api.status import Status
from dbmigration.lifecycle.decision import Action, StartStep
from dbmigration.lifecycle.observed import Observed, OrderView, Running, Stopping, WorkloadRef, WorkloadView
from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.contract.task import CHANGING, StepKind
from tests.unit.lifecycle.laboratory import Laboratory, manifest

WEB, WORKER = WorkloadRef("Deployment", "shop-web"), WorkloadRef("Deployment", "shop-worker")
SIZES = {WEB: WorkloadView(2, 2, 2), WORKER: WorkloadView(3, 3, 3)}
DRAIN = {"workloads": [{"kind": ref.kind, "name": ref.name} for ref in SIZES]}
SPECS = (
    manifest(),
    manifest(targetRevision="b2"),
    manifest(suspend=True),
    manifest(backup={"skip": {"reason": "scratch"}}),
    manifest(targetRevision="a1", policy={"downgrade": "Allow"}),
    manifest(rollback={"onFailure": "Downgrade"}),
    *(
        manifest(
            rollback={"onFailure": "DowngradeOrRestore"},
            drain={**DRAIN, "when": when},
        )
        for when in ("OnRestore", "Always")
    ),
    manifest(targetRevision="a1", policy={"downgrade": "Allow"}, rollback={"onFailure": "Restore"}, drain=DRAIN),
)
PARSED = tuple(MigrationSpec.parse(spec) for spec in SPECS)


class Explorer(Laboratory):
    """The laboratory without the round trip through JSON, which other tests hold equal, and with a cheap copy."""

    wrote = False  # a Pod of the application was there since the last backup began

    def observe(self) -> Observed:
        steps = {**self.steps}
        return replace(_blank(SPECS.index(self.spec)), now=self.now, generation=self.generation, status=self.status, steps=steps,
                       deleting=self.deleting, has_finalizer=self.finalizer, retry=self.retry, cancel=self.cancel,
                       workloads=self.workloads, orders=self.open_orders(), turn_held_by=self.turn_held_by, kept_runs=frozenset(ref.run for ref in steps))  # fmt: skip

    def open_orders(self) -> tuple[OrderView, ...]:
        return tuple(order for order in self.orders.values() if not order.status.has_ended)

    def act(self, action: Action) -> None:
        super().act(action)
        if isinstance(action, StartStep) and action.ref.kind is StepKind.BACKUP:
            self.wrote = any(view.pods for view in self.workloads.values())

    def pods_follow(self) -> None:
        super().pods_follow()
        self.wrote = self.wrote or any(view.pods for view in self.workloads.values())

    @property
    def is_itself(self) -> bool:
        """Does every workload have the replicas that it had before anything was done?"""
        return all(view.replicas == SIZES[ref].replicas for ref, view in self.workloads.items())

    @property
    def retry_is_open(self) -> bool:
        return bool(self.retry) and self.retry != self.status.last_handled_retry

    def copy(self) -> Explorer:
        twin = copy.copy(self)
        twin.steps, twin.tasks, twin.workloads = dict(self.steps), dict(self.tasks), dict(self.workloads)
        twin.started, twin.applied, twin.events = list(self.started), list(self.applied), []
        twin.orders, twin.said, twin.swapped = dict(self.orders), [], list(self.swapped)
        twin.stored, twin.records = dict(self.stored), dict(self.records)
        return twin

    def key(self) -> int:
        status = self.status
        run = status.run
        return hash((
            status.phase, status.conditions and (status.conditions[0].reason, status.conditions[0].status), status.current_revisions,
            run and (min(run.number, 4), run.outcome, run.plan_hash, bool(run.backup), run.applied_revisions, run.identity,
                    run.procedure, run.undone_revisions, run.verified_by, bool(run.left_behind)),
            tuple((step.name, step.attempt, step.state, step.reason) for step in status.steps),
            tuple((ref, type(view)) for ref, view in self.steps.items()),
            self.heads, self.left, tuple(sorted((ref.name, view) for ref, view in self.workloads.items())),
            status.drain and (status.drain.drained_at is None, status.drain.resumed_at is None, status.drain.contested_at is not None, not status.drain.given_up), self.wrote, self.deleting, self.finalizer, bool(self.retry), bool(self.cancel), self.turn_held_by, SPECS.index(self.spec),
            tuple((order.name, order.status.phase) for order in self.orders.values()), tuple(self.swapped), tuple(self.records),
            self.generation - (run.generation if run else 0), status.next_retry_time is not None and status.next_retry_time > self.now,
        ))  # fmt: skip


@lru_cache
def _blank(number: int) -> Observed:
    return replace(Laboratory().observe(), spec=PARSED[number])


def _running(*kinds: StepKind) -> Callable[[Explorer], bool]:
    return lambda lab: lab.running is not None and (not kinds or lab.running.kind in kinds)


def _edit(number: int) -> Callable[[Explorer], None]:
    def edit(lab: Explorer) -> None:
        lab.spec, lab.generation = SPECS[number], lab.generation + 1

    return edit


def _fails_half_way(lab: Explorer) -> None:
    assert lab.running is not None
    done = lab.apply(lab.tasks[lab.running], 1)
    lab.fail(RunnerReason.MIGRATION_FAILED, changed=bool(done), heads=lab.heads)


def _sleep(lab: Explorer) -> None:
    assert lab.status.next_retry_time is not None
    lab.now = lab.status.next_retry_time


def _anew(lab: Explorer) -> None:
    """A cluster that is restored: the objects without their statuses, and nothing of the steps."""
    lab.status, lab.steps, lab.finalizer = Status(), {}, False
    lab.orders = {f"{uid}+": replace(order, uid=f"{uid}+", status=RestoreStatus()) for uid, order in lab.orders.items()}


EVENTS: dict[str, tuple[Callable[[Explorer], bool], Callable[[Explorer], object]]] = {
    "answers": (_running(), lambda lab: lab.answer()),
    "can be mended": (_running(), lambda lab: lab.fail(RunnerReason.DATABASE_UNREACHABLE)),
    "must be decided": (_running(), lambda lab: lab.fail(RunnerReason.MULTIPLE_HEADS)),
    "finds the database moved": (_running(StepKind.BACKUP), lambda lab: lab.fail(RunnerReason.DATABASE_MOVED)),
    "cannot tell": (
        _running(*CHANGING),
        lambda lab: lab.fail(RunnerReason.CONNECTION_LOST, changed=None, heads=None),
    ),
    "fails half-way": (_running(*CHANGING), _fails_half_way),
    "is lost": (_running(), lambda lab: lab.lose()),
    "is lost half-way": (_running(*CHANGING), lambda lab: lab.lose(after=1)),
    "leaves something behind": (
        lambda lab: _running(StepKind.DOWNGRADE)(lab) and not lab.left,
        lambda lab: setattr(lab, "left", "t"),
    ),
    "pods follow": (
        lambda lab: any(view.pods != view.replicas or view.ready != view.replicas for view in lab.workloads.values()),
        lambda lab: lab.pods_follow(),
    ),
    "somebody scales it back": (
        lambda lab: lab.status.drain is not None and lab.workloads[WEB].replicas == 0,
        lambda lab: lab.workloads.update({WEB: replace(lab.workloads[WEB], replicas=2, scaled_by="hpa")}),
    ),
    "a workload is deleted": (lambda lab: WORKER in lab.workloads, lambda lab: lab.workloads.pop(WORKER)),
    "and made again": (
        lambda lab: WORKER not in lab.workloads,
        lambda lab: lab.workloads.update({WORKER: SIZES[WORKER]}),
    ),
    "the drain takes long": (
        lambda lab: lab.status.drain is not None and lab.status.drain.drained_at is None,
        lambda lab: setattr(lab, "now", lab.status.drain.started_at + timedelta(hours=1)),
    ),
    "vanishes": (
        lambda lab: any(isinstance(view, Running | Stopping) for view in lab.steps.values()),
        lambda lab: lab.vanish(),
    ),
    "time passes": (
        lambda lab: lab.status.next_retry_time is not None and lab.status.next_retry_time > lab.now,
        _sleep,
    ),
    "retry is set": (lambda lab: not lab.retry, lambda lab: setattr(lab, "retry", "token")),
    "cancel is set": (
        lambda lab: not lab.cancel and lab.status.run is not None,
        lambda lab: setattr(lab, "cancel", "token"),
    ),
    "cancel is taken back": (lambda lab: bool(lab.cancel), lambda lab: setattr(lab, "cancel", "")),
    "is deleted": (lambda lab: not lab.deleting, lambda lab: setattr(lab, "deleting", True)),
    "an order comes": (
        lambda lab: len(lab.orders) < 2,
        lambda lab: lab.order("old", name="back", uid=f"back-{len(lab.orders)}-{lab.writes}"),
    ),
    "another order comes": (
        lambda lab: len(lab.orders) < 2,
        lambda lab: lab.order("older", name="further", uid=f"further-{len(lab.orders)}-{lab.writes}"),
    ),
    "an order is deleted": (lambda lab: bool(lab.orders), lambda lab: lab.orders.pop(min(lab.orders))),
    "all is created anew": (
        lambda lab: lab.status.drain is None and not lab.deleting and lab.status != Status() and bool(lab.records),
        _anew,
    ),
    "another works": (lambda lab: lab.turn_held_by is None, lambda lab: setattr(lab, "turn_held_by", "shop/other")),
    "another is done": (lambda lab: lab.turn_held_by is not None, lambda lab: setattr(lab, "turn_held_by", None)),
    **{
        f"edit {number}": (lambda lab, number=number: lab.spec != SPECS[number] and lab.generation < 5, _edit(number))
        for number in range(len(SPECS))
    },
    "nothing": (lambda _: True, lambda _: None),
}


ORDERS = {
    *("an order comes", "another order comes", "an order is deleted", "all is created anew"),
    "cancel is taken back",
}
WORKLOADS = {"a workload is deleted", "and made again"}
