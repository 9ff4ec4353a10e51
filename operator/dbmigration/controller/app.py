"""The operator's process from start to end: health, the Lease, the caches, the workers, and kopf as its ears.

What was begun is finished at a stop; what the Lease no longer covers is not even tried. It must not know what is done about a
resource.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import time
import uuid
from collections.abc import Iterable
from typing import Any

import kopf

from dbmigration import __version__
from dbmigration.api.status import Status
from dbmigration.cluster.admission import Admission
from dbmigration.cluster.client import open_client
from dbmigration.cluster.errors import LeadershipLost
from dbmigration.cluster.gateway import Gateway, Kind
from dbmigration.cluster.lease import Leadership, Leases
from dbmigration.cluster.manifests.pod import Tools
from dbmigration.cluster.objects import Document, Key
from dbmigration.cluster.site import Site
from dbmigration.cluster.tending import remove_orphans, tend
from dbmigration.controller import handlers, health, log, login
from dbmigration.controller.cache import Cache
from dbmigration.controller.queue import KeyedQueue
from dbmigration.controller.resync import Resync, WatchesAreDeafError
from dbmigration.controller.worker import Workers
from dbmigration.metrics.registry import Metrics
from dbmigration.settings import Settings
from dbmigration_runner.contract.counting import counted

logger = logging.getLogger(__name__)

_FINISH_SECONDS = 10.0
_SILENCE_SECONDS = 180.0  # beyond the time of a resync, with no event either
_GATE_SECONDS = 1.0


def run(settings: Settings) -> int:
    """Run until a signal; returns the process' exit code: not 0 where Kubernetes should start it anew."""
    log.configure(settings.log_format)
    return asyncio.run(_run(settings))


async def _run(settings: Settings) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    watched = ", ".join(settings.watch_namespaces) or "all namespaces"
    logger.info("dbmigration-operator %s starts. It watches %s.", __version__, watched)
    async with open_client(settings.kubeconfig) as api:
        operator = Operator(settings, api)
        async with health.serve(
            settings.http_port,
            livez=operator.what_is_dead,
            readyz=operator.what_is_missing,
            metrics=operator.metrics.exposition,
        ):
            return await operator.run(stop)


