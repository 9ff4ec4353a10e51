"""The operator's own registry: counters that are told, gauges that are read from the caches when somebody asks.

Names follow Prometheus' rules: base units, `_total` for counters. It must not keep anything of a resource: one that is gone is
gone from the next answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client import (
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from dbmigration.api.reasons import Reason
from dbmigration.api.status import ConditionStatus, HistoryEntry, Procedure, Run, Status, Step, StepState

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_STEP_BUCKETS = (1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, float("inf"))
_RESOURCE = ("namespace", "name")

Statuses = Callable[[], Iterable[tuple[str, str, Status]]]


class Metrics:
    """All of them; `statuses` gives namespace, name and status of every resource, the others one number each."""

    def __init__(self, *, statuses: Statuses, queue_depth: Callable[[], int], is_leader: Callable[[], bool]) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a time of creation for each of them, which nobody asks for
        self._registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self._registry)
        self._registry.register(_Gauges(statuses, queue_depth, is_leader))
        self._runs = Counter(
            "dbmigration_runs",
            "Runs that ended; `procedure` is Order for a DatabaseRestore's, else what the run ended in.",
            ("outcome", "reason", "procedure"),
            registry=self._registry,
        )
        self._steps = Histogram(
            "dbmigration_step_duration_seconds",
            "From a step's start to its end, its Pod's start-up included.",
            ("step", "state"),
            buckets=_STEP_BUCKETS,
            registry=self._registry,
        )
        self._lock_waits = Counter(
            "dbmigration_lock_waits",
            "Statements that got no lock in time and were tried again.",
            registry=self._registry,
        )
        self._writes = Counter(
            "dbmigration_api_writes",
            "Writes to the API server.",
            ("verb", "resource", "outcome"),
            registry=self._registry,
        )

    def wrote(self, verb: str, resource: str, outcome: str) -> None:
        """A write to the API server was answered."""
        self._writes.labels(verb, resource, outcome).inc()

    def status_changed(self, before: Status, after: Status) -> None:
        """A status was written; what ended between the two is counted."""
        known = {(step.name, step.attempt): step for step in before.steps} if _same_run(before.run, after.run) else {}
        for step in after.steps:
            previous = known.get((step.name, step.attempt))
            if previous is not None and previous.state is StepState.STARTED and _took(step) is not None:
                self._steps.labels(step.name, step.state.value).observe(_took(step) or 0)
        for entry in after.history:
            if entry.number > max((known.number for known in before.history), default=0):
                self._runs.labels(entry.outcome.value, _reason(entry.reason), _procedure(entry)).inc()
        if _same_run(before.run, after.run):
            waits = (after.metrics.lock_waits if after.metrics else 0) - (
                before.metrics.lock_waits if before.metrics else 0
            )
            self._lock_waits.inc(max(waits, 0))

    def exposition(self) -> bytes:
        """The text that Prometheus reads."""
        return generate_latest(self._registry)


class _Gauges(Collector):
    """Read at the moment of asking."""

    def __init__(self, statuses: Statuses, queue_depth: Callable[[], int], is_leader: Callable[[], bool]) -> None:
        self._statuses = statuses
        self._queue_depth = queue_depth
        self._is_leader = is_leader

    def describe(self) -> Iterable[Metric]:
        """Nothing is read while registering."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Every gauge, for every resource."""
        info = GaugeMetricFamily(
            "dbmigration_info", "1 for the phase that a resource is in.", labels=(*_RESOURCE, "phase")
        )
        ready = GaugeMetricFamily("dbmigration_ready", "Is the database where the spec wants it?", labels=_RESOURCE)
        stalled = GaugeMetricFamily("dbmigration_stalled", "Must somebody decide?", labels=_RESOURCE)
        pending = GaugeMetricFamily(
            "dbmigration_pending_revisions",
            "Revisions between the database and the target, as last planned.",
            labels=_RESOURCE,
        )
        verified = GaugeMetricFamily(
            "dbmigration_backup_last_verified_timestamp_seconds",
            "When the newest backup was read back whole.",
            labels=_RESOURCE,
        )
        size = GaugeMetricFamily(
            "dbmigration_backup_size_bytes", "Size of the newest verified backup.", labels=_RESOURCE
        )
        for namespace, name, status in self._statuses():
            labels = (namespace, name)
            info.add_metric((*labels, status.phase.value), 1)
            ready.add_metric(labels, _is_true(status, "Ready"))
            stalled.add_metric(labels, _is_true(status, "Stalled"))
            if status.plan is not None:
                pending.add_metric(labels, _pending(status))
            if status.backups:
                verified.add_metric(labels, status.backups[0].verified_at.timestamp())
                size.add_metric(labels, status.backups[0].size_bytes)
        yield from (info, ready, stalled, pending, verified, size)
        queue = GaugeMetricFamily("dbmigration_queue_depth", "Resources that wait for a worker.")
        queue.add_metric((), self._queue_depth())
        leader = GaugeMetricFamily("dbmigration_leader", "Does this process hold the Lease?")
        leader.add_metric((), self._is_leader())
        yield from (queue, leader)


def _pending(status: Status) -> int:
    plan, run = status.plan, status.run
    if plan is None:
        return 0
    applied = len(run.applied_revisions) if run is not None else 0
    return max(plan.count - applied, 0)


def _is_true(status: Status, kind: str) -> bool:
    return any(condition.type == kind and condition.status is ConditionStatus.TRUE for condition in status.conditions)


def _took(step: Step) -> float | None:
    return (step.finished_at - step.started_at).total_seconds() if step.finished_at is not None else None


def _same_run(before: Run | None, after: Run | None) -> bool:
    return before is not None and after is not None and before.number == after.number


def _procedure(entry: HistoryEntry) -> str:
    """What a person ordered is no answer to a failure, although both end in a restore."""
    return (Procedure.ORDER if entry.order else entry.procedure).value


def _reason(word: str) -> str:
    """A closed set, whatever an older or newer operator wrote."""
    return word if word in {reason.value for reason in Reason} else "Other"
