"""What an operator with nothing to do costs: `python -m tests.bench.bench_idle [RESOURCES [MINUTES]]`.

Both sides listen to the same resources, whose runs are finished, in the same minutes on the same machine.
    ours       the operator, with its Lease, its own lists, and watches of Jobs and Pods
    nothing    a kopf operator with one handler that does nothing, on the same kind
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dbmigration.api import names
from tests.bench import finished, listeners, quiet_cluster
from tests.bench.api_server import ApiServer, connected
from tests.bench.goals import at_most
from tests.bench.listeners import Listener
from tests.cluster.access import Namespace
from tests.cluster.audit import Write

RESOURCES = 1000
MINUTES = 3
SETTLING_SECONDS = 15
GOAL = 2.0
AT_ONCE = 20

Sides = tuple[Listener, Listener]


def main() -> None:
    """Print memory, CPU and writes of both sides, and the ratios."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else RESOURCES
    minutes = int(sys.argv[2]) if len(sys.argv) > 2 else MINUTES
    audit = quiet_cluster.cluster().audit
    with quiet_cluster.namespace("idle") as namespace, tempfile.TemporaryDirectory() as folder:
        with listening(namespace, Path(folder)) as sides:
            empty = [side.memory() for side in sides]
        asyncio.run(fill(namespace, count))
        with listening(namespace, Path(folder)) as sides:
            full = [side.memory() for side in sides]
            begun = [side.cpu_seconds() for side in sides]
            since = audit.moment()
            spent = [minute(sides) for _ in range(minutes)]
            writes = audit.writes(since, audit.moment(), namespace=namespace.name)
    idle = [sorted(side) for side in zip(*spent, strict=True)]
    print(f"{count} finished resources, {minutes} minutes; {quiet_cluster.load()}")
    print(
        f"{'':8} {'RSS':>9} {'USS':>9} {'a resource':>11} {'listens after':>14} {'CPU till then':>14}   CPU a minute, idle"
    )
    for side, (rss, uss), before, start, cpu in zip(sides, full, empty, begun, idle, strict=True):
        print(
            f"{side.name:8} {rss:5.0f} MiB {uss:5.0f} MiB {(uss - before[1]) * 1024 / count:7.0f} KiB"
            f" {side.started_in:12.1f} s {start:12.1f} s   {statistics.median(cpu):.3f} s ({cpu[0]:.3f} to {cpu[-1]:.3f})"
        )
    memory = [one / other for one, other in zip(*full, strict=True)]
    lease, others = told(writes)
    added = statistics.median(idle[0]) - statistics.median(idle[1])
    print(f"    ours / nothing   RSS {memory[0]:.2f}   USS {memory[1]:.2f}   {at_most(GOAL, max(memory))}")
    print(
        f"    ours - nothing   {added / 60:.2%} of a core, {added * minutes / max(lease, 1) * 1000:.1f} ms for each of"
        f" {lease} renewals of the Lease; a ratio to nothing ({statistics.median(idle[1]):.3f} s) says nothing"
    )
    print(f"    writes while idle, besides the Lease   {others}   {at_most(0, others)}")


@contextmanager
def listening(namespace: Namespace, folder: Path) -> Iterator[Sides]:
    """Both, when they have come to rest."""
    with (
        listeners.ours(namespace, "none", folder) as ours,
        listeners.program("kopf_that_does_nothing", namespace, folder, "nothing") as nothing,
    ):
        time.sleep(SETTLING_SECONDS)
        yield ours, nothing


def minute(sides: Sides) -> tuple[float, ...]:
    """Seconds of CPU that each spends in the same minute."""
    before = [side.cpu_seconds() for side in sides]
    time.sleep(60)
    return tuple(side.cpu_seconds() - seconds for side, seconds in zip(sides, before, strict=True))


def told(writes: dict[Write, int]) -> tuple[int, int]:
    """Renewals of the Lease, and everything else that the two sides wrote."""
    ours = {write: times for write, times in writes.items() if write.user_agent in {names.MANAGED_BY, "kopf"}}
    lease = sum(times for write, times in ours.items() if write.resource == "leases")
    return lease, sum(ours.values()) - lease


async def fill(namespace: Namespace, count: int) -> None:
    """Make the resources, and give each the status of a finished run."""
    path = f"/apis/{names.GROUP}/{names.VERSION}/namespaces/{namespace.name}/{names.PLURAL}"
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(api: ApiServer, name: str) -> None:
        async with turns:
            await api.send("POST", path, finished.resource(name))
            await api.send("PATCH", f"{path}/{name}/status", {"status": finished.status(name)})

    async with connected(namespace.cluster.kubeconfig) as api, asyncio.TaskGroup() as filling:
        for number in range(count):
            filling.create_task(one(api, f"shop-{number:05}"))


if __name__ == "__main__":
    main()
