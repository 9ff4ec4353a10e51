"""Which of several operators acts: the holder of a Lease.

Own loop, for the client's bundled one keeps its task running after a broken connection, and sends arguments that its own
models refuse. Times are measured on the local monotonic clock only: another machine's clock counts for nothing, its changes
do. Who loses the Lease never takes it up again; its process ends. A Lease is no fence: what keeps a database safe are the
deterministic names of Jobs and the lock in the database.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from dbmigration.cluster.calls import Document, ask, path_to
from dbmigration.cluster.errors import AlreadyExists, ClusterError, Conflict, LeadershipLost, NotFound

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Terms:
    """Seconds. Others wait `duration` after the last renewal they saw; the holder gives up `deadline` after its own last one."""

    duration: float = 15.0
    deadline: float = 10.0
    retry: float = 2.0


class LeaseStore(Protocol):
    """Where the Lease is kept."""

    async def read(self) -> Document:
        """The Lease; raises NotFound."""

    async def create(self, spec: Document) -> Document:
        """Make it; raises AlreadyExists."""

    async def replace(self, lease: Document) -> Document:
        """Write exactly this version of it; raises Conflict."""


class Leases:
    """One Lease in a cluster."""

    def __init__(self, api: Any, namespace: str, name: str, *, timeout_seconds: float = 5.0) -> None:
        self._api = api
        self._name = name
        self._all = path_to("coordination.k8s.io", "v1", namespace, "leases")
        self._one = path_to("coordination.k8s.io", "v1", namespace, "leases", name)
        self._timeout = timeout_seconds

    async def read(self) -> Document:
        """The Lease; raises NotFound."""
        return await ask(self._api, "get leases", "GET", self._one, timeout_seconds=self._timeout)

    async def create(self, spec: Document) -> Document:
        """Make it; raises AlreadyExists."""
        body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": self._name}, "spec": spec}
        return await ask(self._api, "create leases", "POST", self._all, body=body, timeout_seconds=self._timeout)

    async def replace(self, lease: Document) -> Document:
        """Write exactly this version of it; raises Conflict."""
        return await ask(self._api, "update leases", "PUT", self._one, body=lease, timeout_seconds=self._timeout)


class Leadership:
    """This process' hold on the Lease."""

    def __init__(
        self, store: LeaseStore, identity: str, terms: Terms | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._identity = identity
        self._terms = terms or Terms()
        self._clock = clock
        self._held: Document | None = None
        self.has_answer = False  # did the API server ever tell who holds it?
        self._renewed_at = float("-inf")
        self._seen: tuple[str, float] = (
            "",
            float("-inf"),
        )  # another's version of the Lease, and when it was first seen

    @property
    def is_held(self) -> bool:
        """May this process act at this moment?"""
        return self._held is not None and self._clock() < self._renewed_at + self._terms.deadline

    def check(self) -> None:
        """Raise LeadershipLost where this process may not write."""
        if not self.is_held:
            raise LeadershipLost("this process does not hold the Lease")

    async def acquire(self) -> None:
        """Wait for the Lease; returns when it is held."""
        told = ""
        while not self.is_held:
            words = "Another process holds the Lease; standing by."
            try:
                await self._try_to_acquire()
                self.has_answer = True
            except ClusterError as error:
                words = f"The Lease could not be had: {error}"
            if not self.is_held:
                if words != told:
                    logger.warning(words)
                    told = words
                await asyncio.sleep(self._terms.retry)
        logger.info("This process holds the Lease and acts.")

    async def keep(self) -> None:
        """Renew until it cannot be renewed; returns when the Lease is lost."""
        while True:
            await asyncio.sleep(self._terms.retry)
            remaining = self._renewed_at + self._terms.deadline - self._clock()
            if remaining <= 0:
                break
            try:
                async with asyncio.timeout(remaining):
                    await self._renew()
            except LeadershipLost:
                break
            except (ClusterError, TimeoutError) as error:
                logger.warning("The Lease could not be renewed: %s", str(error) or type(error).__name__)
        self._held = None
        logger.error("The Lease is lost; this process ends.")

    async def release(self) -> None:
        """Let the next one in at once. That it fails costs the next one some seconds."""
        held, self._held = self._held, None
        if held is None:
            return
        spec = held["spec"] | {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": _now()}
        try:
            await self._store.replace(held | {"spec": spec})
        except ClusterError as error:
            logger.warning("The Lease could not be released: %s", error)

    async def _try_to_acquire(self) -> None:
        begun = self._clock()
        try:
            lease = await self._store.read()
        except NotFound:
            try:
                self._hold(await self._store.create(self._spec(transitions=0)), begun)
            except AlreadyExists:
                return
            return
        spec = lease.get("spec") or {}
        if spec.get("holderIdentity") not in {"", None, self._identity} and not self._has_expired(lease, spec):
            return
        transitions = int(spec.get("leaseTransitions") or 0) + (spec.get("holderIdentity") != self._identity)
        begun = self._clock()
        try:
            self._hold(await self._store.replace(lease | {"spec": self._spec(transitions)}), begun)
        except Conflict:
            return

    def _has_expired(self, lease: Document, spec: Document) -> bool:
        """Has it not changed for its whole duration, by our own clock?"""
        version = lease["metadata"]["resourceVersion"]
        if version != self._seen[0]:
            self._seen = (version, self._clock())
        return self._clock() >= self._seen[1] + float(spec.get("leaseDurationSeconds") or self._terms.duration)

    async def _renew(self) -> None:
        """Raises LeadershipLost where another has it."""
        held = self._held
        if held is None:
            return
        try:
            await self._replace(held)
        except Conflict:
            # Another took it, or a renewal of ours was done whose answer was lost. The latter is no hold from now on, for
            # others count from when it was done: it only tells on top of which version the next one is.
            lease = await self._store.read()
            if (lease.get("spec") or {}).get("holderIdentity") != self._identity:
                raise LeadershipLost("another process holds the Lease") from None
            await self._replace(lease)

    async def _replace(self, lease: Document) -> None:
        begun = self._clock()
        self._hold(await self._store.replace(lease | {"spec": lease["spec"] | {"renewTime": _now()}}), begun)

    def _hold(self, lease: Document, begun: float) -> None:
        """Held from when the request began: the server may have taken it at once."""
        self._held, self._renewed_at = lease, begun

    def _spec(self, transitions: int) -> Document:
        now = _now()
        return {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": round(self._terms.duration),
            "acquireTime": now,
            "renewTime": now,
            "leaseTransitions": transitions,
        }


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
