"""A release of the shop, from `kubectl apply` to its end: `python -m tests.bench.bench_release [ROUNDS]`.

The sides take turns, each round on fresh copies of one small database; medians are compared.
    ours    a DatabaseMigration, until it is Ready: plan, verified backup, migration, each in a Pod of its own
    bare    one Job that runs `alembic upgrade head` in the same image, until it is Complete
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dbmigration.api import names
from tests.bench import listeners, quiet_cluster
from tests.bench.goals import at_most
from tests.cluster.access import Namespace
from tests.cluster.embedded import catalog
from tests.cluster.operator.stage import Server, Stage, server

ROUNDS = 5
CUSTOMERS = 1000
GOAL = 3.0


def main() -> None:
    """Print both sides and the ratio."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    cluster = quiet_cluster.cluster()
    old, new = (cluster.image(catalog.shop(release)) for release in ("1.0", "1.1"))
    tools = cluster.image(catalog.TOOLS)
    ours, bare = [], []
    with (
        tempfile.TemporaryDirectory() as folder,
        quiet_cluster.namespace("release") as namespace,
        small_database(namespace, old) as stage,
        listeners.ours(namespace, tools, Path(folder)),
    ):
        for number in range(rounds + 1):
            one, other = by_the_operator(stage, f"ours-{number}", new), by_a_job(stage, f"bare-{number}", new)
            if number > 0:  # the first round warms
                ours.append(one)
                bare.append(other)
    print(f"{rounds} rounds; {quiet_cluster.load()}")
    for side, seconds in (("ours", ours), ("bare", bare)):
        print(f"{side:8} median {statistics.median(seconds):6.2f} s   from {min(seconds):.2f} to {max(seconds):.2f}")
    ratio = statistics.median(ours) / statistics.median(bare)
    print(f"    ours / bare   {ratio:6.2f}   {at_most(GOAL, ratio)}")


@contextmanager
def small_database(namespace: Namespace, image: str) -> Iterator[Stage]:
    """The shop at its first release, with some customers; what is migrated are copies of it."""
    suffix = uuid.uuid4().hex[:6]
    cluster = namespace.cluster
    stage = Stage(
        namespace, server(cluster, cluster.image(catalog.POSTGRESQL)), f"bench_{suffix}", f"bench_role_{suffix}"
    )
    remove_databases(stage.server)
    try:
        stage.prepare()
        command = f"alembic upgrade head && python3 seed.py --customers {CUSTOMERS}"
        namespace.apply(job("shop", image, "database", ["sh", "-c", command]))
        namespace.kubectl("wait", "job/shop", "--for=condition=Complete", "--timeout=120s")
        yield stage
    finally:
        remove_databases(stage.server)


def remove_databases(server: Server) -> None:
    """This benchmark's and a killed one's: whoever holds the cluster is alone."""
    for database in server.psql("SELECT datname FROM pg_database WHERE datname LIKE 'bench\\_%'").splitlines():
        server.psql(f"DROP DATABASE {database} WITH (FORCE)")
    for role in server.psql("SELECT rolname FROM pg_roles WHERE rolname LIKE 'bench\\_%'").splitlines():
        server.psql(f"DROP ROLE {role}")


def by_the_operator(stage: Stage, name: str, image: str) -> float:
    copy(stage, name)
    spec = stage.spec | {
        "database": {"urlFrom": {"secretKeyRef": {"name": name, "key": "url"}}},
        "migrations": {"source": {"image": {"reference": image}}, "urlTo": {"env": {"DATABASE_URL": "url"}}},
    }
    return seconds_until(
        stage.namespace,
        {"apiVersion": names.API_VERSION, "kind": names.KIND, "metadata": {"name": name}, "spec": spec},
        f"{names.SINGULAR}/{name}",
        "Ready",
    )


def by_a_job(stage: Stage, name: str, image: str) -> float:
    copy(stage, name)
    return seconds_until(
        stage.namespace, job(name, image, name, ["alembic", "upgrade", "head"]), f"job/{name}", "Complete"
    )


def copy(stage: Stage, name: str) -> None:
    """A database of its own, and the Secret that leads to it."""
    database = f"{stage.database}_{name.replace('-', '_')}"
    stage.server.psql(f"CREATE DATABASE {database} TEMPLATE {stage.database} OWNER {stage.role}")
    stage.secret(f"{stage.url.rpartition('/')[0]}/{database}", name=name)


def seconds_until(namespace: Namespace, manifest: dict[str, Any], found: str, condition: str) -> float:
    """From `kubectl apply` to the end of `kubectl wait`."""
    begun = time.perf_counter()
    namespace.apply(manifest)
    namespace.kubectl("wait", found, f"--for=condition={condition}", "--timeout=180s")
    return time.perf_counter() - begun


def job(name: str, image: str, secret: str, command: list[str]) -> dict[str, Any]:
    """What a user without an operator applies, or has a Helm hook apply."""
    container = {
        "name": "alembic",
        "image": image,
        "command": command,
        "workingDir": "/app",
        "env": [{"name": "DATABASE_URL", "valueFrom": {"secretKeyRef": {"name": secret, "key": "url"}}}],
        "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    pod = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "containers": [container],
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"backoffLimit": 0, "template": {"spec": pod}},
    }


if __name__ == "__main__":
    main()
