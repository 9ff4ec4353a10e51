"""The end of a log says how far a step is, whatever else stands there."""

from __future__ import annotations

import pytest

from dbmigration.lifecycle.progress import CHARACTERS, progress

STARTED = '{"event": "revision-started", "revision": "1a"}'
NEXT = '{"event": "revision-started", "revision": "1b"}'
LOCKED = (
    '{"event": "lock-timeout", "revision": "1a", "tries": 1, "retry_for_seconds": 600, "statement": "ALTER TABLE t1"}'
)
APPLIED = '{"event": "revision-applied", "revision": "1a", "done": 1, "of": 3}'
WRITING = '{"event": "backup-progress", "doing": "writing", "bytes": 1610612736, "of": null}'
READING = '{"event": "backup-progress", "doing": "reading back", "bytes": 1073741824, "of": 2147483648}'
LOGS = {
    "the first revision runs": ([STARTED], "1a is running"),
    "one is done": ([APPLIED], "1a is done, 1 of 3 done"),
    "it ran before it was done": ([STARTED, APPLIED], "1a is done, 1 of 3 done"),
    "the second runs": (
        [APPLIED, "noise", NEXT],
        "1b is running, 1 of 3 done",
    ),
    "a lock was not to be had": ([STARTED, LOCKED], "1a waits for a lock, tried once, for up to 600 s: ALTER TABLE t1"),
    "one was had, and another one not": (
        [APPLIED, NEXT, '{"event": "lock-timeout", "revision": "1b", "tries": 12, "retry_for_seconds": 600}'],
        "1b waits for a lock, tried 12 times, for up to 600 s, 1 of 3 done",
    ),
    "what was done went back with the try": (
        [APPLIED, NEXT, '{"event": "lock-timeout", "revision": "1b", "tries": 1, "retry_for_seconds": 9, "done": 0}'],
        "1b waits for a lock, tried once, for up to 9 s, 0 of 3 done",
    ),
    "a lock was in the way of the version table": (
        ['{"event": "lock-timeout", "revision": null, "tries": 2, "retry_for_seconds": 600, "statement": null}'],
        "env.py waits for a lock, tried 2 times, for up to 600 s",
    ),
    "it is tried again": ([STARTED, LOCKED, STARTED], "1a is tried again, once without its lock so far"),
    "what is before it is tried again": ([STARTED, LOCKED.replace("1a", "1b"), STARTED], "1a is running"),
    "it is done in the end": ([STARTED, LOCKED, STARTED, APPLIED, NEXT], "1b is running, 1 of 3 done"),
    "its statement had the lock": ([STARTED, LOCKED, '{"event": "lock-granted", "revision": "1a"}'], "1a is running"),
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
