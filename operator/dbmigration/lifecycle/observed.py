"""One snapshot of everything that a decision may depend on, in neutral words.

A step is absent, waiting, running, stopping, ended or gone; what that is made of (a Job, a child process) is the world's
business. It must not hold anything that a decision could change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from dbmigration.api.database_restore import RestoreStatus
from dbmigration.api.reasons import Reason
from dbmigration.api.spec import MigrationSpec
from dbmigration.api.status import Procedure, Run, Status, Step, StepState
from dbmigration.lifecycle.identity import run_identity
from dbmigration_runner.contract.result import Result
from dbmigration_runner.contract.task import StepKind


@dataclass(frozen=True, slots=True)
class Absent:
    """It is certain, by a fresh look, that nothing of this attempt exists."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """It cannot start for a reason that somebody outside can mend."""

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class Running:
    """It is starting or at work; `progress` is short and for humans."""

    progress: str = ""


@dataclass(frozen=True, slots=True)
class Stopping:
    """It was told to stop and is not gone yet."""


@dataclass(frozen=True, slots=True)
class Ended:
    """It answered. `image` is what ran, as exactly as the runtime tells."""

    result: Result
    image: str = ""


@dataclass(frozen=True, slots=True)
class Gone:
    """It ended and did not answer; `words` is what was left of it, redacted and short."""

    words: str
    reason: Reason = Reason.STEP_LOST


StepView = Absent | Waiting | Running | Stopping | Ended | Gone


@dataclass(frozen=True, slots=True)
class StepRef:
    """One attempt of one step of one run."""

    run: int
    kind: StepKind
    attempt: int


@dataclass(frozen=True, slots=True)
class WorkloadRef:
    """Something that can be scaled."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class WorkloadView:
    """How many Pods it should have, has, and has ready; and who said so last, where that was not us."""

    replicas: int
    pods: int = 0
    ready: int = 0
    scaled_by: str = ""
    scaled_at: datetime | None = None  # when they did
    is_unsettled: bool = False  # an attempt to drain it failed: how much of it still runs is not known


@dataclass(frozen=True, slots=True)
class OrderView:
    """A DatabaseRestore that names this resource and has not ended; `status` is its own."""

    name: str
    uid: str
    generation: int
    backup: str
    accept_data_loss: bool
    status: RestoreStatus


@dataclass(frozen=True, slots=True)
class Places:
    """Where a step finds its things; paths as the step sees them."""

    url_file: str
    project: str
    backups: str = ""
    admin_url_file: str | None = None
    tls_directory: str | None = None


@dataclass(frozen=True, slots=True)
class Pace:
    """How patient the operator is."""

    first_retry: timedelta = timedelta(seconds=5)
    longest_retry: timedelta = timedelta(minutes=5)
    start_grace: timedelta = timedelta(minutes=15)  # from a step's creation to its program's start
    backup_age: timedelta = timedelta(hours=24)  # an older one is taken anew before anything is changed
    kept_runs: int = 3
    drain_patience: timedelta = timedelta(minutes=10)  # for Pods to end, scalers to give up, room on disks, a last look
    resume_patience: timedelta = timedelta(minutes=5)  # for Pods to become ready again
    look_at_workloads: timedelta = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class Observed:
    """The snapshot."""

    now: datetime  # aware, UTC, whole seconds: what is written must read back equal
    namespace: str
    name: str
    uid: str
    generation: int
    spec: MigrationSpec
    status: Status
    places: Places
    pace: Pace = Pace()
    steps: Mapping[StepRef, StepView] = field(default_factory=dict)
    deleting: bool = False
    has_finalizer: bool = False
    retry: str = ""  # the annotations' tokens
    cancel: str = ""
    # Another resource that works on this run's database: the recorded one, or what the plan has just answered.
    turn_held_by: str | None = None
    has_room: bool = True  # another run may begin: not too many are at work
    orders: tuple[OrderView, ...] = ()  # oldest first
    kept_runs: frozenset[int] = frozenset()  # runs of which something still exists
    workloads: Mapping[WorkloadRef, WorkloadView] = field(
        default_factory=dict
    )  # those that drain names and that are there

    @property
    def identity(self) -> str:
        """What decides the work that the spec asks for."""
        return run_identity(self.spec)

    @property
    def open_run(self) -> Run | None:
        """The run that has not ended."""
        run = self.status.run
        return run if run is not None and run.outcome is None else None

    @property
    def retry_is_wished(self) -> bool:
        """The retry annotation holds a token that was not acted on."""
        return bool(self.retry) and self.retry != self.status.last_handled_retry

    @property
    def cancel_is_wished(self) -> bool:
        """The cancel annotation holds a token that was not acted on."""
        return bool(self.cancel) and self.cancel != self.status.last_handled_cancel

    @property
    def is_rolling_back(self) -> bool:
        """The open run is on its way back."""
        run = self.open_run
        return run is not None and run.procedure in {Procedure.ROLL_BACK, Procedure.RESTORE}

    @property
    def work(self) -> StepKind:
        """The step by which the open run changes the database now."""
        run, plan = self.open_run, self.status.plan
        if run is not None and run.procedure is Procedure.RESTORE:
            return StepKind.RESTORE
        goes_down = self.is_rolling_back or (plan is not None and plan.downgrade)
        return StepKind.DOWNGRADE if goes_down else StepKind.MIGRATE

    @property
    def goal(self) -> tuple[str, ...]:
        """The heads that this step leads to."""
        run, plan = self.status.run, self.status.plan
        if self.is_rolling_back and run is not None:
            return run.order.revisions if run.order is not None else run.start_revisions
        return plan.target if plan is not None else ()

    @property
    def migration_is_in_flight(self) -> bool:
        """The step that changes the database was started and nobody knows yet how it ended, or it left something behind."""
        step = self.latest(self.work)
        if self.is_rolling_back:
            return True
        if step is None:
            return False
        return step.state in {StepState.STARTED, StepState.LOST} or self.database_has_moved

    @property
    def database_has_moved(self) -> bool:
        """As last read, the database is no longer where this run found it."""
        run, heads = self.status.run, self.status.current_revisions
        return run is not None and bool(run.plan_hash) and heads is not None and set(heads) != set(run.start_revisions)

    def latest(self, kind: StepKind) -> Step | None:
        """The last attempt of a step in the current run."""
        return next((step for step in reversed(self.status.steps) if step.name == kind.value), None)

    def view(self, step: Step) -> StepView:
        """What is seen of an attempt of the current run; one that nobody looked for is absent."""
        run = self.status.run.number if self.status.run else 0
        return self.steps.get(StepRef(run, StepKind(step.name), step.attempt), Absent())
