"""What `dbmigration rollback` does on a cluster: resolve a way back to a revision's id, and write it as the wish.

The plan, the backup and the downgrade are the operator's. It must not write anything but `spec.targetRevision`, and the policy
where that was said.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from typing import Any

from dbmigration.api.status import Status
from dbmigration.cluster.errors import Unavailable
from dbmigration.lifecycle.steps_back import revision_behind
from dbmigration.local.driving import Exit
from dbmigration.local.errors import LocalError, UnansweredError
from dbmigration.watching import namespace_of_context, open_gateway


@dataclass(frozen=True, slots=True)
class Wish:
    """Back to a revision, or so many steps back; and what is allowed for it."""

    to: str | None = None
    steps: int | None = None
    allow_downgrade: bool = False
    accept_data_loss: bool = False


def rollback(name: str, namespace: str | None, wish: Wish) -> Exit:
    """Write the wish; raises LocalError where it is none that the resource could fulfil, or nobody knows."""
    return asyncio.run(_rollback(name, namespace or namespace_of_context(), wish))


async def _rollback(name: str, namespace: str, wish: Wish) -> Exit:
    async with open_gateway() as gateway:
        try:
            document = await gateway.read_resource(namespace, name)
        except Unavailable as error:
            raise UnansweredError(f"{error}; nothing was changed.") from error
        target = _target(document, wish)
        before = document["spec"].get("targetRevision", "head")
        patch = _patch(document, target, wish)
        try:
            await gateway.patch_spec(namespace, name, document["metadata"]["resourceVersion"], patch)
        except Unavailable as error:
            raise UnansweredError(
                f"{error}; whether the wish was written is not known: kubectl get databasemigration {name} --namespace {namespace}"
            ) from error
    sys.stdout.write(
        f"{namespace}/{name}: targetRevision is {target} now, and was {before}. The operator plans it, backs up, and goes there.\n"
        f"  dbmigration wait {name} --namespace {namespace}    follows it\n"
        "Where a GitOps controller or Helm owns the resource, make the same change there, or it will set this one back.\n"
    )
    return Exit.SUCCEEDED


def _target(document: dict[str, Any], wish: Wish) -> str:
    if wish.to is not None:
        return wish.to
    assert wish.steps is not None  # noqa: S101  # the command line wants one of the two
    try:
        return revision_behind(Status.parse(document.get("status", {})), wish.steps)
    except ValueError as error:
        raise LocalError(f"{error}; name the revision with --to.") from error


def _patch(document: dict[str, Any], target: str, wish: Wish) -> dict[str, Any]:
    allowed = document["spec"].get("policy", {}).get("downgrade") == "Allow"
    if not allowed and not wish.allow_downgrade:
        raise LocalError(
            "policy.downgrade of the resource is not Allow, so a target behind the database would be refused: add --allow-downgrade if it is meant."
        )
    patch: dict[str, Any] = {"targetRevision": target}
    if not allowed:
        patch["policy"] = {"downgrade": "Allow"}
    if wish.accept_data_loss:
        patch["rollback"] = {"acceptDataLoss": True}
    return patch
