"""The machine, explored: step results, losses, edits, wishes, orders, deletions and crashes, in any order.

A state is the resource, its steps and its database together, times left out. From each one every event is tried that could
happen there, and after each event the operator may be killed between any two of its effects. What must always hold is
checked in every state; that there is a way out of every state is checked from a sample of them.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import lru_cache

import pytest

from dbmigration.api.database_restore import RestoreStatus
from dbmigration.api.spec import MigrationSpec
from dbmigration.api.status import Outcome, Phase, Procedure, Run, Status, StepState
from dbmigration.lifecycle.decide import decide
from dbmigration.lifecycle.decision import Action, Decision, StartStep
from dbmigration.lifecycle.observed import (
    Ended,
    Gone,
    Observed,
    OrderView,
    Running,
    Stopping,
    WorkloadRef,
    WorkloadView,
)
from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.contract.task import CHANGING, StepKind
from tests.unit.lifecycle.laboratory import HISTORY, Laboratory, manifest

STATES = 60_000  # of each group
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
            drain={"workloads": [{"kind": "Deployment", "name": "shop-web"}], "when": when},
        )
        for when in ("OnRestore", "Always")
    ),
)
ENDS = {Phase.SUCCEEDED, Phase.ROLLED_BACK, Phase.RESTORED, Phase.FAILED, Phase.CANCELLED}
ONLY_BACK = {Phase.ROLLING_BACK, Phase.ROLLED_BACK, Phase.DRAINING, Phase.RESTORING, Phase.RESUMING}
FORWARD, BACK, ORDERED, DRAINED = (0, 1, 2, 3), (4, 5, 6, 0), (0, 2, 6), (7, 2, 6)
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
            self.heads, self.left, tuple(self.workloads.values()),
            status.drain and (status.drain.drained_at is None, status.drain.resumed_at is None, status.drain.contested, not status.drain.given_up), self.wrote, self.deleting, self.finalizer, bool(self.retry), bool(self.cancel), self.turn_held_by, SPECS.index(self.spec),
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


ORDERS = {"an order comes", "another order comes", "an order is deleted", "all is created anew"}
WEB = WorkloadRef("Deployment", "shop-web")


def _check(before: Status, lab: Explorer, decision: Decision) -> None:
    status, run, was = decision.status, decision.status.run, before.run
    values = [condition.status.value for condition in status.conditions[:3]]
    assert values in (
        [],
        ["True", "False", "False"],
        ["Unknown", "True", "False"],
        ["False", "True", "False"],
        ["False", "False", "True"],
    )
    besides = {condition.type for condition in status.conditions[3:]}
    assert besides <= {"Drained", "RolledBack"}
    assert ("RolledBack" in besides) is (status.phase is Phase.ROLLED_BACK)
    if status.drain is not None:
        for known in status.drain.workloads:
            assert (known.name, known.replicas) in {("shop-web", 2), ("shop-web", None)}, "replicas forgotten"
            assert known.replicas or lab.workloads[WEB].replicas == 2, "scaled before it was written down"
        held = lab.finalizer or any(type(item).__name__ == "AddFinalizer" for item in decision.actions)
        assert held or (lab.deleting and lab.workloads[WEB].replicas == 2), "scaled without being held"
    elif before.drain is not None:
        assert lab.workloads[WEB].replicas == 2, "an end without the replicas back"
    if run is not None and run.outcome is not None:
        assert status.drain is None, "a run that ended with workloads drained"
    if values == ["True", "False", "False"] and status.conditions[0].observed_generation == lab.generation:
        assert run is not None, "ready without a run"
        assert run.identity == lab.observe().identity, "ready for a spec that nobody acted on"
    for action in decision.actions:
        if isinstance(action, StartStep):
            _check_start(action, lab, decision, was)
    if was is not None and run is not None and was.number == run.number:
        done_before = run.order is not None and run.outcome is not None
        for name in ("generation", "started_at", *(() if done_before else ("identity",))):
            assert getattr(was, name) == getattr(run, name), f"the run's {name} changed"
        if was.plan_hash:
            assert (was.plan_hash, was.start_revisions) == (run.plan_hash, run.start_revisions)
        assert not was.backup or was.backup == run.backup, "a second backup in one run"
        assert not was.outcome or was.outcome == run.outcome, "an end that was not the end"
    if values == ["True", "False", "False"]:
        assert status.current_revisions == status.target_revisions, "ready at another place"
    _check_end(status, was, lab)
    assert len(lab.applied) == len(set(lab.applied)), "a revision was applied twice"


def _check_end(status: Status, was: Run | None, lab: Explorer) -> None:
    run = status.run
    if run is not None and run.order is not None:
        if run.restored is not None and run.outcome is Outcome.SUCCEEDED and was is not None and was.outcome is None:
            assert lab.swapped.count(run.order.name) == 1
    elif run is not None and run.outcome is Outcome.SUCCEEDED and (was is None or was.outcome is None):
        assert status.current_revisions == status.target_revisions, "success that nobody read"
        assert tuple(lab.heads) == status.current_revisions
    if run is not None and run.outcome is Outcome.ROLLED_BACK and (was is None or was.outcome is None):
        assert status.current_revisions == run.start_revisions == tuple(lab.heads), "a way back that nobody read"
        assert lab.catalog == status.plan.catalog, "a way back to another schema"


def _check_start(action: StartStep, lab: Explorer, decision: Decision, was: Run | None) -> None:
    status, run = decision.status, decision.status.run
    ordered = action.task.restore.by if action.task.restore is not None else None
    assert ordered is None or ordered.name not in lab.records, "an order was carried out twice"
    is_ours = action.ref.kind in {StepKind.BACKUP, StepKind.RESTORE}
    assert (action.task.database.admin_url_file is not None) is is_ours, "who may drop databases"
    if action.ref.kind is StepKind.PLAN and was is not None and was.order is not None and was.outcome is not None:
        rests = was.outcome is Outcome.SUCCEEDED and was.identity == lab.observe().identity
        assert not rests or lab.retry_is_open, "upgraded straight back"
    if action.ref.kind is StepKind.BACKUP:
        assert all(StepKind(step.name) not in CHANGING for step in status.steps), (
            "a backup of what a migration left behind"
        )
    if status.drain is not None and action.ref.kind in {StepKind.BACKUP, StepKind.MIGRATE, StepKind.DOWNGRADE}:
        assert status.drain.drained_at is not None, "begun before it was seen that no Pod is left"
        assert status.drain.resumed_at is None, "begun while the application returns"
    if action.ref.kind is StepKind.BACKUP and lab.spec is SPECS[7] and run.generation == lab.generation:
        assert status.drain is not None, "a backup while workloads write that were to stand still"
    if action.ref.kind is StepKind.RESTORE:
        assert not (lab.wrote and action.task.restore.nothing_written), "thrown away without a word"
        assert status.drain is not None, "a restore while workloads write"
        assert status.drain.drained_at is not None, "a restore before it was seen that no Pod is left"
        assert not status.drain.given_up, "a restore although the drain was given up"
    if action.ref.kind in CHANGING and action.ref.attempt == 1 and run.procedure is Procedure.MIGRATE:
        skips = lab.spec["backup"].get("skip")
        made = [backup for backup in status.backups if backup.name == run.backup and backup.sha256]
        assert skips or made, "a migrate step without a recorded verified backup or the stated risk"
        assert skips or set(made[0].revisions) == set(run.start_revisions)
        assert lab.finalizer or any(type(item).__name__ == "AddFinalizer" for item in decision.actions)
        assert not lab.deleting


def _turn(lab: Explorer, *, effects: int | None = None) -> None:
    """One turn, killed after so many effects (the status is the first)."""
    before = lab.status
    decision = decide(lab.observe())
    assert decide(lab.observe()) == decision, "the same snapshot, another answer"
    _check(before, lab, decision)
    if effects == 0:
        return
    lab.write(decision.status)
    for action in decision.actions[: None if effects is None else effects - 1]:
        lab.act(action)


def _leads_out(lab: Explorer) -> bool:
    """Left alone, with steps that answer, does it come to an end?"""
    lab.turn_held_by = None
    for _ in range(60):
        decision = lab.turn()
        run = lab.status.run
        if lab.deleting:
            if not lab.finalizer:
                return lab.workloads[WEB].replicas == 2
            if lab.running is None and decision.wake_at is not None:
                lab.now = max(lab.now, decision.wake_at)
            _answers(lab)
            continue
        if (
            lab.spec is SPECS[2]
            and not lab.open_orders()
            and lab.status.drain is None
            and lab.running is None
            and not any(isinstance(view, Stopping) for view in lab.steps.values())
        ):
            return True
        if run is not None and run.outcome is not None and decision.actions == () and not lab.retry_is_open:
            assert all(order.status.has_ended for order in lab.orders.values()), "an order without an end"
            return lab.status.phase in ENDS
        lab.steps = {ref: view for ref, view in lab.steps.items() if not isinstance(view, Stopping)}
        lab.pods_follow()
        if lab.running is not None:
            lab.answer()
        elif decision.wake_at is not None:
            lab.now = max(lab.now, decision.wake_at)
    return False


def _answers(lab: Explorer) -> None:
    if lab.running is not None:
        lab.answer()
    lab.steps = {ref: view for ref, view in lab.steps.items() if isinstance(view, Ended | Gone)}
    lab.pods_follow()


Explorer.retry_is_open = property(lambda lab: bool(lab.retry) and lab.retry != lab.status.last_handled_retry)  # type: ignore[attr-defined]


@pytest.mark.parametrize("group", [FORWARD, BACK, ORDERED, DRAINED], ids=["forward", "back", "ordered", "drained"])
def test_whatever_happens_in_whatever_order(group):
    """Of all wishes some; a run that was begun for one is met by edits to the others."""
    events = {
        name: event
        for name, event in EVENTS.items()
        if (not name.startswith("edit") or int(name.split()[1]) in group) and (group is ORDERED or name not in ORDERS)
    }
    stored = {"old": ("a1",), "older": ()}
    phases: set[Phase] = set()
    chance = random.Random(20261123)
    seen: set[int] = set()
    size = WorkloadView(2, 2, 2)
    frontier = [Explorer(spec=SPECS[number], workloads={WEB: size}, stored=dict(stored)) for number in group]
    turns = 0
    while frontier and len(seen) < STATES:
        # Mostly the newest, so that runs become long; sometimes any, so that no early fork is forgotten.
        index = len(frontier) - 1 if chance.random() < 0.5 else chance.randrange(len(frontier))
        frontier[index], frontier[-1] = frontier[-1], frontier[index]
        lab = frontier.pop()
        for may_be, happen in events.values():
            if not may_be(lab):
                continue
            twin = lab.copy()
            happen(twin)
            for effects in (None, 1, 2) if chance.random() < 0.2 else (None,):
                third = twin.copy()
                _turn(third, effects=effects)
                turns += 1
                key = third.key()
                if (
                    key not in seen
                    and len(third.status.steps) < 12
                    and (third.status.run is None or third.status.run.number < 4)
                ):
                    seen.add(key)
                    phases.add(third.status.phase)
                    frontier.append(third)
    print(f"{len(seen)} states, {turns} turns")
    assert len(seen) >= STATES
    for lab in chance.sample(frontier, 500):
        steps = [(step.name, step.attempt, step.state.value) for step in lab.status.steps[-6:]]
        assert _leads_out(lab), f"no way out of {lab.status.phase}: {steps}"
    assert any(tuple(lab.applied) == HISTORY for lab in frontier)
    never = {FORWARD: {*ONLY_BACK, Phase.RESTORED}, BACK: {Phase.RESTORED}, ORDERED: set(), DRAINED: {Phase.RESTORED}}
    by_chance = {Phase.ROLLED_BACK} if group is ORDERED else set()  # the group before has it for certain
    assert set(Phase) - never[group] - by_chance <= phases <= set(Phase) - never[group]
    assert any(step.state is StepState.LOST for lab in frontier for step in lab.status.steps)
