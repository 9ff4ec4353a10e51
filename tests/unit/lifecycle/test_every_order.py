"""The machine, explored: step results, losses, edits, wishes, deletions and crashes, in any order.

A state is the resource, its steps and its database together, times left out. From each one every event is tried that could
happen there, and after each event the operator may be killed between any two of its effects. What must always hold is
checked in every state; that there is a way out of every state is checked from a sample of them.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

from dbmigration.api.spec import MigrationSpec
from dbmigration.api.status import Outcome, Phase, Procedure, Status, StepState
from dbmigration.lifecycle.decide import decide
from dbmigration.lifecycle.decision import Decision, StartStep
from dbmigration.lifecycle.observed import Ended, Gone, Observed, Running, Stopping
from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.contract.task import CHANGING, StepKind
from tests.unit.lifecycle.laboratory import HISTORY, Laboratory, manifest

STATES = 120_000
SPECS = (
    manifest(),
    manifest(targetRevision="b2"),
    manifest(suspend=True),
    manifest(backup={"skip": {"reason": "scratch"}}),
    manifest(targetRevision="a1", policy={"downgrade": "Allow"}),
    manifest(rollback={"onFailure": "Downgrade"}),
)
PARSED = tuple(MigrationSpec.parse(spec) for spec in SPECS)


class Explorer(Laboratory):
    """The laboratory without the round trip through JSON, which other tests hold equal, and with a cheap copy."""

    def observe(self) -> Observed:
        steps = {**self.steps}
        return replace(_blank(SPECS.index(self.spec)), now=self.now, generation=self.generation, status=self.status, steps=steps,
                       deleting=self.deleting, has_finalizer=self.finalizer, retry=self.retry, cancel=self.cancel,
                       turn_held_by=self.turn_held_by, kept_runs=frozenset(ref.run for ref in steps))  # fmt: skip

    def copy(self) -> Explorer:
        twin = copy.copy(self)
        twin.steps, twin.tasks = dict(self.steps), dict(self.tasks)
        twin.started, twin.applied, twin.events = list(self.started), list(self.applied), []
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
            self.heads, self.left, self.deleting, self.finalizer, bool(self.retry), bool(self.cancel), self.turn_held_by, SPECS.index(self.spec),
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
    "another works": (lambda lab: lab.turn_held_by is None, lambda lab: setattr(lab, "turn_held_by", "shop/other")),
    "another is done": (lambda lab: lab.turn_held_by is not None, lambda lab: setattr(lab, "turn_held_by", None)),
    **{
        f"edit {number}": (lambda lab, number=number: lab.spec != SPECS[number] and lab.generation < 5, _edit(number))
        for number in range(len(SPECS))
    },
    "nothing": (lambda _: True, lambda _: None),
}


def _check(before: Status, lab: Explorer, decision: Decision) -> None:
    status, run, was = decision.status, decision.status.run, before.run
    values = [condition.status.value for condition in status.conditions]
    assert values in (
        [],
        ["True", "False", "False"],
        ["Unknown", "True", "False"],
        ["False", "True", "False"],
        ["False", "False", "True"],
        ["False", "False", "True", "True"],
    )
    assert (len(values) == 4) is (status.phase is Phase.ROLLED_BACK)
    if values == ["True", "False", "False"] and status.conditions[0].observed_generation == lab.generation:
        assert run is not None, "ready without a run"
        assert run.identity == lab.observe().identity, "ready for a spec that nobody acted on"
    for action in decision.actions:
        if isinstance(action, StartStep):
            _check_start(action, lab, decision)
    if was is not None and run is not None and was.number == run.number:
        for name in ("identity", "generation", "started_at"):
            assert getattr(was, name) == getattr(run, name), f"the run's {name} changed"
        if was.plan_hash:
            assert (was.plan_hash, was.start_revisions) == (run.plan_hash, run.start_revisions)
        assert not was.backup or was.backup == run.backup, "a second backup in one run"
        assert not was.outcome or was.outcome == run.outcome, "an end that was not the end"
    if run is not None and run.outcome is Outcome.SUCCEEDED and (was is None or was.outcome is None):
        assert status.current_revisions == status.target_revisions, "success that nobody read"
        assert tuple(lab.heads) == status.current_revisions
    if run is not None and run.outcome is Outcome.ROLLED_BACK and (was is None or was.outcome is None):
        assert status.current_revisions == run.start_revisions == tuple(lab.heads), "a way back that nobody read"
        assert lab.catalog == status.plan.catalog, "a way back to another schema"
    assert len(lab.applied) == len(set(lab.applied)), "a revision was applied twice"


def _check_start(action: StartStep, lab: Explorer, decision: Decision) -> None:
    status, run = decision.status, decision.status.run
    if action.ref.kind is StepKind.BACKUP:
        assert all(StepKind(step.name) not in CHANGING for step in status.steps), (
            "a backup of what a migration left behind"
        )
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
            return not lab.finalizer or _answers(lab)
        if (
            lab.spec is SPECS[2]
            and lab.running is None
            and not any(isinstance(view, Stopping) for view in lab.steps.values())
        ):
            return True
        if run is not None and run.outcome is not None and decision.actions == () and not lab.retry_is_open:
            return lab.status.phase in {Phase.SUCCEEDED, Phase.ROLLED_BACK, Phase.FAILED, Phase.CANCELLED}
        lab.steps = {ref: view for ref, view in lab.steps.items() if not isinstance(view, Stopping)}
        if lab.running is not None:
            lab.answer()
        elif decision.wake_at is not None:
            lab.now = max(lab.now, decision.wake_at)
    return False


def _answers(lab: Explorer) -> bool:
    if lab.running is not None:
        lab.answer()
    lab.steps = {ref: view for ref, view in lab.steps.items() if isinstance(view, Ended | Gone)}
    lab.turn()
    return not lab.finalizer


Explorer.retry_is_open = property(lambda lab: bool(lab.retry) and lab.retry != lab.status.last_handled_retry)  # type: ignore[attr-defined]


def test_whatever_happens_in_whatever_order():
    chance = random.Random(20261123)
    seen: set[int] = set()
    frontier = [Explorer(spec=SPECS[0])]
    turns = 0
    while frontier and len(seen) < STATES:
        # Mostly the newest, so that runs become long; sometimes any, so that no early fork is forgotten.
        index = len(frontier) - 1 if chance.random() < 0.5 else chance.randrange(len(frontier))
        frontier[index], frontier[-1] = frontier[-1], frontier[index]
        lab = frontier.pop()
        for possible, happen in EVENTS.values():
            if not possible(lab):
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
                    frontier.append(third)
    print(f"{len(seen)} states, {turns} turns")
    assert len(seen) >= STATES
    for lab in chance.sample(frontier, 500):
        steps = [(step.name, step.attempt, step.state.value) for step in lab.status.steps[-6:]]
        assert _leads_out(lab), f"no way out of {lab.status.phase}: {steps}"
    assert any(tuple(lab.applied) == HISTORY for lab in frontier)
    assert {lab.status.phase for lab in frontier} == set(Phase)
    assert any(step.state is StepState.LOST for lab in frontier for step in lab.status.steps)
