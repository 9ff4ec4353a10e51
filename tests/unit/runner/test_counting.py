"""A number agrees with its noun."""

from __future__ import annotations

import pytest

from dbmigration_runner.contract.counting import counted


@pytest.mark.parametrize(
    ("count", "nouns", "said"),
    [
        (0, ("revision",), "0 revisions"),
        (1, ("revision",), "1 revision"),
        (3, ("revision",), "3 revisions"),
        (1, ("try", "tries"), "1 try"),
        (2, ("try", "tries"), "2 tries"),
    ],
)
def test_one_is_singular_and_all_else_is_plural(count, nouns, said):
    assert counted(count, *nouns) == said
