"""From a new DatabaseMigration to its first Job: `python -m tests.bench.bench_first_job [RESOURCES]`.

Resources are created at eight a second, from the request's first byte to the moment at which a watch of ours hears of the
Job. The sides take turns, twenty resources each, on one API server; no node takes the Jobs' Pods.
    ours     the operator: the status is written first, then the Job
    floor    a client that watches the kind and creates a Job at once
"""

from __future__ import annotations

import asyncio
import math
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from dbmigration.api import names
from tests.bench import finished, listeners, quiet_cluster
from tests.bench.api_server import ApiServer, connected
from tests.bench.goals import at_most

RESOURCES = 100
IN_A_ROW = 20
WARM_UP = 3
PAUSE_SECONDS = 1 / 8
GOAL_MILLISECONDS = 100


@dataclass
class Side:
    """A namespace in which one of the listeners makes Jobs."""

    name: str
    namespace: str
    sent: dict[str, float] = field(default_factory=dict)
    seen: dict[str, float] = field(default_factory=dict)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def listen(self, api: ApiServer, ready: asyncio.Event) -> None:
        """Note when each resource's first Job is heard of."""
        async for event in api.watch(f"/apis/batch/v1/namespaces/{self.namespace}/jobs"):
            if not event:
                ready.set()
            elif event["type"] == "ADDED":
                self.seen.setdefault(event["object"]["metadata"]["labels"][names.LABEL_MIGRATION], time.perf_counter())
                self.news.set()

    async def create(self, api: ApiServer, count: int) -> None:
        """Resources, one after the other by the clock; returns when each has its Job."""
        path = f"/apis/{names.GROUP}/{names.VERSION}/namespaces/{self.namespace}/{names.PLURAL}"
        begun, known = time.perf_counter(), len(self.sent)
        async with asyncio.TaskGroup() as sending:
            for number in range(count):
                await asyncio.sleep(begun + number * PAUSE_SECONDS - time.perf_counter())
                name = f"shop-{known + number:03}"
                self.sent[name] = time.perf_counter()
                sending.create_task(api.send("POST", path, nowhere(name)))
        async with asyncio.timeout(60):
            while self.seen.keys() < self.sent.keys():
                self.news.clear()
                await self.news.wait()

    def milliseconds(self) -> list[float]:
        """In order; without the first few, which also pay for what is done once."""
        counted = list(self.sent.items())[WARM_UP:]
        return sorted((self.seen[name] - sent) * 1000 for name, sent in counted)


def nowhere(name: str) -> dict[str, object]:
    """A resource whose Pods no node takes."""
    made = finished.resource(name)
    made["spec"]["podTemplate"] = {"nodeSelector": {"bench": "nowhere"}}
    return made


def percentile(ordered: list[float], share: float) -> float:
    """The smallest of them that so many do not exceed."""
    return ordered[max(math.ceil(len(ordered) * share) - 1, 0)]


def main() -> None:
    """Print both sides and the ratio."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else RESOURCES
    with (
        tempfile.TemporaryDirectory() as folder,
        quiet_cluster.namespace("ours") as one,
        quiet_cluster.namespace("floor") as other,
        # As many runs as the operator allows at once would be none of its first Job's business.
        listeners.ours(one, "none", Path(folder), DBMIGRATION_MAX_RUNS="1000"),
        listeners.program("least_operator", other, Path(folder), "floor"),
    ):
        before = quiet_cluster.load()
        sides = asyncio.run(measure(one.cluster.kubeconfig, count, Side("ours", one.name), Side("floor", other.name)))
    print(f"{count} resources a side, eight a second; {before}, then {quiet_cluster.load()}")
    for side in sides:
        taken = side.milliseconds()
        print(
            f"{side.name:8} p50 {statistics.median(taken):6.0f} ms   p99 {percentile(taken, 0.99):6.0f} ms   longest {taken[-1]:6.0f} ms"
        )
    ours, floor = (side.milliseconds() for side in sides)
    p99 = percentile(ours, 0.99)
    print(
        f"    ours / floor  p50 {statistics.median(ours) / statistics.median(floor):5.2f}   p99 {p99 / percentile(floor, 0.99):5.2f}"
        f"   p99 {at_most(GOAL_MILLISECONDS, p99, ' ms')}"
    )


async def measure(kubeconfig: Path, count: int, *sides: Side) -> tuple[Side, ...]:
    async with connected(kubeconfig) as api, heard(api, *sides):
        for side in sides:
            await side.create(api, WARM_UP)
        for begun in range(0, count, IN_A_ROW):
            for side in sides:
                await side.create(api, min(IN_A_ROW, count - begun))
                await asyncio.sleep(1)
    return sides


@asynccontextmanager
async def heard(api: ApiServer, *sides: Side) -> AsyncIterator[None]:
    """With a watch for each side."""
    ready = [asyncio.Event() for _ in sides]
    listening = [asyncio.create_task(side.listen(api, event)) for side, event in zip(sides, ready, strict=True)]
    async with asyncio.timeout(30):
        for event in ready:
            await event.wait()
    try:
        yield
    finally:
        for task in listening:
            task.cancel()
        await asyncio.gather(*listening, return_exceptions=True)


if __name__ == "__main__":
    main()
