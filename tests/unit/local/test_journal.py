"""A step's log is shown, whatever an env.py writes between the runner's lines."""

from __future__ import annotations

import json

from dbmigration.local.journal import far, statements


def write(path, *lines):
    path.write_text(
        "".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines), encoding="utf-8"
    )
    return path


def started(revision):
    return {"event": "revision-started", "revision": revision}


def applied(revision, done, of=3):
    return {"event": "revision-applied", "revision": revision, "done": done, "of": of}


def test_no_log_is_no_far(tmp_path):
    assert far(tmp_path / "log") is None


def test_the_revision_that_runs_and_how_many_are_done(tmp_path):
    assert str(far(write(tmp_path / "log", started("a1")))) == "a1 is running"
    assert (
        str(far(write(tmp_path / "log", started("a1"), applied("a1", 1), started("a2"))))
        == "a2 is running, 1 of 3 done"
    )
    assert str(far(write(tmp_path / "log", started("a1"), applied("a1", 1)))) == "a1 is done, 1 of 3 done"


def test_lines_of_others_and_broken_ones_are_passed_over(tmp_path):
    log = write(
        tmp_path / "log",
        "INFO hello",
        started("a1"),
        '{"event": "revision-applied", "revi',
        "{}",
        '["event"]',
        '{"event": 3}',
        "{" * 9000,
    )
    assert str(far(log)) == "a1 is running"


def test_a_line_of_bytes_that_are_no_text_is_passed_over(tmp_path):
    (tmp_path / "log").write_bytes(b'{"event": "\xff\xfe"}\n\xff\n' + json.dumps(started("a1")).encode() + b"\n")
    assert str(far(tmp_path / "log")) == "a1 is running"


def test_only_the_end_of_a_long_log_is_read_and_it_is_enough(tmp_path):
    log = write(tmp_path / "log", *("x" * 200 for _ in range(2000)), applied("a1", 1), started("a2"))
    assert str(far(log)) == "a2 is running, 1 of 3 done"


def test_the_sql_is_given_by_revision_and_what_has_none_says_why(tmp_path):
    log = write(
        tmp_path / "log",
        {"event": "sql", "revision": "a1", "sql": "CREATE TABLE t1 ();", "statements": 1},
        {"event": "not-renderable", "revision": "a2", "why": "it queries"},
    )
    assert statements(log) == ["-- a1\nCREATE TABLE t1 ();", "-- a2: it queries"]
