"""What `dbmigration wait` and `dbmigration status NAME` do on a cluster: read one resource, and tell it.

Only reads, with whatever rights the caller's kubeconfig gives. It must not write to a cluster, nor decide more than
whether a resource has come to its end.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from dbmigration.api.names import LABEL_MIGRATION
from dbmigration.api.status import ConditionStatus, Outcome, Status
from dbmigration.cluster.client import open_client
from dbmigration.cluster.errors import ClusterError, Unavailable, Unconfigured
from dbmigration.cluster.gateway import Gateway
from dbmigration.cluster.kubeconfig import read_contexts
from dbmigration.local.driving import Exit
from dbmigration.local.errors import LocalError
from dbmigration.local.narration import news
from dbmigration.local.report import report
from dbmigration.local.store import Resource

_PERIOD_SECONDS = 1.0
_WITHOUT_A_CLUSTER = (
    "Without a cluster it is dbmigration run, dbmigration run --restore BACKUP for a restore, "
    "dbmigration run --target REVISION --allow-downgrade for a rollback, dbmigration status --project DIR, and "
    "dbmigration backups ./DIR."
)


def wait(name: str, namespace: str | None, timeout: timedelta) -> Exit:
    """Follow a resource until it is Ready or Stalled at its newest generation; WAITING where that takes too long."""
    return asyncio.run(_wait(name, namespace or namespace_of_context(), timeout))


def status(name: str, namespace: str | None, *, as_json: bool) -> Exit:
    """Tell how a resource stands, and let the exit code say so too."""
    return asyncio.run(_status(name, namespace or namespace_of_context(), as_json=as_json))


async def _wait(name: str, namespace: str, limit: timedelta) -> Exit:
    before, document = Status(), None
    try:
        # The limit is around the gateway: a TimeoutError is an OSError, which would be told there as a fault of the connection.
        async with asyncio.timeout(limit.total_seconds()), open_gateway() as gateway:
            while True:
                document = await _read(gateway, namespace, name)
                now = Status.parse(document.get("status", {}))
                for line in news(before, now):
                    sys.stderr.write(f"{line}\n")
                before = now
                if (ending := _ending(document)) is not Exit.WAITING:
                    break
                await asyncio.sleep(_PERIOD_SECONDS)
    except TimeoutError:
        ending = Exit.WAITING
        sys.stderr.write(
            f"{namespace}/{name} did not come to its end within {limit}; it goes on without being waited for.\n"
        )
    if document is not None:
        _tell(document)
    return ending


async def _status(name: str, namespace: str, *, as_json: bool) -> Exit:
    try:
        async with open_gateway() as gateway:
            document = await gateway.read_resource(namespace, name)
    except Unavailable as error:
        sys.stderr.write(f"dbmigration: {error}.\n")
        return Exit.WAITING
    if as_json:
        document["metadata"].pop("managedFields", None)
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
    else:
        _tell(document)
    return _ending(document)


@asynccontextmanager
async def open_gateway() -> AsyncIterator[Gateway]:
    """The calls, with the rights of the caller's kubeconfig. Raises LocalError, and Unavailable as it is."""
    try:
        async with open_client() as api:
            yield Gateway(api, reporter="dbmigration")
    except Unavailable:
        raise
    except Unconfigured as error:
        raise LocalError(f"{error} {_WITHOUT_A_CLUSTER}") from error
    except (ClusterError, OSError) as error:
        raise LocalError(str(error)) from error


async def _read(gateway: Gateway, namespace: str, name: str) -> dict[str, Any]:
    """Read it; an API server that is away for a moment is asked again, and that is told once."""
    told = ""
    while True:
        try:
            return await gateway.read_resource(namespace, name)
        except Unavailable as error:
            if str(error) != told:
                told = str(error)
                sys.stderr.write(f"{told}; asking again\n")
            await asyncio.sleep(_PERIOD_SECONDS)


def _ending(document: dict[str, Any]) -> Exit:
    """What the conditions say of the newest generation; WAITING as long as it is not over."""
    now = Status.parse(document.get("status", {}))
    if now.observed_generation != document["metadata"]["generation"]:
        return Exit.WAITING
    standing = {condition.type: condition.status is ConditionStatus.TRUE for condition in now.conditions}
    if standing.get("Ready"):
        return Exit.SUCCEEDED
    if not standing.get("Stalled"):
        return Exit.WAITING
    ended = {Outcome.CANCELLED: Exit.CANCELLED, Outcome.ROLLED_BACK: Exit.ROLLED_BACK}
    outcome = now.run.outcome if now.run is not None else None
    return ended.get(outcome, Exit.FAILED) if outcome is not None else Exit.FAILED


def _tell(document: dict[str, Any]) -> None:
    metadata = document["metadata"]
    resource = Resource(
        namespace=metadata["namespace"],
        name=metadata["name"],
        database="",
        uid=metadata["uid"],
        generation=metadata["generation"],
        spec=document["spec"],
        status=document.get("status", {}),
    )
    logs = f"kubectl logs --namespace {resource.namespace} --selector {LABEL_MIGRATION}={resource.name}"
    width = min(shutil.get_terminal_size((120, 24)).columns, 140)
    sys.stdout.write(report(resource, [], logs, None, width) + "\n")


def namespace_of_context() -> str:
    """The namespace that kubectl would use."""
    return read_contexts(os.environ.get("KUBECONFIG") or "~/.kube/config").namespace
