"""The round that hears what the watches missed: everything is listed, compared with the cache, and looked at.

Deletions are missed across a watch that begins anew, and a watch may go deaf without a word. What a list shows and no watch
tells within two minutes is the proof of the latter, and ends the process: the next one listens anew. It must not decide.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from dbmigration.cluster.errors import ClusterError
from dbmigration.cluster.gateway import Kind, Listing
from dbmigration.cluster.objects import Document, Key
from dbmigration.controller.cache import Cache

logger = logging.getLogger(__name__)


class WatchesAreDeafError(Exception):
    """Something happened that no watch told."""


@dataclass(frozen=True, slots=True)
class Rhythm:
    """Seconds."""

    between: float = 600.0
    jitter: float = 0.1
    after_failure: float = 15.0
    until_heard: float = 120.0  # kopf gives a stream up that was silent for 70 s


@dataclass(slots=True)
class Resync:
    """The rounds, over the watched namespaces (None is all of them)."""

    cache: Cache
    list_all: Callable[[Kind, str | None], Awaitable[Listing]]
    remove_orphans: Callable[[Iterable[Document]], Awaitable[None]]
    enqueue: Callable[[Key], None]
    forget_all_but: Callable[[frozenset[str]], None]
    namespaces: tuple[str | None, ...]
    rhythm: Rhythm = Rhythm()
    last_round: float = float("-inf")

    @property
    def is_filled(self) -> bool:
        """Is everything known that was there at the start?"""
        return self.last_round > float("-inf")

    async def run(self) -> None:
        """Round after round, until cancelled; the first one is `fill`. Raises WatchesAreDeafError."""
        pause = self.rhythm.between
        while True:
            await asyncio.sleep(pause * (1 + self.rhythm.jitter * random.uniform(-1, 1)))  # noqa: S311  # spreads load
            try:
                await self._round()
                pause = self.rhythm.between
            except ClusterError as error:
                logger.warning("The cluster could not be listed: %s", error)
                pause = self.rhythm.after_failure

    async def fill(self) -> None:
        """List everything once, however long it takes: nobody may act on half of what is there."""
        while True:
            try:
                for kind in Kind:
                    await self._list(kind)
            except ClusterError as error:
                logger.warning("The cluster could not be listed: %s", error)
                await asyncio.sleep(self.rhythm.after_failure / 5)
            else:
                self._finish()
                return

    async def _round(self) -> None:
        unheard = {kind: await self._list(kind) for kind in Kind}
        self._finish()
        await self.remove_orphans(self.cache.jobs())
        if any(unheard.values()):
            await asyncio.sleep(self.rhythm.until_heard)
            missed = {kind.plural: self.cache.still_unheard(kind, shown) for kind, shown in unheard.items()}
            if any(missed.values()):
                told = ", ".join(f"{len(uids)} {plural}" for plural, uids in missed.items() if uids)
                raise WatchesAreDeafError(f"{told} were listed that no watch tells")

    async def _list(self, kind: Kind) -> dict[str, int]:
        """List a kind, put the cache right, and return what no watch has told."""
        unheard: dict[str, int] = {}
        for namespace in self.namespaces:
            listing = await self.list_all(kind, namespace)
            unheard |= self.cache.unheard(listing)
            self.cache.reconcile(kind, listing, namespace)
        return unheard

    def _finish(self) -> None:
        self.last_round = time.monotonic()
        self.forget_all_but(self.cache.uids())
        for resource in tuple(self.cache.resources()):
            self.enqueue(resource.key)
        for order in tuple(self.cache.orders()):
            self.enqueue(order.migration)  # which may not be there
