"""What is read in the downgrades of histories that nobody here wrote, and what they then do."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.integration.real_histories.histories import ALL, named
from tests.sampling import some

# The first test of an application installs it.
pytestmark = pytest.mark.timeout(900)


@pytest.mark.parametrize("history", some(ALL, 1), ids=named)
def test_every_table_and_column_that_goes_was_read_and_nothing_else(application, history):
    application.begin()
    application.run("migrate")
    told = application.undo_without_us()
    assert Counter(read["kind"] for read in told) == history.reversible
    assert sum(bool(read["drops"]) for read in told) == history.dropping
    assert sum(bool(read["unclear"]) for read in told) == history.unclear

    undone = [read for read in told if read["gone"] is not None]
    assert len(undone) == history.undoable
    for read in undone:
        gone = {name for name in read["gone"] if name not in read["renamed"]}
        tables = {drop for drop in read["drops"] if drop in gone}
        columns = {name for name in gone if name.rpartition(".")[0] not in tables}
        assert columns == set(read["drops"]) - set(read["absent"]), read["revision"]
        assert read["kind"] == "Works" or not gone, read["revision"]
