"""A restore that is ordered on this machine: what a DatabaseRestore is on a cluster.

Whoever gives it again while it is carried out goes on with it; given again afterwards it is another one. It must not decide
whether it is carried out.
"""

from __future__ import annotations

import shlex
import uuid
from datetime import UTC, datetime
from pathlib import Path

from dbmigration.api.database_restore import RestoreStatus
from dbmigration.api.status import Status
from dbmigration.lifecycle.observed import OrderView
from dbmigration.local.archive import Found, look_through
from dbmigration.local.errors import ManifestError

_SHOWN = 5


def order_of(status: Status, backup: str | None, *, accept_data_loss: bool) -> OrderView | None:
    """The order of the open run, else a new one where a `backup` is named. Raises ManifestError where the two do not agree."""
    run = status.run if status.run is not None and status.run.outcome is None else None
    begun = run.order if run is not None else None
    if backup is None:
        return None if begun is None else _view(begun.name, begun.uid, begun.backup, accepts=begun.accept_data_loss)
    if run is not None and (begun is None or begun.backup != backup):
        does = "migrates" if begun is None else f"restores {begun.backup}"
        raise ManifestError(
            f"Run {run.number} {does}, and is not at its end: start it again as it was begun, or end it by dbmigration cancel; "
            "then order the restore."
        )
    if begun is not None:
        return _view(begun.name, begun.uid, backup, accepts=begun.accept_data_loss)
    return _view(f"restore-{datetime.now(UTC):%Y%m%d-%H%M%S}", str(uuid.uuid4()), backup, accepts=accept_data_loss)


def _view(name: str, uid: str, backup: str, *, accepts: bool) -> OrderView:
    return OrderView(name, uid, generation=1, backup=backup, accept_data_loss=accepts, status=RestoreStatus())


def insist_on_backup(name: str, own: Path, owner: str) -> None:
    """Raises ManifestError where no backup of that name is in `own`, the folder of `owner` (namespace/name) and its database.

    The message names those that are there, or what others are in the folders beside it.
    """
    there = look_through(own, verify=False) if own.is_dir() else []
    if any(found.name == name for found in there):
        return
    beside = look_through(own.parent, verify=False) if own.parent.is_dir() else []
    others = [found for found in beside if found.path.parent != own]
    elsewhere = next((found for found in others if found.name == name), None)
    if elsewhere is not None:
        raise ManifestError(f"The backup {name} is not in {own}, but {_how_to_take(elsewhere, own, owner)}")
    whole = [found.name for found in there if not found.fault]
    if whole:
        more = f", and {len(whole) - _SHOWN} older ones" if len(whole) > _SHOWN else ""
        raise ManifestError(
            f"There is no backup {name} in {own}; nothing was begun. There are, newest first: {', '.join(whole[:_SHOWN])}{more}."
        )
    raise ManifestError(
        f"There is no backup of {owner} for this database, so no {name}, in {own}; nothing was begun.{_listed(others)}"
    )


def _how_to_take(found: Found, own: Path, owner: str) -> str:
    """Where a backup lies that another name, or another URL, has taken, and how it is restored from there."""
    folder = found.path.parent
    of_the_name = f"in {folder}, a backup of {found.owner or 'an unknown name'}"
    if found.owner and found.owner != owner:
        # The name of a folder ends with the database's: under the backup's own name the same one may be meant.
        return f"{of_the_name}: give --name {found.owner.rpartition('/')[2]} (in a manifest metadata.name)."
    copied = f"mkdir -p {shlex.quote(str(own))} && cp {shlex.quote(f'{folder}/{found.name}')}.* {shlex.quote(str(own))}"
    return f"{of_the_name} on another database. Is this database the one that it was taken of, moved, copy it: {copied}"


def _listed(others: list[Found]) -> str:
    """The folders of other names and databases, each with how many backups it holds, and what to do."""
    if not others:
        return " There is none of others beside it either: give --backups as it was given when the backup was taken."
    folders = sorted({found.path.parent for found in others})
    counts = [f"{folder} ({sum(found.path.parent == folder for found in others)})" for folder in folders]
    more = f", and {len(counts) - _SHOWN} more" if len(counts) > _SHOWN else ""
    return (
        f" Backups of other names or databases are in {', '.join(counts[:_SHOWN])}{more}: each name and database has its own folder. "
        "Is one of them meant, give its --name and its database's URL; `dbmigration backups` lists them all."
    )
