"""The operator's ears: what kopf hears of our two kinds, and of our Jobs and Pods, goes into the cache, and nothing else happens.

Only `on.event`, which keeps no state: kopf writes nothing to anybody's object. It must not look at what it hears.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any, cast

import kopf

from dbmigration.api import names
from dbmigration.cluster.gateway import OURS, Kind
from dbmigration.cluster.objects import Document

Hear = Callable[[Kind, str | None, Document], None]


class _Endless:
    """Delays between tries of one request: a schedule that ends would end the process with it."""

    def __iter__(self) -> Iterator[float]:
        return itertools.chain((0.5, 1.0, 2.0, 5.0, 10.0), itertools.repeat(30.0))


class _NothingToCompare(kopf.DiffBaseStorage):
    """Keeps kopf from copying every object three times for handlers of changes, of which we have none."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        """What of an object would be compared."""
        return cast("kopf.BodyEssence", {})

    def fetch(self, **_: Any) -> None:
        """What it was compared with last."""

    def store(self, **_: Any) -> None:
        """Nothing is written to anybody's object."""


def settings() -> kopf.OperatorSettings:
    """How kopf listens."""
    made = kopf.OperatorSettings()
    made.posting.enabled = False
    made.scanning.disabled = True
    made.peering.standalone = True
    made.networking.error_backoffs = _Endless()
    made.networking.request_timeout = 30
    made.networking.connect_timeout = 10
    made.watching.server_timeout = 290
    made.watching.reconnect_backoff = 1.0
    made.watching.chunk_size = 500
    made.watching.label_selectors["batch", "v1", "jobs"] = OURS
    made.watching.label_selectors["", "v1", "pods"] = OURS
    made.queueing.idle_timeout = 1
    made.persistence.diffbase_storage = _NothingToCompare()
    made.process.ultimate_exiting_timeout = 25
    return made


def register(registry: kopf.OperatorRegistry, hear: Hear) -> None:
    """Listen to what there is."""
    ours = {names.LABEL_UID: kopf.PRESENT}

    @kopf.on.event(names.GROUP, names.VERSION, names.PLURAL, registry=registry)
    async def resource(event: Any, **_: Any) -> None:
        hear(Kind.RESOURCES, event["type"], event["object"])

    @kopf.on.event(names.GROUP, names.VERSION, names.RESTORE_PLURAL, registry=registry)
    async def order(event: Any, **_: Any) -> None:
        hear(Kind.ORDERS, event["type"], event["object"])

    @kopf.on.event("batch", "v1", "jobs", labels=ours, registry=registry)
    async def job(event: Any, **_: Any) -> None:
        hear(Kind.JOBS, event["type"], event["object"])

    @kopf.on.event("", "v1", "pods", labels=ours, registry=registry)
    async def pod(event: Any, **_: Any) -> None:
        hear(Kind.PODS, event["type"], event["object"])
