"""What `dbmigration restore NAME` and `dbmigration backups NAME` do on a cluster: give the order and follow it; list what could be.

With whatever rights the caller's kubeconfig gives. It must not write anything but a DatabaseRestore: the restore is the operator's.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from dbmigration.api import names
from dbmigration.api.database_restore import RestoreStatus
from dbmigration.api.status import Backup, Condition, Phase, Status
from dbmigration.cluster.errors import AlreadyExists, ClusterError, Unavailable
from dbmigration.cluster.gateway import Gateway
from dbmigration.lifecycle.progress import size
from dbmigration.lifecycle.telling import differing, of_table
from dbmigration.local.driving import Exit
from dbmigration.local.errors import LocalError, UnansweredError
from dbmigration.local.narration import restorable, short_heads
from dbmigration.watching import namespace_of_context, open_gateway
from dbmigration_runner.contract.counting import counted

_PERIOD_SECONDS = 1.0
_LONGEST_NAME = 63
_REBUILT = (
    "The list is completed from the volume by every backup, and by every DatabaseRestore, also one that names a backup which is "
    "not there. One that is on the volume may be named all the same."
)
_ENDS = {Phase.SUCCEEDED: Exit.SUCCEEDED, Phase.CANCELLED: Exit.CANCELLED}


@dataclass(frozen=True, slots=True)
class Wish:
    """Which backup, what may go with it, and what the order is called; "" is a name with the time in it."""

    backup: str
    accept_data_loss: bool = False
    name: str = ""


def restore(name: str, namespace: str | None, wish: Wish, timeout: timedelta) -> Exit:
    """Create the order and follow it to its end; WAITING where that takes too long. Raises LocalError where it was not taken, or nobody knows."""
    return asyncio.run(_restore(name, namespace or namespace_of_context(), wish, timeout))


def backups(name: str, namespace: str | None, *, as_json: bool) -> Exit:
    """List the backups that a resource's status knows, newest first."""
    return asyncio.run(_backups(name, namespace or namespace_of_context(), as_json=as_json))


async def _restore(name: str, namespace: str, wish: Wish, limit: timedelta) -> Exit:
    order = wish.name or f"{name[: _LONGEST_NAME - 17]}-{datetime.now(UTC):%Y%m%dt%H%M%Sz}"
    try:
        async with asyncio.timeout(limit.total_seconds()), open_gateway() as gateway:
            try:
                await gateway.read_resource(namespace, name)  # one that is misspelt would be waited for
            except Unavailable as error:
                raise UnansweredError(f"{error}; nothing was ordered.") from error
            await _give(gateway, namespace, order, _manifest(name, order, wish))
            sys.stderr.write(f"DatabaseRestore {namespace}/{order} was created; the operator carries it out.\n")
            return await _follow(gateway, namespace, order)
    except TimeoutError:
        sys.stderr.write(
            f"DatabaseRestore {namespace}/{order} did not come to its end within {limit}; it goes on without being waited for.\n"
        )
        return Exit.WAITING


async def _give(gateway: Gateway, namespace: str, order: str, manifest: dict[str, Any]) -> None:
    try:
        await gateway.create_order(namespace, manifest)
    except AlreadyExists as error:
        raise LocalError(
            f"There is a DatabaseRestore {namespace}/{order} already: give this one another --name."
        ) from error
    except Unavailable as error:
        raise UnansweredError(
            f"{error}; whether the order was taken is not known: kubectl get databaserestore {order} --namespace {namespace}"
        ) from error


async def _follow(gateway: Gateway, namespace: str, order: str) -> Exit:
    told, estimate = "", ""
    while True:
        line, status = told, None
        try:
            status = RestoreStatus.parse((await gateway.read_order(namespace, order)).get("status") or {})
        except Unavailable as error:
            line = f"{error}; asking again"
        except ClusterError as error:
            raise LocalError(f"{error}") from error
        if status is not None and (ready := _ready(status)) is not None:
            line = f"{ready.reason}: {ready.message}"
        if status is not None and status.estimate != estimate:
            estimate = status.estimate
            sys.stderr.write(f"{estimate}\n")
        if line != told:
            sys.stderr.write(f"{line}\n")
            told = line
        if status is not None and status.has_ended:
            _tell(status)
            return _ENDS.get(status.phase, Exit.FAILED)
        await asyncio.sleep(_PERIOD_SECONDS)


def _tell(status: RestoreStatus) -> None:
    """What an order came to, to be kept."""
    lines = [f"{status.phase.value}: the database is at {status.revision or 'an unknown revision'}."]
    restored = status.restored
    if restored is not None:
        lines += (
            [f"  backup    {restored.backup}", f"  replaced  kept as {restored.kept_as}"] if restored.kept_as else []
        )
        lines += [f"  rows      {differing(restored) or 'none is known to have differed'}"] if restored.compared else []
        lines += [f"            {of_table(loss)}" for loss in restored.lost]
        lines += [f"  listed in {restored.list_file}, beside the backup"] if restored.list_file else []
    sys.stdout.write("\n".join(lines) + "\n")


def _ready(status: RestoreStatus) -> Condition | None:
    return next((condition for condition in status.conditions if condition.type == "Ready"), None)


def _manifest(migration: str, order: str, wish: Wish) -> dict[str, Any]:
    spec = {"migrationRef": {"name": migration}, "backup": wish.backup, "acceptDataLoss": wish.accept_data_loss}
    return {"apiVersion": names.API_VERSION, "kind": names.RESTORE_KIND, "metadata": {"name": order}, "spec": spec}


async def _backups(name: str, namespace: str, *, as_json: bool) -> Exit:
    try:
        async with open_gateway() as gateway:
            document = (await gateway.read_resource(namespace, name)).get("status") or {}
    except Unavailable as error:
        raise UnansweredError(f"{error}.") from error
    if as_json:
        sys.stdout.write(json.dumps(document.get("backups", []), indent=2) + "\n")
        return Exit.SUCCEEDED
    status = Status.parse(document)
    width = max((len(backup.name) for backup in status.backups), default=0)
    sys.stdout.write("".join(f"{_listed(backup, width)}\n" for backup in status.backups))
    sys.stderr.write(_unlisted(status, f"{namespace}/{name}"))
    return Exit.SUCCEEDED


def _unlisted(status: Status, resource: str) -> str:
    """What else could be named, and how its name is found."""
    if status.backups_untold:
        return f"Not listed yet: {counted(status.backups_untold, 'older one')} on the volume. {_REBUILT}\n"
    return "" if status.backups else f"The status of {resource} knows no backup. {_REBUILT}\n"


def _listed(backup: Backup, width: int) -> str:
    found = restorable(backup.restorable, backup.note)
    copied = f", cloned as {backup.clone}" if backup.clone else ""
    noted = f". {backup.schema_note}" if backup.schema_note else ""
    taken = f"{backup.taken_at:%Y-%m-%d %H:%M:%S} UTC"
    return f"{backup.name:<{width}}  {taken}  {size(backup.size_bytes):>9}  at {short_heads(backup.revisions)}  {found}{copied}{noted}"
