"""The databases that restores replaced: which of them nobody needs any more.

Pure: found in the status and the spec. That one bears our mark is seen where it is dropped; a person may also have done so.
"""

from __future__ import annotations

from dbmigration.api.units import duration
from dbmigration.lifecycle.observed import Observed


def to_drop(seen: Observed) -> tuple[str, ...]:
    """Old enough, and a later run succeeded that changed the database. They go when the backup of this run is verified."""
    run, age = seen.open_run, duration(seen.spec.rollback.keep_replaced)
    return tuple(
        known.name
        for known in seen.status.replaced
        if run is not None
        and known.outlived_by is not None
        and known.outlived_by < run.number
        and seen.now - known.replaced_at >= age
    )


def to_keep(seen: Observed) -> tuple[str, ...]:
    """The others; what was written about them stays too."""
    gone = to_drop(seen)
    return tuple(known.name for known in seen.status.replaced if known.name not in gone)
