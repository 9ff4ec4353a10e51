"""What is told of writes since a backup claims none that nobody knows of."""

from __future__ import annotations

import pytest

from dbmigration_runner.checks.estimate import sentence

ASKED = "the server cannot tell whether anything was written in"


@pytest.mark.parametrize(
    ("found", "is_noted", "told"),
    [
        ({}, True, "nothing was written, as far as the server knows."),
        ({}, False, "no table grew or shrank; rows that were changed are not counted by it."),
        ({"a": 1}, True, "about 1 row was inserted, changed or deleted, in a (1)."),
        ({"a": 2, "b": 3}, False, "at least 5 rows were inserted, changed or deleted, in b (3), a (2)."),
        ({"b": None, "a": None}, True, f"{ASKED} a, b; the comparison will."),
        (
            {"b": None, "a": 4},
            True,
            f"at least 4 rows were inserted, changed or deleted, in a (4); {ASKED} b; the comparison will.",
        ),
        (
            dict.fromkeys("abcdefg"),
            True,
            f"{ASKED} a, b, c, d, e and 2 more tables; the comparison will.",
        ),
    ],
)
def test_only_what_was_counted_is_said_to_be_written(found, is_noted, told):
    assert sentence(found, is_noted=is_noted) == f"An estimate: since the backup {told}"
