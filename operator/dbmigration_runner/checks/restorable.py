"""Could the database be put back at all, if it came to that? Asked before a backup is made on whose strength things are changed.

By the plan, so that nobody waits for hours to be told of a right that is missing, and by the backup, for things change. Whether
this very backup restores is the probe's business. This module knows no engine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.engines.clone import is_cloned
from dbmigration_runner.engines.restore import blockers, is_restored
from dbmigration_runner.errors import Refusal

if TYPE_CHECKING:
    from dbmigration_runner.engines.interface import Engine


def require_cloned(engine: Engine) -> None:
    """Raises Refusal (EngineNotSupported)."""
    if not is_cloned(engine):
        raise Refusal(
            RunnerReason.ENGINE_NOT_SUPPORTED,
            f"backup.clone wants a copy on the server, and {engine.name} makes none that would be quicker than a restore: "
            "take it out. Nothing was changed.",
        )


def require_restorable(engine: Engine, admin: Engine | None, *, with_rights: bool = True) -> None:
    """Raises Refusal (BackupNotRestorable, RestoreNotPossible).

    `with_rights` is False where an administrator's URL is for restores, which is not given to the one who asks.
    """
    if not is_restored(engine):
        raise Refusal(
            RunnerReason.BACKUP_NOT_RESTORABLE,
            f"rollback.onFailure relies on a restore, and this release restores no {engine.name} database: "
            "set it to Downgrade or None. Nothing was changed.",
        )
    whys = blockers(engine, admin, with_rights=with_rights)
    if whys:
        raise Refusal(
            RunnerReason.RESTORE_NOT_POSSIBLE,
            f"rollback.onFailure relies on a restore, which could not be made: {' '.join(whys)} Nothing was changed.",
        )
