"""What must hold in the record before the migrate step may exist: the first law, checked where it counts.

These are about what was recorded, not about the database: the runner checks that again under its lock.
"""

from __future__ import annotations

from dbmigration.api.reasons import Reason
from dbmigration.lifecycle.observed import Observed
from dbmigration.lifecycle.policies import Refusal


def run_knows_its_plan(seen: Observed) -> Refusal | None:
    """A run without a recorded plan would not know what to verify."""
    run = seen.open_run
    if run is not None and run.plan_hash and seen.status.plan is not None and seen.status.plan.hash == run.plan_hash:
        return None
    return Refusal(
        Reason.PLAN_CHANGED,
        "The recorded plan is not the one that this run decided on. Set the retry annotation to plan afresh.",
    )


def way_back_exists(seen: Observed) -> Refusal | None:
    """No irreversible act without a verified backup of exactly this state, or the stated risk."""
    if seen.spec.backup.skip is not None:
        return None
    run = seen.open_run
    if run is not None and any(
        backup.name == run.backup and backup.sha256 and set(backup.revisions) == set(run.start_revisions)
        for backup in seen.status.backups
    ):
        return None
    return Refusal(
        Reason.BACKUP_FAILED,
        "There is no verified backup of the database as it was planned. Set the retry annotation to take one.",
    )


BEFORE_MIGRATING = (run_knows_its_plan, way_back_exists)
