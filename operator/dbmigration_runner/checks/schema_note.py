"""In what the schema of a new backup differs from that of an earlier backup of the same revisions: a half-applied revision, or a change by hand.

Pure. It states the difference and must not judge it: an index that somebody made is no fault, nor is a scheduler's partition.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbmigration_runner.engines.catalog import Catalog, has_readable_lines
from dbmigration_runner.engines.messages import short

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dbmigration_runner.checks.manifest import Manifest

_CHARACTERS = 400  # status and answers hold many


def schema_note(made: Manifest, earlier: Iterable[Manifest]) -> str:
    """A sentence, "" where it does not differ or nothing tells; `earlier` are of the same database, newest first.

    Held against the newest that has no note itself: else the second backup of a half-applied database would look sound.
    Where none is left, the newest tells whether today's note is still its own.
    """
    comparable = [
        known
        for known in earlier
        if known.name != made.name
        and set(known.revisions) == set(made.revisions)
        and known.version_table == made.version_table
        and known.server_version == made.server_version  # another one may print the same schema in other words
        and has_readable_lines(known.catalog_digest)
    ]
    if not comparable:
        return ""
    sound = next((known for known in comparable if not known.schema_note), None)
    reference = sound or comparable[0]
    if reference.fingerprint == made.fingerprint:
        return reference.schema_note
    was, now = (Catalog(known.catalog).without(known.version_table) for known in (reference, made))
    difference = was.difference(now)
    if difference.is_of_wording:
        return ""
    return short(
        f"Its schema is not the one that the backup {reference.name} of the same revision has "
        f"(+ only here, - only there): {difference}",
        _CHARACTERS,
    )
