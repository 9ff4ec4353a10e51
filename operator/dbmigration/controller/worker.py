"""The workers: each takes a key from the queue, tends its resource, and says when to look again.

What goes wrong with one resource delays that resource alone. It must not know what tending is.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from dbmigration.cluster.errors import ClusterError, Conflict, LeadershipLost, NotFound
from dbmigration.cluster.objects import Key
from dbmigration.controller.queue import KeyedQueue, QueueClosed

logger = logging.getLogger(__name__)

Tend = Callable[[Key], Awaitable[datetime | None]]


class Workers:
    """A fixed number of them on one queue."""

    def __init__(self, queue: KeyedQueue[Key], tend: Tend, count: int = 8) -> None:
        self._queue = queue
        self._tend = tend
        self._count = count
        self._told: dict[Key, str] = {}  # what failed, as it was logged
        self.failures = 0

    async def run(self) -> None:
        """Work until the queue is closed; raises an ExceptionGroup with LeadershipLost where the Lease is gone."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._count):
                group.create_task(self._work())

    async def _work(self) -> None:
        while True:
            try:
                key = await self._queue.get()
            except QueueClosed:
                return
            try:
                await self._tend_once(key)
            finally:
                self._queue.done(key)

    async def _tend_once(self, key: Key) -> None:
        try:
            wake_at = await self._tend(key)
        except LeadershipLost:
            raise
        except (Conflict, NotFound):
            # Changed or deleted meanwhile. The next look begins with a fresh one, so at once is not too early; a second conflict in a row waits.
            self._queue.failed(key)
        except ClusterError as error:
            self._failed(key, str(error))
        except Exception as error:  # noqa: BLE001  # the outermost loop: a fault of ours must not stop all other resources
            self._failed(key, f"{type(error).__name__}: {error}", fault=error)
        else:
            self._queue.succeeded(key)
            self._told.pop(key, None)
            if wake_at is not None:
                self._queue.add_at(key, time.monotonic() + (wake_at - datetime.now(UTC)).total_seconds())

    def _failed(self, key: Key, words: str, fault: Exception | None = None) -> None:
        """The same failure is logged once, however often it is tried again."""
        self.failures += 1
        delay = self._queue.failed(key)
        if self._told.get(key) == words:
            return
        self._told[key] = words
        where = f"{key.namespace}/{key.name}"
        if fault is not None:
            logger.error("A fault of the operator itself, at %s; tried again in %.1f s.", where, delay, exc_info=fault)
        else:
            logger.warning("%s: %s; tried again in %.1f s.", where, words, delay)
