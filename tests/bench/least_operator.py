"""The least that can be done: whoever hears of a DatabaseMigration makes a Job at once. No status, no cache, no safety.

A program for `listeners.py`: the floor under the time from a resource to its first Job. It must not do anything useful.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

from dbmigration.api import names
from tests.bench.api_server import ApiServer, connected


def job(name: str) -> dict[str, Any]:
    """A Job whose Pod no node takes, as those of the benchmark's resources."""
    container = {
        "name": "runner",
        "image": "none",
        "command": ["true"],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    pod = {
        "restartPolicy": "Never",
        "nodeSelector": {"bench": "nowhere"},
        "containers": [container],
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    }
    labels = {names.LABEL_MIGRATION: name}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": f"{name}-1", "labels": labels},
        "spec": {"backoffLimit": 0, "template": {"metadata": {"labels": labels}, "spec": pod}},
    }


async def main() -> None:
    """Until a signal comes."""
    namespace = os.environ["NAMESPACE"]
    resources = f"/apis/{names.GROUP}/{names.VERSION}/namespaces/{namespace}/{names.PLURAL}"
    jobs = f"/apis/batch/v1/namespaces/{namespace}/jobs"
    async with connected(Path(os.environ["KUBECONFIG"])) as api, asyncio.TaskGroup() as making:
        async for event in api.watch(resources):
            if not event:
                print("listening", flush=True)
            elif event["type"] == "ADDED":
                making.create_task(make(api, jobs, event["object"]["metadata"]["name"]))


async def make(api: ApiServer, jobs: str, name: str) -> None:
    await api.send("POST", jobs, job(name))


if __name__ == "__main__":
    asyncio.run(main())
