"""The Deployments and StatefulSets that a drain names: looked at afresh, and what their documents say of replicas and Pods.

They belong to others, so nothing of them is cached or kept. It must not decide what is scaled.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from dbmigration.cluster.errors import NotFound
from dbmigration.cluster.gateway import FIELD_MANAGER, Gateway
from dbmigration.cluster.objects import Document, read_time
from dbmigration.lifecycle.observed import WorkloadRef, WorkloadView

PLURALS = {"Deployment": "deployments", "StatefulSet": "statefulsets"}
_OPERATORS = {"In": "in", "NotIn": "notin"}


async def look(gateway: Gateway, namespace: str, refs: Iterable[WorkloadRef]) -> dict[WorkloadRef, WorkloadView]:
    """How each of them stands; those that are not there are left out. Raises ClusterError."""
    seen: dict[WorkloadRef, WorkloadView] = {}
    for ref in refs:
        try:
            document = await gateway.read_workload(namespace, PLURALS[ref.kind], ref.name)
        except NotFound:
            continue
        pods = await gateway.pods_of(namespace, selector(document["spec"].get("selector") or {}))
        seen[ref] = view(document, pods)
    return seen


def view(document: Document, pods: Iterable[Document]) -> WorkloadView:
    """What a workload's document and its Pods say. A Pod that is ending may still write."""
    alive = [pod for pod in pods if pod.get("status", {}).get("phase") not in {"Succeeded", "Failed"}]
    scaled_by, scaled_at = _scaled_by(document)
    return WorkloadView(
        replicas=document["spec"].get("replicas", 1),
        pods=len(alive),
        ready=(document.get("status") or {}).get("readyReplicas", 0),
        scaled_by=scaled_by,
        scaled_at=scaled_at,
    )


def selector(given: dict[str, Any]) -> str:
    """A label selector, as a query has it."""
    return ",".join(
        [*(f"{name}={value}" for name, value in given.get("matchLabels", {}).items()), *_expressions(given)]
    )


def _expressions(given: dict[str, Any]) -> Iterator[str]:
    for expression in given.get("matchExpressions", ()):
        key, operator = expression["key"], expression["operator"]
        match operator:
            case "Exists":
                yield key
            case "DoesNotExist":
                yield f"!{key}"
            case _:
                yield f"{key} {_OPERATORS[operator]} ({','.join(expression['values'])})"


def _scaled_by(document: Document) -> tuple[str, datetime | None]:
    """Who else than us set the replicas last, and when, as the server keeps it.

    Of who raises a zero by the scale subresource it keeps no name (seen on Kubernetes 1.36: a zero is left out of a Scale,
    and the field has no owner from then on); of who writes the workload itself, as Argo CD, Helm and kubectl apply do, it does.
    """
    owners = [
        entry
        for entry in document["metadata"].get("managedFields", ())
        if "f:replicas" in entry.get("fieldsV1", {}).get("f:spec", {}) and entry.get("manager") != FIELD_MANAGER
    ]
    newest = max(owners, key=lambda entry: entry.get("time", ""), default=None)
    return (str(newest["manager"])[:128], read_time(newest.get("time"))) if newest is not None else ("", None)
