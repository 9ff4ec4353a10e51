"""Who may work now: one run at a time on one database, and not too many runs at once.

What is written in statuses decides; claims in this process bridge the moment between deciding and having written, in which
two workers could both find a place free. It must not know why somebody waits.
"""

from __future__ import annotations

from collections.abc import Iterable

from dbmigration.api.status import ConditionStatus, Procedure, Run, Status
from dbmigration.cluster.errors import Conflict
from dbmigration.cluster.objects import Key
from dbmigration.cluster.resource import Resource


class Admission:
    """The claims of this process' workers. `resources` are those with an open run, which alone can have anything."""

    def __init__(self, max_runs: int) -> None:
        self._max_runs = max_runs
        self._turns: dict[str, Key] = {}
        self._rooms: set[Key] = set()

    def turn_held_by(self, fingerprint: str, key: Key, resources: Iterable[Resource]) -> str | None:
        """Another resource that works on this database, as namespace/name."""
        if not fingerprint:
            return None
        holder = self._turns.get(fingerprint)
        if holder is None or holder == key:
            holder = next(
                (other.key for other in resources if other.key != key and _holds(other.status, fingerprint)), None
            )
        return "/".join(holder) if holder is not None else None

    def has_room(self, key: Key, resources: Iterable[Resource]) -> bool:
        """May this resource's run be at work beside those that are?"""
        at_work = {other.key for other in resources if other.key != key and is_at_work(other.status)}
        return len(at_work | (self._rooms - {key})) < self._max_runs

    def claim(self, key: Key, before: Status, after: Status, resources: Iterable[Resource]) -> None:
        """Take, for the time of a write, what the next status says this resource has; raises Conflict where another was faster."""
        known = tuple(resources)
        held = turn_of(after)
        if held and held != turn_of(before):
            if self.turn_held_by(held, key, known) is not None:
                raise Conflict("another worker has just given this database's turn away")
            self._turns[held] = key
        if is_at_work(after) and not is_at_work(before):
            # A person's order is for the hour at which nobody waits for a rollout to end.
            is_ordered = (run := open_run(after)) is not None and run.order is not None
            if open_run(before) is None and not is_ordered and not self.has_room(key, known):
                raise Conflict("another worker has just begun the last run that there was room for")
            self._rooms.add(key)

    def settle(self, key: Key) -> None:
        """The status is known again, and says itself what the resource has."""
        self._turns = {fingerprint: holder for fingerprint, holder in self._turns.items() if holder != key}
        self._rooms.discard(key)


def open_run(status: Status | None) -> Run | None:
    """The run that has not ended."""
    run = status.run if status else None
    return run if run is not None and run.outcome is None else None


def turn_of(status: Status | None) -> str:
    """The database on which a resource has its turn: from its decision to its end."""
    run = open_run(status)
    if run is None:
        return ""
    decided = bool(run.plan_hash) or (run.order is not None and run.procedure is not Procedure.ORDER)
    return run.fingerprint if decided else ""


def is_at_work(status: Status | None) -> bool:
    """An open run that is waiting for something outside does not count: a broken one must not stop all others."""
    if status is None or open_run(status) is None:
        return False
    ready = next((condition for condition in status.conditions if condition.type == "Ready"), None)
    return ready is not None and ready.status is ConditionStatus.UNKNOWN


def _holds(status: Status | None, fingerprint: str) -> bool:
    return turn_of(status) == fingerprint
