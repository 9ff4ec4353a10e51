"""What a downgrade brings back in name only, told from the texts of both functions."""

from __future__ import annotations

import pytest

from dbmigration_runner.checks.emptied import emptied
from tests.unit.runner.revisions import revision

DROPS = "op.drop_column('orders', 'note')"
MAKES = "op.add_column('orders', sa.Column('note', sa.Text()))"
KEPT = "op.execute('CREATE TABLE kept AS SELECT id, note FROM orders')\n" + DROPS


@pytest.fixture
def told(tmp_path):
    """Of revisions, each (upgrade, downgrade), the oldest first."""

    def tell(*bodies):
        down = [revision(tmp_path, undo, upgrade=do) for do, undo in reversed(bodies)]
        return [(str(item.table), item.column, item.may_be_filled) for item in emptied(down, "postgresql")]

    return tell


@pytest.mark.parametrize(
    ("up", "down", "expected"),
    [
        (DROPS, MAKES, [("orders", "note", False)]),
        ("op.execute('ALTER TABLE orders DROP COLUMN note')", MAKES, [("orders", "note", False)]),
        ("op.drop_table('orders')", "op.create_table('orders', sa.Column('id'))", [("orders", None, False)]),
        (DROPS, "pass", []),
        (DROPS, "op.add_column('orders', sa.Column('other', sa.Text()))", []),
        (DROPS, f"if sys.argv:\n    {MAKES}", []),
        ("op.alter_column('orders', 'note', new_column_name='text')", "pass", []),
        ("op.add_column('orders', sa.Column('x'))", "op.drop_column('orders', 'x')", []),
        (f"{MAKES}\n{DROPS}", f"{MAKES}\n{DROPS}", []),
    ],
)
def test_told_is_what_the_upgrade_drops_and_the_downgrade_makes_again(told, up, down, expected):
    assert told((up, down)) == expected


@pytest.mark.parametrize(
    "fills",
    [
        "op.execute('UPDATE orders SET note = kept.note FROM kept WHERE kept.id = orders.id')",
        "op.execute('INSERT INTO orders SELECT * FROM kept')",
        "op.bulk_insert(sa.table('orders'), [])",
        "op.execute(sa.insert(sa.table('orders')).from_select(['note'], sa.select(sa.text('1'))))",
        "op.execute(sa.table('orders').insert().values(note='x'))",
        "op.get_bind().execute(statement)",
    ],
)
def test_a_downgrade_that_writes_rows_may_have_brought_the_values_back(told, fills):
    assert told((KEPT, f"{MAKES}\n{fills}")) == [("orders", "note", True)]


def test_names_are_those_at_the_end_of_the_way_down(told):
    rename = "op.rename_table('orders', 'purchases')", "op.rename_table('purchases', 'orders')"
    drop = DROPS.replace("orders", "purchases"), MAKES.replace("orders", "purchases")
    assert told(rename, drop) == [("orders", "note", False)]


def test_what_the_same_way_had_made_is_not_missed(told):
    add = MAKES, DROPS
    assert told(add, (DROPS, MAKES)) == []
