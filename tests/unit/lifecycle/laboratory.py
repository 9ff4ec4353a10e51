"""A world in memory for the lifecycle's tests: one resource, its steps, its database's heads, and every way to disturb it.

It is a World like the others, but every effect can be lost half-way. It must not know how decide() comes to its answers.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from dbmigration.api.database_restore import RestoreStatus
from dbmigration.api.spec import MigrationSpec
from dbmigration.api.status import Status
from dbmigration.lifecycle.decide import decide
from dbmigration.lifecycle.decision import (
    Action,
    AddFinalizer,
    Decision,
    Emit,
    ForgetRuns,
    RemoveFinalizer,
    Scale,
    StartStep,
    StopStep,
    TellOrder,
)
from dbmigration.lifecycle.observed import (
    Absent,
    Ended,
    Gone,
    Observed,
    OrderView,
    Places,
    Running,
    StepRef,
    StepView,
    Stopping,
    WorkloadRef,
    WorkloadView,
)
from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.contract.result import (
    BackupReport,
    CarriedOut,
    CompareReport,
    DatabaseFacts,
    FindReport,
    MigrateReport,
    Outcome,
    PlannedRevision,
    PlanReport,
    RestoreReport,
    Result,
    StorageReport,
    StoredBackup,
)
from dbmigration_runner.contract.task import CHANGING, StepKind, Task

HISTORY = ("a1", "b2", "c3")
FACTS = DatabaseFacts("postgresql:1/2", "postgresql", "PostgreSQL", "18.0")
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def manifest(**changes: Any) -> dict[str, Any]:
    """The smallest whole spec, with top-level changes."""
    return {
        "database": {"urlFrom": {"secretKeyRef": {"name": "shop-db", "key": "url"}}},
        "migrations": {"source": {"image": {"reference": "shop:1.0"}}},
        "backup": {"storage": {"persistentVolumeClaim": {"claimName": "backups"}}},
        **changes,
    }


@dataclass
class Laboratory:
    """The whole surroundings. `heads` is the database; `applied` counts how often each revision's effect was made.

    `left` is what downgrades leave behind of the schema; `knows` is how many revisions an image has, all where it is not named.
    """

    spec: dict[str, Any] = field(default_factory=manifest)
    generation: int = 1
    status: Status = field(default_factory=Status)
    now: datetime = NOON
    heads: tuple[str, ...] = ()
    applied: list[str] = field(default_factory=list)
    left: str = ""
    knows: dict[str, int] = field(default_factory=dict)
    steps: dict[StepRef, StepView] = field(default_factory=dict)
    tasks: dict[StepRef, Task] = field(default_factory=dict)
    started: list[StepRef] = field(default_factory=list)
    deleting: bool = False
    finalizer: bool = False
    retry: str = ""
    cancel: str = ""
    turn_held_by: str | None = None
    has_room: bool = True
    workloads: dict[WorkloadRef, WorkloadView] = field(default_factory=dict)
    orders: dict[str, OrderView] = field(default_factory=dict)  # by uid
    swapped: list[str] = field(default_factory=list)  # orders, and runs, whose backup took the database's place
    said: list[TellOrder] = field(default_factory=list)
    stored: dict[str, tuple[str, ...]] = field(
        default_factory=dict
    )  # what lies on the storage: backups and their heads
    records: dict[str, CarriedOut] = field(default_factory=dict)  # and the orders that were carried out, by name
    events: list[Emit] = field(default_factory=list)
    writes: int = 0

    def observe(self) -> Observed:
        return Observed(
            now=self.now,
            namespace="shop",
            name="shop",
            uid="6f1e",
            generation=self.generation,
            spec=MigrationSpec.parse(self.spec),
            # As it comes back from a server: what does not survive the round trip is not there.
            status=Status.parse(self.status.document()),
            places=Places(
                "/etc/dbmigration/url/url", "/app", "/backups/shop", admin_url_file="/etc/dbmigration/url/admin-url"
            ),
            steps=dict(self.steps),
            deleting=self.deleting,
            has_finalizer=self.finalizer,
            retry=self.retry,
            cancel=self.cancel,
            turn_held_by=self.turn_held_by,
            has_room=self.has_room,
            kept_runs=frozenset(ref.run for ref in self.steps),
            workloads=dict(self.workloads),
            orders=self.open_orders(),
        )

    def order(self, backup: str, *, name: str = "back", accept: bool = True, uid: str = "") -> str:
        """Somebody creates a DatabaseRestore; its uid."""
        uid = uid or f"{name}-{len(self.said)}-{len(self.orders)}"
        self.orders[uid] = OrderView(name, uid, 1, backup, accept, RestoreStatus())
        return uid

    def open_orders(self) -> tuple[OrderView, ...]:
        """As a server gives them back."""
        views = (
            replace(view, status=RestoreStatus.parse(view.status.document()))
            for view in self.orders.values()
            if not view.status.has_ended
        )
        return tuple(views)

    def turn(self) -> Decision:
        """Observe, decide, apply, once."""
        decision = decide(self.observe())
        self.write(decision.status)
        for action in decision.actions:
            self.act(action)
        return decision

    def settle(self, limit: int = 60) -> Decision:
        """Turn until nothing changes any more."""
        for _ in range(limit):
            before = (self.status, dict(self.steps), self.finalizer)
            decision = self.turn()
            if (self.status, self.steps, self.finalizer) == before:
                return decision
        raise AssertionError(f"no rest after {limit} turns: {self.status.phase}")

    def play(self, turns: int = 14) -> None:
        """Steps answer, time goes on and Pods follow, so many turns long: enough for a run to come to its end."""
        for _ in range(turns):
            if self.running is not None:
                self.answer()
            self.now += timedelta(seconds=2)
            self.turn()
            self.pods_follow()

    def write(self, status: Status) -> None:
        if status != self.status:
            self.status = status
            self.writes += 1

    def act(self, action: Action) -> None:
        match action:
            case StartStep(ref, task):
                if ref not in self.steps:
                    self.steps[ref] = Running()
                    self.tasks[ref] = task
                    self.started.append(ref)
            case StopStep(ref):
                if isinstance(self.steps.get(ref), Running):
                    self.steps[ref] = Stopping()
                elif not isinstance(self.steps.get(ref), Stopping):
                    self.steps.pop(ref, None)
            case ForgetRuns(up_to):
                self.steps = {ref: view for ref, view in self.steps.items() if ref.run > up_to}
            case Scale(workload, replicas):
                view = self.workloads[workload]
                self.workloads[workload] = replace(view, replicas=replicas, ready=min(view.ready, replicas))
            case Emit():
                self.events.append(action)
            case AddFinalizer() | RemoveFinalizer():
                self.finalizer = isinstance(action, AddFinalizer)
            case TellOrder(_, uid, status):
                self.said.append(action)
                self.orders |= {uid: replace(self.orders[uid], status=status)} if uid in self.orders else {}

    def pods_follow(self) -> None:
        """The cluster does what was asked of it: Pods end, or start and become ready."""
        for ref, view in self.workloads.items():
            self.workloads[ref] = replace(view, pods=view.replicas, ready=view.replicas)

    # What steps do.

    @property
    def running(self) -> StepRef | None:
        return next((ref for ref, view in self.steps.items() if isinstance(view, Running)), None)

    def target(self, task: Task) -> tuple[str, ...]:
        """The history up to the task's target; a task keeps its target whatever becomes of the spec."""
        assert task.migrations is not None
        wanted = task.migrations.target
        if task.undo:
            assert task.expected is not None
            return HISTORY[: HISTORY.index(task.expected.start[0]) + 1] if task.expected.start else ()
        if wanted == "base":
            return ()
        known = HISTORY[: self.knows.get(task.migrations.image, len(HISTORY))]
        return HISTORY[: HISTORY.index(wanted) + 1] if wanted in HISTORY else known

    def position(self) -> int:
        return HISTORY.index(self.heads[0]) + 1 if self.heads else 0

    def answer(self, ref: StepRef | None = None, **changes: Any) -> StepRef:
        """The running step does its work and answers; `changes` are made to its result."""
        ref = ref or self.running
        assert ref is not None, "no step is running"
        self.steps[ref] = Ended(replace(self._result(self.tasks[ref]), **changes), "shop@sha256:1234")
        return ref

    def fail(self, reason: RunnerReason, message: str = "said the step", **changes: Any) -> StepRef:
        """The running step refuses and has changed nothing."""
        ref = self.running
        assert ref is not None, "no step is running"
        task = self.tasks[ref]
        result = Result(task.kind, task.nonce, Outcome.FAILED, reason.value, message, changed=False, heads=self.heads)
        self.steps[ref] = Ended(replace(result, **changes))
        return ref

    def lose(self, *, after: int = 0) -> StepRef:
        """The running step is killed; a migration had come `after` revisions far."""
        ref = self.running
        assert ref is not None, "no step is running"
        if ref.kind in CHANGING:
            self.apply(self.tasks[ref], after)
        self.steps[ref] = Gone("OOMKilled (137)")
        return ref

    def vanish(self) -> None:
        """Somebody deleted the step with all its traces."""
        self.steps = {ref: view for ref, view in self.steps.items() if not isinstance(view, Running | Stopping)}

    def wait(self, decision: Decision) -> None:
        """Let the time pass until the decision wants to look again."""
        assert decision.wake_at is not None, "nothing to wait for"
        self.now = max(self.now, decision.wake_at) + timedelta(seconds=1)

    def apply(self, task: Task, count: int) -> tuple[str, ...]:
        """The database moves on, by at most so many revisions of the task; a backup that was ordered takes its place as a whole."""
        if task.restore is not None:
            if count and restorer(task) not in self.swapped:
                self.swapped.append(restorer(task))
                self.heads, self.left = self.stored[task.restore.backup], ""
                self.applied = list(HISTORY[: self.position()])
            return ()
        target = self.target(task)
        if task.kind is not StepKind.MIGRATE:
            done = tuple(reversed(HISTORY[len(target) : self.position()]))[:count]
            self.applied = [revision for revision in self.applied if revision not in done]
            if done:
                self.heads = HISTORY[: HISTORY.index(done[-1])][-1:]
            return done
        done = target[self.position() :][:count]
        self.applied.extend(done)
        if done:
            self.heads = (done[-1],)
        return done

    @property
    def catalog(self) -> str:
        return "1:" + "".join(self.heads) + self.left

    def storage(self, known: tuple[str, ...]) -> StorageReport:
        """What lies there; all of it is older than what is made from now on."""
        moment = NOON.isoformat()
        others = ((name, heads) for name, heads in self.stored.items() if name not in known)
        found = tuple(
            StoredBackup(name, "/backups", 10, "f" * 64, heads, moment, moment, True) for name, heads in others
        )
        return StorageReport(found, gone=tuple(sorted({*known} - {*self.stored})))

    def _result(self, task: Task) -> Result:
        plain = Result(
            task.kind,
            task.nonce,
            Outcome.SUCCEEDED,
            database=FACTS,
            heads=self.heads,
            catalog=self.catalog,
        )
        match task.kind:
            case StepKind.PLAN:
                assert task.migrations is not None
                target = self.target(task)
                if self.position() > self.knows.get(task.migrations.image, len(HISTORY)):
                    unknown = RunnerReason.UNKNOWN_REVISION.value
                    return replace(plain, outcome=Outcome.FAILED, reason=unknown, target=target[-1:])
                down = self.position() > len(target)
                if down and not task.policy.downgrade:
                    return replace(plain, outcome=Outcome.FAILED, reason=RunnerReason.DOWNGRADE_NOT_ALLOWED.value)
                pending = HISTORY[len(target) : self.position()][::-1] if down else target[self.position() :]
                told = PlanReport(
                    hash=f"{self.heads}>{target[-1:]}",
                    start=self.heads,
                    target=target[-1:],
                    count=len(pending),
                    revisions=tuple(PlannedRevision(item, f"does {item}") for item in pending),
                    downgrade=down,
                )
                return replace(plain, plan=told)
            case StepKind.BACKUP:
                assert task.backup is not None
                moment = self.now.isoformat()
                made = BackupReport(
                    task.backup.name,
                    task.backup.directory,
                    10,
                    "f" * 64,
                    self.heads,
                    moment,
                    moment,
                    True,
                    catalog=plain.catalog or "",
                    schema_note=task.backup.schema_note,
                    dropped=task.backup.drop_replaced,
                    clone="dbmigration_clone_1" if task.backup.clone else "",
                )
                self.stored[made.name] = made.revisions
                return replace(plain, backup=made, storage=self.storage((*task.backup.known, made.name)))
            case StepKind.FIND:
                assert task.find is not None
                before = self.records.get(task.find.order)
                plain = replace(plain, storage=self.storage(task.find.known))
                if before is None and task.find.backup not in self.stored:
                    return replace(plain, outcome=Outcome.FAILED, reason=RunnerReason.BACKUP_NOT_FOUND.value)
                moment, heads = self.now.isoformat(), self.stored.get(task.find.backup, ())
                found = StoredBackup(task.find.backup, "/backups", 10, "f" * 64, heads, moment, moment, True)
                return replace(plain, find=FindReport(found, before=before, written="An estimate: 3 rows."))
            case StepKind.MIGRATE | StepKind.DOWNGRADE:
                done = self.apply(task, len(HISTORY))
                read = {"heads": self.heads, "catalog": self.catalog}
                return replace(plain, changed=bool(done), migrate=MigrateReport(applied=done), **read)
            case StepKind.RESTORE:
                assert task.restore is not None
                self.apply(task, len(HISTORY))
                return self._restored(task, plain)
            case StepKind.COMPARE:
                assert task.compare is not None
                found = (f"+table {self.left}",) if self.left else ()
                return replace(plain, compare=CompareReport(task.compare.backup, len(found), found))
            case StepKind.LOOK:
                took_place = task.restore is not None and restorer(task) in self.swapped
                return self._restored(task, plain) if took_place else plain

    def _restored(self, task: Task, plain: Result) -> Result:
        assert task.restore is not None
        told = RestoreReport(
            task.restore.backup, swapped=True, kept_as=task.restore.keep_as, compared=not task.restore.nothing_written
        )
        if (by := task.restore.by) is not None:
            at = self.now.isoformat()
            self.records[by.name] = CarriedOut(task.restore.backup, at, by.identity, by.target, told)
        return replace(plain, changed=True, heads=self.heads, catalog=self.catalog, restore=told)


def restorer(task: Task) -> str:
    """Whose restore it is: a person's order, once whoever carries it out, or the run."""
    by = task.restore.by if task.restore is not None else None
    return by.name if by is not None else f"run {task.run.number}"


def absent(lab: Laboratory, kind: StepKind) -> bool:
    return not any(ref.kind is kind and not isinstance(view, Absent) for ref, view in lab.steps.items())
