"""The machine, explored: step results, losses, edits, wishes, orders, deletions and crashes, in any order.

A state is the resource, its steps and its database together, times left out. From each one every event is tried that could
happen there, and after each event the operator may be killed between any two of its effects. What must always hold is
checked in every state; that there is a way out of every state is checked from a sample of them.
"""

from __future__ import annotations

import random

import pytest

from dbmigration.api.status import Outcome, Phase, Procedure, Run, Status, StepState
from dbmigration.lifecycle.decide import decide
from dbmigration.lifecycle.decision import Decision, StartStep
from dbmigration.lifecycle.observed import (
    Ended,
    Gone,
    Stopping,
    WorkloadRef,
)
from dbmigration_runner.contract.task import CHANGING, StepKind
from tests.sampling import IS_SOAK
from tests.unit.lifecycle.explorer import EVENTS, ORDERS, SIZES, SPECS, WORKER, WORKLOADS, Explorer
from tests.unit.lifecycle.laboratory import HISTORY

STATES = 60_000 if IS_SOAK else 20_000  # of each group
ENDS = {Phase.SUCCEEDED, Phase.ROLLED_BACK, Phase.RESTORED, Phase.FAILED, Phase.CANCELLED}
ONLY_BACK = {Phase.ROLLING_BACK, Phase.ROLLED_BACK, Phase.DRAINING, Phase.RESTORING, Phase.RESUMING}
FORWARD, BACK, ORDERED, DRAINED, WISHED = (0, 1, 2, 3), (4, 5, 6, 0), (0, 2, 6), (7, 2, 6), (6, 8)


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
            ref = WorkloadRef(known.kind, known.name)
            had = SIZES[ref].replicas
            assert known.replicas in {had, None}, "replicas forgotten"
            assert known.replicas or lab.workloads.get(ref, SIZES[ref]).replicas == had, (
                "scaled before it was written down"
            )
        held = lab.finalizer or any(type(item).__name__ == "AddFinalizer" for item in decision.actions)
        assert held or (lab.deleting and lab.is_itself), "scaled without being held"
    elif before.drain is not None:
        assert lab.is_itself, "an end without the replicas back"
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
    is_ours = action.ref.kind is StepKind.BACKUP or action.task.restore is not None
    assert action.task.restore is None or action.ref.kind in {StepKind.RESTORE, StepKind.LOOK}
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
        assert status.drain.resumed_at is None, "a restore while the application returns"
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
    lab.workloads.setdefault(WORKER, SIZES[WORKER])
    for _ in range(60):
        decision = lab.turn()
        run = lab.status.run
        if lab.deleting:
            if not lab.finalizer:
                return lab.is_itself
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


@pytest.mark.parametrize(
    "group",
    [FORWARD, BACK, ORDERED, DRAINED, *([WISHED] if IS_SOAK else [])],
    ids=["forward", "back", "ordered", "drained", *(["wished"] if IS_SOAK else [])],
)
def test_whatever_happens_in_whatever_order(group):
    """Of all wishes some; a run that was begun for one is met by edits to the others."""
    events = {
        name: event
        for name, event in EVENTS.items()
        if (not name.startswith("edit") or int(name.split()[1]) in group)
        and (group is ORDERED or name not in ORDERS)
        and (group is DRAINED or name not in WORKLOADS)
    }
    stored = {"old": ("a1",), "older": ()}
    phases: set[Phase] = set()
    chance = random.Random(20261123)
    seen: set[int] = set()
    frontier = [Explorer(spec=SPECS[number], workloads=dict(SIZES), stored=dict(stored)) for number in group]
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
    never = {
        FORWARD: {*ONLY_BACK, Phase.RESTORED},
        BACK: {Phase.RESTORED},
        ORDERED: set(),
        DRAINED: {Phase.RESTORED},
        WISHED: {Phase.RESTORED},
    }
    by_chance = {Phase.ROLLED_BACK} if group is ORDERED else set()  # the group before has it for certain
    assert set(Phase) - never[group] - by_chance <= phases <= set(Phase) - never[group]
    assert any(step.state is StepState.LOST for lab in frontier for step in lab.status.steps)
