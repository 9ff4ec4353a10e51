"""Restores that a person orders: a DatabaseRestore is created, and what it says is waited for."""

from __future__ import annotations

from typing import Any

from tests.cluster.access import eventually
from tests.cluster.operator.stage import Stage


def give(stage: Stage, name: str, backup: str, *, accept: bool, migration: str = "shop") -> None:
    """Create a DatabaseRestore."""
    order = {"migrationRef": {"name": migration}, "backup": backup, "acceptDataLoss": accept}
    metadata = {"name": name}
    stage.namespace.apply(
        {"apiVersion": "dbmigration.io/v1alpha1", "kind": "DatabaseRestore", "metadata": metadata, "spec": order}
    )


def told(stage: Stage, name: str, reason: str, *, timeout: float = 240) -> dict[str, Any]:
    """What it says when its Ready condition shows this reason."""

    def look() -> dict[str, Any] | None:
        status: dict[str, Any] = stage.namespace.get("dbr", name).get("status", {})
        ready = next((item for item in status.get("conditions", ()) if item["type"] == "Ready"), {})
        return {**status, "ready": ready} if ready.get("reason") == reason else None

    try:
        found: dict[str, Any] = eventually(look, f"{reason} of {name}", timeout=timeout)
    except TimeoutError as late:
        raise TimeoutError(f"{late}\n{stage.namespace.get('dbr', name)}\n{stage.evidence()}") from None
    return found
