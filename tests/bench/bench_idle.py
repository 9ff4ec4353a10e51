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
from tests.bench.listeners import Listener
from tests.cluster.access import Namespace
from tests.cluster.audit import Write

RESOURCES = 1000
MINUTES = 3
SETTLING_SECONDS = 15
AT_ONCE = 20

Sides = tuple[Listener, Listener]


def main() -> None:
    """Print memory, CPU and writes of both sides, and the ratios."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else RESOURCES
    minutes = int(sys.argv[2]) if len(sys.argv) > 2 else MINUTES
    with quiet_cluster.namespace("idle") as namespace, tempfile.TemporaryDirectory() as folder:
        with listening(namespace, Path(folder)) as sides:
            empty = [side.memory() for side in sides]
        asyncio.run(fill(namespace, count))
        with listening(namespace, Path(folder)) as sides:
            full = [side.memory() for side in sides]
            begun = [side.cpu_seconds() for side in sides]
            audit, since = namespace.cluster.audit, namespace.cluster.audit.moment()
            spent = [minute(sides) for _ in range(minutes)]
            writes = audit.writes(since, audit.moment(), namespace=namespace.name)
    print(f"{count} finished resources, {minutes} minutes; {quiet_cluster.load()}")
    for side, (rss, uss), before, start, idle in zip(sides, full, empty, begun, zip(*spent, strict=True), strict=True):
        print(
            f"{side.name:22} RSS {rss:6.1f} MiB   USS {uss:6.1f} MiB   {(uss - before[1]) * 1024 / count:5.1f} KiB a resource"
            f"   listens after {side.started_in:4.1f} s   start {start:5.2f} s of CPU"
            f"   idle {statistics.median(idle):6.3f} s of CPU a minute ({min(idle):.3f} to {max(idle):.3f})"
        )
    ours, nothing = full
    cpu = [statistics.median(side) for side in zip(*spent, strict=True)]
    print(
        f"    ours / nothing   RSS {ours[0] / nothing[0]:5.2f}   USS {ours[1] / nothing[1]:5.2f}   CPU {cpu[0] / cpu[1]:5.2f}"
        f"   ours adds {(cpu[0] - cpu[1]) / 60:.2%} of a core"
    )
    lease, others = told(writes)
    print(f"    writes while idle   {others}, and {lease} renewals of the Lease")


@contextmanager
def listening(namespace: Namespace, folder: Path) -> Iterator[Sides]:
    """Both, when they have come to rest."""
    with (
        listeners.ours(namespace, "none", folder) as ours,
        listeners.program("kopf_that_does_nothing", namespace, folder) as nothing,
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