class Operator:
    """The parts of the process, put together."""

    def __init__(self, settings: Settings, api: Any) -> None:
        self._settings = settings
        self._heard_at = time.monotonic()
        self._queue: KeyedQueue[Key] = KeyedQueue()
        self._cache = Cache(touched=self._queue.add, freed=self._wake_those_who_wait)
        self._leadership = Leadership(
            Leases(api, settings.lease_namespace or settings.pod_namespace, settings.lease_name),
            identity=f"{settings.pod_name}_{uuid.uuid4().hex[:8]}",
        )
        self.metrics = Metrics(
            statuses=self._statuses, queue_depth=lambda: len(self._queue), is_leader=lambda: self._leadership.is_held
        )
        self._gateway = Gateway(
            api, reporter=settings.pod_name, may_write=self._leadership.check, wrote=self.metrics.wrote
        )
        self._site = Site(
            gateway=self._gateway,
            store=self._cache,
            admission=Admission(settings.max_runs),
            tools=Tools(settings.tools_image, settings.tools_image_pull_policy),
            pace=settings.pace,
            changed=lambda _key, before, after: self.metrics.status_changed(before, after),
        )
        self._workers = Workers(self._queue, lambda key: tend(self._site, key))
        self._resync = Resync(
            cache=self._cache,
            list_all=self._gateway.list_all,
            remove_orphans=self._remove_orphans,
            enqueue=self._queue.add,
            forget_all_but=self._site.forget_all_but,
            namespaces=settings.watch_namespaces or (None,),
        )

    async def run(self, stop: asyncio.Event) -> int:
        """Wait for the Lease, act while it is held, and give it back."""
        stopped = asyncio.create_task(stop.wait())
        acquired = asyncio.create_task(self._leadership.acquire())
        try:
            await asyncio.wait({stopped, acquired}, return_when=asyncio.FIRST_COMPLETED)
            if not acquired.done():
                return 0
            await acquired
            return await self._act(stopped)
        finally:
            await _end(stopped, acquired)
            await self._leadership.release()

    async def _act(self, stopped: asyncio.Task[bool]) -> int:
        kept = asyncio.create_task(self._leadership.keep())
        works = asyncio.create_task(self._work())
        try:
            await asyncio.wait({stopped, kept, works}, return_when=asyncio.FIRST_COMPLETED)
            if works.done():
                return self._verdict(works)
            return 1 if kept.done() else 0
        finally:
            await _end(works)
            await _end(kept)

    async def _work(self) -> None:
        """Returns when kopf was told by a signal to stop; raises what makes the process useless."""
        await self._gate()
        await self._resync.fill()
        logger.info("Known: %s; the workers start.", counted(len(tuple(self._cache.resources())), "resource"))
        # kopf cancels at its end whatever was started after it, so all that is ours starts before.
        workers = asyncio.create_task(self._workers.run())
        rounds = asyncio.create_task(self._resync.run())
        ears = asyncio.create_task(self._listen())
        try:
            done, _ = await asyncio.wait({workers, rounds, ears}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                await task
        finally:
            self._queue.close()
            await _end(ears, rounds)
            await asyncio.wait({workers}, timeout=_FINISH_SECONDS if self._leadership.is_held else 0)
            await _end(workers)

    async def _listen(self) -> None:
        registry = kopf.OperatorRegistry()
        handlers.register(registry, self._hear)
        login.register(registry, self._settings.kubeconfig)

        @kopf.on.startup(registry=registry)
        async def gate(**_: Any) -> None:
            await self._gate()

        namespaces = self._settings.watch_namespaces
        await kopf.operator(
            registry=registry,
            settings=handlers.settings(),
            standalone=True,
            clusterwide=not namespaces,
            namespaces=namespaces,
        )

    async def _gate(self) -> None:
        """Wait until all we listen to is served: kopf asks once, and what it does not find then it never hears."""
        told = False
        while not await self._gateway.serves_our_kinds():
            if not told:
                logger.warning(
                    "The API server does not serve Jobs, DatabaseMigrations and DatabaseRestores; waiting for it, or for the CRDs."
                )
                told = True
            await asyncio.sleep(_GATE_SECONDS)

    def _hear(self, kind: Kind, happened: str | None, document: Document) -> None:
        self._heard_at = time.monotonic()
        self._cache.hear(kind, happened, document)

    def _wake_those_who_wait(self) -> None:
        """A run ended: another one may have its turn now."""
        for key in self._site.waiting():
            self._queue.add(key)

    async def _remove_orphans(self, jobs: Iterable[Document]) -> None:
        await remove_orphans(self._site, tuple(jobs))

    def _statuses(self) -> Iterable[tuple[str, str, Status]]:
        for resource in self._cache.resources():
            if resource.status is not None:
                yield (*resource.key, resource.status)

    def what_is_dead(self) -> str | None:
        """A leader that has neither heard nor listed anything for too long."""
        last = max(self._heard_at, self._resync.last_round)
        silence = time.monotonic() - last - self._resync.rhythm.between * (1 + self._resync.rhythm.jitter)
        if self._leadership.is_held and self._resync.is_filled and silence > _SILENCE_SECONDS:
            return "no event and no resync for too long"
        return None

    def what_is_missing(self) -> str | None:
        """A standby is ready to take over, once it can; a leader once it knows what is there."""
        if not self._leadership.has_answer:
            return "the API server has not told yet who holds the Lease"
        if self._leadership.is_held and not self._resync.is_filled:
            return "the caches are not filled yet"
        return None

    @staticmethod
    def _verdict(works: asyncio.Task[None]) -> int:
        fault = works.exception()
        if fault is None:
            return 0
        match fault:
            case ExceptionGroup() if fault.subgroup(LeadershipLost) is not None:
                logger.error("A worker could not write any more: the Lease is lost.")
            case WatchesAreDeafError():
                logger.error("%s; the process ends to listen anew.", fault)
            case _:
                logger.error("The operator cannot go on.", exc_info=fault)
        return 1


async def _end(*tasks: asyncio.Task[Any]) -> None:
    """Cancel what still runs, and wait for it; how it ended was looked at where it matters."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
