"""Which tables can tell what was written to them, and what is said of those that cannot."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from dbmigration_runner.contract.result import TableLoss
from dbmigration_runner.engines.row_comparison import Shape, compare


@dataclass
class Told:
    """Two states of a database, as a test tells them."""

    before: dict[str, Shape]
    now: dict[str, Shape]
    counts: tuple[int, int] = (5, 5)
    differences: tuple[int, int, int] = (0, 0, 0)
    is_same: bool = True
    is_untouched: bool = True
    keys: list[tuple[str, ...]] = field(default_factory=list)
    compared: list[tuple[str, ...]] = field(default_factory=list)

    def count(self, table, *, before):
        del table
        return self.counts[0 if before else 1]

    def differing(self, table, key, columns, lost):
        del table, lost
        self.keys.append(key)
        self.compared.append(columns)
        return self.differences

    def same(self, table, columns):
        del table
        self.compared.append(columns)
        return self.is_same

    def untouched(self, table, column):
        del table, column
        return self.is_untouched

    def written_by_migrations(self):
        return frozenset({"versions"})

    def others(self):
        yield from ()


KEYED = Shape({"id": "int", "note": "text"}, (("id",),))
WIDER = Shape({"id": "int", "note": "text", "paid": "bool"}, (("id",),))
RETYPED = Shape({"id": "int", "note": "json"}, (("id",),))
OTHER_KEY = Shape({"id": "bigint", "note": "text"}, (("id",),))
KEYLESS = Shape({"id": "int", "note": "text"})


def losses(told):
    return list(compare(told, lambda _: None))


@pytest.mark.parametrize(
    ("before", "now", "facts", "loss"),
    [
        (KEYED, KEYED, {}, None),
        (KEYED, KEYED, {"differences": (1, 2, 3)}, TableLoss("t", 1, 2, 3)),
        (KEYLESS, KEYLESS, {}, None),
        (KEYED, WIDER, {"is_untouched": True}, None),
        (None, KEYED, {"counts": (0, 0)}, None),
        (KEYED, None, {"counts": (0, 0)}, None),
        (KEYED, RETYPED, {"counts": (0, 0)}, None),
    ],
)
def test_what_is_told_exactly(before, now, facts, loss):
    told = Told({"t": before} if before else {}, {"t": now} if now else {}, **facts)
    assert losses(told) == ([loss] if loss else [])


@pytest.mark.parametrize(
    ("before", "now", "facts", "counts", "why"),
    [
        (KEYLESS, KEYLESS, {"is_same": False}, (0, 0, 0), "only counted"),
        (KEYLESS, KEYLESS, {"is_same": False, "counts": (5, 9)}, (4, 0, 0), "only counted"),
        (KEYLESS, KEYLESS, {"is_same": False, "counts": (9, 5)}, (0, 0, 4), "only counted"),
        (KEYED, WIDER, {"is_untouched": False}, (0, 0, 0), "hold values: paid"),
        (WIDER, KEYED, {}, (0, 0, 0), "cannot be compared: paid"),
        (KEYED, RETYPED, {}, (0, 0, 0), "cannot be compared: note"),
        (KEYED, OTHER_KEY, {}, (0, 0, 0), "cannot be compared: id"),
        (None, KEYED, {}, (5, 0, 0), "the migration's own"),
        (KEYED, None, {}, (0, 0, 0), "it is gone"),
    ],
)
def test_what_is_no_proof_that_nothing_was_written(before, now, facts, counts, why):
    told = Told({"t": before} if before else {}, {"t": now} if now else {}, **facts)
    (loss,) = losses(told)
    assert (loss.inserted, loss.updated, loss.deleted) == counts
    assert why in loss.untold


def test_only_columns_of_the_same_type_are_compared():
    told = Told({"t": KEYED}, {"t": RETYPED})
    losses(told)
    assert (told.keys, told.compared) == ([("id",)], [("id",)])


def test_a_key_must_be_one_on_both_sides():
    """Two rows of the same key would be taken for one, and the other be lost in silence."""
    told = Told({"t": KEYED}, {"t": KEYLESS}, is_same=False)
    assert told.keys == []
    assert losses(told)[0].untold


def test_what_a_migration_writes_itself_is_left_out():
    told = Told({"versions": KEYED}, {"versions": KEYED}, differences=(0, 1, 0))
    assert losses(told) == []
