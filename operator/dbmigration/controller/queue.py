"""Which resource is looked at next: each at most once in the queue, each at most by one worker.

A key that is added while it is worked on is worked on once more afterwards, so nothing that happens meanwhile is missed. A
failing key waits longer each time, with jitter. It must not know what a key stands for.
"""

from __future__ import annotations

import asyncio
import heapq
import random
import time
from collections import deque
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

_FIRST_DELAY_SECONDS = 0.5
_LONGEST_DELAY_SECONDS = 60.0
_JITTER = 0.2


class QueueClosed(Exception):  # noqa: N818  # an end, not an error
    """Nothing more is given out."""


class KeyedQueue(Generic[K]):
    """For one event loop; not for threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ready: deque[K] = deque()
        self._waiting: set[K] = set()  # in `_ready`
        self._busy: set[K] = set()
        self._dirty: set[K] = set()  # added while busy
        self._timers: list[tuple[float, int, K]] = []  # a heap
        self._due: dict[K, float] = {}  # the one timer of a key that counts
        self._count = 0
        self._failures: dict[K, int] = {}
        self._news = asyncio.Event()
        self._closed = False

    def __len__(self) -> int:
        """How many wait for a worker now."""
        return len(self._ready) + len(self._dirty)

    def add(self, key: K) -> None:
        """Look at it as soon as a worker is free."""
        if key in self._busy:
            self._dirty.add(key)
        elif key not in self._waiting:
            self._waiting.add(key)
            self._ready.append(key)
            self._news.set()

    def add_at(self, key: K, when: float) -> None:
        """Look at it at that time of the clock, unless an earlier time was set; `add` does not move it."""
        if when <= self._clock():
            self.add(key)
        elif when < self._due.get(key, float("inf")):
            self._due[key] = when
            self._count += 1
            heapq.heappush(self._timers, (when, self._count, key))
            self._news.set()

    async def get(self) -> K:
        """The next key; it is the caller's until `done`. Raises QueueClosed."""
        while True:
            if self._closed:
                raise QueueClosed
            self._ring()
            if self._ready:
                key = self._ready.popleft()
                self._waiting.discard(key)
                self._due.pop(key, None)  # whoever looks now sets the next time anew
                self._busy.add(key)
                return key
            self._news.clear()
            try:
                async with asyncio.timeout(self._until_next()):
                    await self._news.wait()
            except TimeoutError:
                continue

    def done(self, key: K) -> None:
        """The caller has finished with it, well or not."""
        self._busy.discard(key)
        if key in self._dirty:
            self._dirty.discard(key)
            self.add(key)
        self._news.set()

    def close(self) -> None:
        """Give nothing more out; what is being worked on is finished by its workers."""
        self._closed = True
        self._news.set()

    def succeeded(self, key: K) -> None:
        """Forget that it ever failed."""
        self._failures.pop(key, None)

    def failed(self, key: K) -> float:
        """It failed once more: look again after a delay, which is returned."""
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        plain = float(min(_FIRST_DELAY_SECONDS * 2 ** min(failures - 1, 16), _LONGEST_DELAY_SECONDS))
        delay: float = plain * (1 + _JITTER * (2 * random.random() - 1))  # noqa: S311  # spreads load, hides nothing
        self.add_at(key, self._clock() + delay)
        return delay

    def _ring(self) -> None:
        """Add every key whose time has come; a timer that was overtaken is dropped here."""
        now = self._clock()
        while self._timers and self._timers[0][0] <= now:
            when, _, key = heapq.heappop(self._timers)
            if self._due.get(key) == when:
                del self._due[key]
                self.add(key)

    def _until_next(self) -> float | None:
        while self._timers and self._due.get(self._timers[0][2]) != self._timers[0][0]:
            heapq.heappop(self._timers)
        return max(self._timers[0][0] - self._clock(), 0) if self._timers else None
