"""In what a new backup's schema differs from an earlier one's of its revision: told as a fact, for as long as it is one."""

from __future__ import annotations

import dataclasses

import pytest

from dbmigration_runner.checks.schema_note import schema_note
from dbmigration_runner.engines.catalog import CATALOG_VERSION
from tests.unit.runner.test_stored_backups import whole

TABLE, HALF = "table shop", "table half"


def backup(day, *catalog, **changes):
    return whole(day, revisions=("a1",), catalog=catalog, catalog_digest=f"{CATALOG_VERSION}:0", **changes)


def test_half_a_revision_is_told_of_every_backup_that_has_it_and_of_none_that_has_not():
    first = backup(1, TABLE)
    assert not schema_note(first, ())
    second = backup(2, TABLE, HALF)
    note = schema_note(second, (first,))
    assert note.startswith(f"Its schema is not the one that the backup {first.name} of the same revision has")
    assert note.endswith(f": +{HALF}")
    second = dataclasses.replace(second, schema_note=note)
    assert schema_note(backup(3, TABLE, HALF), (second, first)) == note
    assert schema_note(backup(3, TABLE, HALF), (second,)) == note, "also where the first is pruned"
    assert not schema_note(backup(3, TABLE), (second, first)), "mended"


def test_what_is_known_already_is_told_once_and_kept_beside_the_difference():
    first, known = backup(1, TABLE), "Run 1 left a part of a revision behind."
    assert schema_note(backup(2, TABLE), (first,), known) == known, "rows alone differ"
    note = schema_note(backup(2, TABLE, HALF), (first,), known)
    assert note == f"{known} {schema_note(backup(2, TABLE, HALF), (first,))}"
    noted = dataclasses.replace(backup(2, TABLE, HALF), schema_note=note)
    assert schema_note(backup(3, TABLE, HALF), (noted,), known) == note


@pytest.mark.parametrize(
    "other",
    [{"revisions": ("a2",)}, {"version_table": "other"}, {"server_version": "1.0"}, {"catalog_digest": "99:0"}],
)
def test_what_cannot_be_compared_raises_no_alarm(other):
    earlier = dataclasses.replace(backup(1, TABLE), **other)
    assert not schema_note(backup(2, TABLE, HALF), (earlier,))
