"""In what the schema of a new backup differs from that of an earlier backup of the same revisions: a half-applied revision, or a change by hand.

Pure. It states the difference and must not judge it: an index that somebody made is no fault, nor is a scheduler's partition.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbmigration_runner.engines.catalog import Catalog, has_readable_lines
from dbmigration_runner.engines.messages import short

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dbmigration_runner.checks.manifest import Manifest

_CHARACTERS = 400  # status and answers hold many


def schema_note(made: Manifest, earlier: Iterable[Manifest], known: str = "") -> str:
    """What is known to be amiss already, and in what it differs; "" where nothing is. `earlier` are of the same database, newest first."""
    found = _difference(made, [one for one in earlier if _is_comparable(made, one)])
    return short(" ".join(note for note in (known if known not in found else "", found) if note), 2 * _CHARACTERS)


def _is_comparable(made: Manifest, one: Manifest) -> bool:
    return (
        one.name != made.name
        and set(one.revisions) == set(made.revisions)
        and one.version_table == made.version_table
        and one.server_version == made.server_version  # another one may print the same schema in other words
        and has_readable_lines(one.catalog_digest)
    )


def _difference(made: Manifest, comparable: Sequence[Manifest]) -> str:
    """Held against the newest that has no note itself: else the second backup of a half-applied database would look sound.

    Where none is left, the newest tells whether today's note is still its own.
    """
    if not comparable:
        return ""
    sound = next((one for one in comparable if not one.schema_note), None)
    reference = sound or comparable[0]
    if reference.fingerprint == made.fingerprint:
        return reference.schema_note
    was, now = (Catalog(one.catalog).without(one.version_table) for one in (reference, made))
    difference = was.difference(now)
    if difference.is_of_wording:
        return ""
    return short(
        f"Its schema is not the one that the backup {reference.name} of the same revision has "
        f"(+ only here, - only there): {difference}",
        _CHARACTERS,
    )
