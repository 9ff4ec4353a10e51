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
        found = Reference(plan.catalog, run.backup)
    else:
        found = next(
            (
                Reference(known.catalog, known.name)
                for known in seen.status.backups
                if set(known.revisions) == goal and known.catalog
            ),
            next(
                (
                    Reference(entry.catalog)
                    for entry in seen.status.history
                    if set(entry.start_revisions) == goal and entry.catalog
                ),
                Reference(""),
            ),
        )
    # Without a manifest nobody can tell that the version table, which Alembic never removes, is all that is left.
    tells = bool(found.catalog) and (bool(goal) or bool(found.backup))
    return found if tells and _form(found.catalog) == _form(seen.status.catalog) else None


def _form(catalog: str) -> str:
    """Fingerprints of two forms are not comparable."""
    return catalog.partition(":")[0]
