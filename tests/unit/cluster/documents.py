"""API objects as a real 1.36 cluster sends them, reduced to what is read of them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from dbmigration.api import names
from dbmigration.cluster.resource import Resource

UID = "6f0c2a4e-0000-4000-8000-000000000001"
MADE = "2026-11-23T12:00:00Z"
LATER = datetime(2026, 11, 23, 12, 0, 10, tzinfo=UTC)


def spec(**changes: Any) -> dict[str, Any]:
    return {
        "database": {"urlFrom": {"secretKeyRef": {"name": "shop-database", "key": "url"}}},
        "migrations": {"source": {"image": {"reference": "registry.example/shop:1.1"}}},
        "backup": {"storage": {"persistentVolumeClaim": {"claimName": "shop-backups"}}},
        **changes,
    }


def document(name: str = "shop", version: int = 10, **changes: Any) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "prod", "name": name, "uid": UID, "resourceVersion": str(version), "generation": 1},
        "spec": spec(),
        "status": {"observedGeneration": -1},
        **changes,
    }


def order(name: str = "back", version: int = 30, migration: str = "shop", **changes: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "namespace": "prod",
            "name": name,
            "uid": f"uid-{name}",
            "resourceVersion": str(version),
            "generation": 1,
            "creationTimestamp": MADE,
        },
        "spec": {"migrationRef": {"name": migration}, "backup": "shop-1-20261123T120000Z"},
        "status": {"observedGeneration": -1},
        **changes,
    }


def resource(name: str = "shop", **changes: Any) -> Resource:
    return Resource.parse(document(name, spec=spec(**changes)))


def labels(step: str = "plan", run: int = 1, attempt: int = 1, uid: str = UID) -> dict[str, str]:
    return {
        names.LABEL_MANAGED_BY: names.MANAGED_BY,
        names.LABEL_MIGRATION: "shop",
        names.LABEL_UID: uid,
        names.LABEL_RUN: str(run),
        names.LABEL_STEP: step,
        names.LABEL_ATTEMPT: str(attempt),
    }


def job(*conditions: str, deleting: bool = False, version: int = 20, **label: Any) -> dict[str, Any]:
    metadata = {
        "namespace": "prod",
        "name": "shop-plan-1",
        "uid": "job",
        "resourceVersion": str(version),
        "creationTimestamp": MADE,
        "labels": labels(**label),
    }
    if deleting:
        metadata["deletionTimestamp"] = MADE
    stated = [{"type": kind, "status": "True", "reason": "BackoffLimitExceeded"} for kind in conditions]
    return {"metadata": metadata, "status": {"conditions": stated}}


def pod(
    state: dict[str, Any] | None = None,
    *,
    prepare: dict[str, Any] | None = None,
    deleting: bool = False,
    version: int = 30,
    image_id: str = "",
    **status: Any,
) -> dict[str, Any]:
    metadata = {
        "namespace": "prod",
        "name": "shop-plan-1-abcde",
        "uid": "pod",
        "resourceVersion": str(version),
        "creationTimestamp": MADE,
        "labels": labels(),
    }
    if deleting:
        metadata["deletionTimestamp"] = MADE
    told: dict[str, Any] = {"phase": "Pending", **status}
    if state is not None:
        told["containerStatuses"] = [{"name": "runner", "image": "shop:1.1", "imageID": image_id, "state": state}]
    if prepare is not None:
        told["initContainerStatuses"] = [{"name": "prepare", "image": "tools:1", "state": prepare}]
    return {
        "metadata": metadata,
        "spec": {"containers": [{"name": "runner", "image": "registry.example/shop:1.1"}]},
        "status": told,
    }


def event(reason: str, note: str = "", time: str = MADE) -> dict[str, Any]:
    return {"reason": reason, "note": note, "deprecatedLastTimestamp": time}
