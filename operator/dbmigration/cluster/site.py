"""What all resources' worlds share: the calls, the caches, who may work, and what is remembered between two looks.

What is remembered here saves calls and writes; losing it costs nothing else. It must not decide.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from dbmigration.api.reasons import Reason
from dbmigration.api.status import Status
from dbmigration.cluster.admission import Admission
from dbmigration.cluster.gateway import Gateway, Kind
from dbmigration.cluster.manifests.pod import Tools
from dbmigration.cluster.objects import Document, Key
from dbmigration.cluster.order import Order
from dbmigration.cluster.resource import Resource
from dbmigration.lifecycle.decision import StartStep
from dbmigration.lifecycle.observed import Pace, Waiting

_REMEMBERED = 8
_CHANGING = re.compile(r"[0-9a-f]*\d[0-9a-f]*")


class Store(Protocol):
    """The caches: what the watches, the lists and our own calls brought, newest first to count."""

    def resource(self, key: Key) -> Resource | None:
        """A resource as last seen."""

    def resources(self) -> Iterable[Resource]:
        """All of them."""

    def open_runs(self) -> Iterable[Resource]:
        """Those whose run has not ended."""

    def order(self, key: Key) -> Order | None:
        """A DatabaseRestore as last seen."""

    def orders_for(self, key: Key) -> Sequence[Order]:
        """DatabaseRestores that name this resource, oldest first."""

    def job(self, key: Key) -> Document | None:
        """A Job as last seen."""

    def jobs_for(self, key: Key) -> Sequence[Document]:
        """Jobs that were made for a resource of that name, whatever its uid."""

    def pods_for(self, key: Key) -> Sequence[Document]:
        """Pods that were made for a resource of that name."""

    def remains_for(self, key: Key) -> Sequence[Document]:
        """Pods that were deleted not long ago, as last seen."""

    def put(self, kind: Kind, document: Document) -> None:
        """Something was read or written by a call of ours."""

    def drop(self, kind: Kind, key: Key) -> None:
        """A call of ours found that it is not there."""


@dataclass(slots=True)
class RefusedOrder:
    """A step whose Job the API server does not take; it is tried again as it was ordered."""

    order: StartStep
    message: str
    due: float  # on the monotonic clock
    tries: int = 1


@dataclass(slots=True)
class Memory:
    """What is remembered of one resource between two looks: of its last few Pods, however many there were."""

    refused: dict[Key, RefusedOrder] = field(default_factory=dict)
    read_at: dict[str, float] = field(default_factory=dict)  # what was read, and when, on the monotonic clock
    progress: dict[str, str] = field(default_factory=dict)  # by Pod
    events: dict[str, Sequence[Document]] = field(default_factory=dict)  # by uid
    hindrance: Waiting | None = None

    def may_read(self, what: str, every_seconds: float) -> bool:
        """Is it time to read this again? Asking takes the time."""
        now = time.monotonic()
        if now - self.read_at.get(what, -every_seconds) < every_seconds:
            return False
        self.read_at[what] = now
        for known in (self.read_at, self.progress, self.events):
            _forget_oldest(known)
        return True

    def steady(self, hindrance: Waiting) -> Waiting:
        """The same hindrance in the same words: counts, ports and times that change in a message are no news."""
        before = self.hindrance
        if (
            before is not None
            and before.reason is hindrance.reason
            and _shape(before.message) == _shape(hindrance.message)
        ):
            return before
        self.hindrance = hindrance
        return hindrance


def _waits(resource: Resource) -> bool:
    conditions = resource.status.conditions if resource.status is not None else ()
    return any(
        condition.type == "Ready" and condition.reason == Reason.WAITING_FOR_TURN.value for condition in conditions
    )


def _forget_oldest(known: dict[str, Any]) -> None:
    for name in tuple(known)[:-_REMEMBERED]:
        del known[name]


def _shape(message: str) -> str:
    return _CHANGING.sub("#", message)


@dataclass(slots=True)
class Site:
    """One operator's cluster."""

    gateway: Gateway
    store: Store
    admission: Admission
    tools: Tools
    pace: Pace
    changed: Callable[[Key, Status, Status], None] = lambda _key, _before, _after: None
    memories: dict[str, Memory] = field(default_factory=dict)  # by uid
    unsettled: set[Key] = field(default_factory=set)  # to be read again before anything else is done about them

    def memory(self, uid: str) -> Memory:
        """What is remembered of a resource."""
        return self.memories.setdefault(uid, Memory())

    def forget_all_but(self, uids: frozenset[str]) -> None:
        """The others are no more."""
        self.memories = {uid: memory for uid, memory in self.memories.items() if uid in uids}

    def waiting(self) -> tuple[Key, ...]:
        """Resources that wait for their turn, or for room."""
        return tuple(resource.key for resource in self.store.resources() if _waits(resource))

    def now(self) -> datetime:
        """Aware, UTC, whole seconds: what is written must read back equal."""
        return datetime.now(UTC).replace(microsecond=0)
