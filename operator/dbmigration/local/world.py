"""The lifecycle's world on one machine: a store instead of an API server, child processes instead of Jobs.

The status is on the disk before anything is done. It must not decide.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, assert_never

from dbmigration.api.names import API_VERSION, KIND
from dbmigration.api.spec import MigrationSpec
from dbmigration.api.status import Status, Step, StepState
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
from dbmigration.lifecycle.draining import wanted
from dbmigration.lifecycle.observed import Absent, Observed, OrderView, Pace, Places, StepRef, StepView
from dbmigration.lifecycle.tasks import nonce
from dbmigration.local.steps import Steps
from dbmigration.local.store import Event, Resource, Store
from dbmigration.local.workloads import Workloads
from dbmigration_runner.contract.result import Result
from dbmigration_runner.contract.task import StepKind

# Somebody waits at the terminal: try again sooner than a cluster does.
PACE = Pace(first_retry=timedelta(seconds=2), longest_retry=timedelta(seconds=30), start_grace=timedelta(minutes=1))


class LocalWorld:
    """One resource in one store. Implements `lifecycle.world.World`."""

    def __init__(
        self,
        store: Store,
        steps: Steps,
        places: Places,
        resource: Resource,
        workloads: Workloads,
        *,
        order: OrderView | None = None,
    ) -> None:
        """`resource` is what the store holds with the wishes of this start; it is saved at once. `order`: see ordering.py."""
        self.steps = steps
        self.resource = resource
        self._store = store
        self._places = places
        self._workloads = workloads
        self._orders = () if order is None else (order,)
        store.save(resource)

    async def observe(self) -> Observed:
        """Look at the processes; the rest is known."""
        resource = self.resource
        status = resource.parsed_status
        seen = Observed(
            now=datetime.now(UTC).replace(microsecond=0),
            namespace=resource.namespace,
            name=resource.name,
            uid=resource.uid,
            generation=resource.generation,
            spec=MigrationSpec.parse(resource.spec),
            status=status,
            places=self._places,
            pace=PACE,
            retry=resource.retry,
            cancel=resource.cancel,
            orders=self._orders,
            kept_runs=self.steps.runs(),
            workloads=self._workloads.look(wanted(MigrationSpec.parse(resource.spec), status)),
        )
        started = (step for step in status.steps if step.state is StepState.STARTED)
        views = {_ref(status, step): self._view(_ref(status, step)) for step in started}
        return replace(seen, steps={ref: view for ref, view in views.items() if not isinstance(view, Absent)})

    async def apply(self, seen: Observed, decision: Decision) -> None:
        """Save the status, then act."""
        if decision.status != seen.status:
            self._save(replace(self.resource, status=decision.status.document()))
        for action in decision.actions:
            self._act(action)

    def running(self) -> StepRef | None:
        """The attempt that is at work as far as the status knows."""
        status = self.resource.parsed_status
        return next((_ref(status, step) for step in status.steps if step.state is StepState.STARTED), None)

    def results(self) -> list[Result]:
        """What the steps of the current run answered, oldest first."""
        return results_of(self.resource, self.steps)

    def _view(self, ref: StepRef) -> StepView:
        return self.steps.view(ref, nonce(self.resource.uid, ref), self._places.project)

    def _act(self, action: Action) -> None:
        match action:
            case StartStep(ref, task):
                self.steps.start(ref, task)
            case StopStep(ref):
                if ref == self.running():
                    self.steps.stop(ref)
                else:
                    self.steps.forget(ref)
            case ForgetRuns(up_to):
                self.steps.forget_runs(up_to)
            case Emit(reason, message, warning):
                moment = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
                self._save(self.resource.told(Event(moment, reason.value, message, warning)))
            case Scale(workload, replicas):
                self._workloads.scale(workload, replicas, None if replicas else self._drained_until())
            case AddFinalizer() | RemoveFinalizer() | TellOrder():
                pass  # nobody deletes a resource behind this program's back, and an order has no status of its own here
            case _:
                assert_never(action)

    def _drained_until(self) -> datetime | None:
        """When a drain that has not come to its end is given up."""
        drained = self.resource.parsed_status.drain
        return drained.started_at + PACE.drain_patience if drained is not None else None

    def _save(self, resource: Resource) -> None:
        self._store.save(resource)
        self.resource = resource


def document(resource: Resource) -> dict[str, Any]:
    """A resource as an API server would show it, without its spec."""
    metadata = {
        "namespace": resource.namespace,
        "name": resource.name,
        "uid": resource.uid,
        "generation": resource.generation,
    }
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "status": resource.status}


def results_of(resource: Resource, steps: Steps) -> list[Result]:
    """What the steps of the current run answered, oldest first."""
    status = resource.parsed_status
    refs = (_ref(status, step) for step in status.steps)
    return [result for ref in refs if (result := steps.result(ref, nonce(resource.uid, ref))) is not None]


def _ref(status: Status, step: Step) -> StepRef:
    """The attempt of a step in the current run."""
    return StepRef(status.run.number if status.run else 0, StepKind(step.name), step.attempt)
