"""A restore that is ordered on this machine: what a DatabaseRestore is on a cluster.

Whoever gives it again while it is carried out goes on with it; given again afterwards it is another one. It must not decide
whether it is carried out.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

from dbmigration.api.database_restore import RestoreStatus
from dbmigration.api.status import Status
from dbmigration.lifecycle.observed import OrderView
from dbmigration.local.errors import ManifestError


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
