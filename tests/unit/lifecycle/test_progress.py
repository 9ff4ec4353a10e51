"""The end of a log says how far a step is, whatever else stands there."""

from __future__ import annotations

import pytest

from dbmigration.lifecycle.progress import CHARACTERS, progress

STARTED = '{"event": "revision-started", "revision": "1a"}'
APPLIED = '{"event": "revision-applied", "revision": "1a", "done": 1, "of": 3}'
WRITING = '{"event": "backup-progress", "doing": "writing", "bytes": 1610612736, "of": null}'
READING = '{"event": "backup-progress", "doing": "reading back", "bytes": 1073741824, "of": 2147483648}'
LOGS = {
    "the first revision runs": ([STARTED], "1a is running"),
    "one is done": ([APPLIED], "1a is done, 1 of 3 done"),
    "it ran before it was done": ([STARTED, APPLIED], "1a is done, 1 of 3 done"),
    "the second runs": (
        [APPLIED, "noise", '{"event": "revision-started", "revision": "1b"}'],
        "1b is running, 1 of 3 done",
    ),
    "a backup is written": ([WRITING], "writing, 1.5 GiB"),
    "a backup is read back": ([WRITING, READING], "reading back, 50 % of 2.0 GiB"),
}


@pytest.mark.parametrize("case", LOGS)
def test_the_last_progress_is_told(case):
    lines, told = LOGS[case]
    assert str(progress(lines)) == told


def test_what_is_not_the_runners_is_no_progress():
    lines = ["INFO [alembic] Running upgrade -> 1", "{not json", "[1]", "{}", '["event"]', '{"event": 3}', "{" * 9000]
    assert progress(lines) is None


def test_a_hostile_revision_is_one_short_line():
    told = str(progress(['{"event": "revision-started", "revision": "a\\n\\u0000' + "x" * 500 + '"}']))
    assert told.isprintable()
    assert len(told) == CHARACTERS
    assert told.endswith("…")
