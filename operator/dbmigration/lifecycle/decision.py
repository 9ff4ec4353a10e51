"""What a decision consists of: the next status, actions as data, and when to look again.

It must not hold behaviour; what an action does is the world's business.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from dbmigration.api.database_restore import RestoreStatus
from dbmigration.api.reasons import Reason
from dbmigration.api.status import Status
from dbmigration.lifecycle.observed import StepRef, WorkloadRef
from dbmigration_runner.contract.task import Task


@dataclass(frozen=True, slots=True)
class StartStep:
    """Make this attempt exist; that it exists already is success."""

    ref: StepRef
    task: Task
    deadline: timedelta  # of the program, from its start


@dataclass(frozen=True, slots=True)
class StopStep:
    """Make this attempt not exist; that it does not is success."""

    ref: StepRef


@dataclass(frozen=True, slots=True)
class ForgetRuns:
    """Remove what is left of the runs up to this number."""

    up_to: int


@dataclass(frozen=True, slots=True)
class Emit:
    """Tell everybody, once."""

    reason: Reason
    message: str
    warning: bool = False


@dataclass(frozen=True, slots=True)
class Scale:
    """Give a workload so many replicas; one that is gone needs none."""

    workload: WorkloadRef
    replicas: int


@dataclass(frozen=True, slots=True)
class AddFinalizer:
    """Hold the resource until a step that must not be orphaned has ended."""


@dataclass(frozen=True, slots=True)
class RemoveFinalizer:
    """Let the resource go."""


@dataclass(frozen=True, slots=True)
class TellOrder:
    """Write into a DatabaseRestore's own status what became of it, and tell it where that is news."""

    name: str
    uid: str
    status: RestoreStatus
    news: Emit | None = None


Action = StartStep | StopStep | ForgetRuns | Scale | Emit | AddFinalizer | RemoveFinalizer | TellOrder


@dataclass(frozen=True, slots=True)
class Decision:
    """The status is written first, then the actions are done in order: what is irreversible is known before it is done."""

    status: Status
    actions: tuple[Action, ...] = ()
    wake_at: datetime | None = None
