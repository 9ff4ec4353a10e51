"""The end of a log says how far a step is, whatever else stands there."""

from __future__ import annotations

import pytest

from dbmigration.cluster.progress import last_progress

LOGS = {
    "nothing of ours": ("INFO [alembic] Running upgrade -> 1\n{not json\n[1]\n", ""),
    "the first revision runs": ('{"event": "revision-started", "revision": "1a"}', "1a is running"),
    "one is done": ('{"event": "revision-applied", "revision": "1a", "done": 1, "of": 3}', "1a is done, 1 of 3 done"),
    "the second runs": (
        '{"event": "revision-applied", "revision": "1a", "done": 1, "of": 3}\nnoise\n{"event": "revision-started", "revision": "1b"}',
        "1b is running, 1 of 3 done",
    ),
    "hostile": ('{"event": "revision-started", "revision": "' + "x" * 500 + '\\u0000\\n"}', "x" * 127 + "…"),
}


@pytest.mark.parametrize("case", LOGS)
def test_the_last_progress_is_told(case):
    log, told = LOGS[case]

    assert last_progress(log) == told
