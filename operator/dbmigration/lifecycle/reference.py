"""What a schema should be again after a downgrade: the fingerprint that was taken before the upgrade which is undone.

Pure: found in what the status remembers. It must not compare anything.
"""

from __future__ import annotations

from dataclasses import dataclass

from dbmigration.lifecycle.observed import Observed


@dataclass(frozen=True, slots=True)
class Reference:
    """A schema of the past: its fingerprint, and the backup whose manifest names it item by item, "" where there is none."""

    catalog: str
    backup: str = ""


def reference_of(seen: Observed) -> Reference | None:
    """The schema that the goal of this run's downgrade had; None where nobody recorded it."""
    run, plan, goal = seen.status.run, seen.status.plan, set(seen.goal)
    if run is None or plan is None:
        return None
    if seen.is_rolling_back:
        known = [Reference(plan.catalog, run.backup)]
    else:
        known = [
            Reference(backup.catalog, backup.name) for backup in seen.status.backups if set(backup.revisions) == goal
        ]
        known += [Reference(entry.catalog) for entry in seen.status.history if set(entry.start_revisions) == goal]
    return next((found for found in known if are_of_one_form(found.catalog, seen.status.catalog)), None)


def are_of_one_form(one: str, other: str) -> bool:
    """Were both fingerprints made in the same way? Those of two releases may differ for one schema, and then tell nothing."""
    return bool(one) and one.partition(":")[0] == other.partition(":")[0]
