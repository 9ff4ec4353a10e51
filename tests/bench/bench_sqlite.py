"""A backup of SQLite against a copy of the file: `python tests/bench/bench_sqlite.py [ROUNDS]`.

The sides take turns on one disk, and medians are compared: only the ratios mean anything.
    ours      the copy by SQLite's own backup, with SHA-256 and fsync, then read back: SHA-256, integrity_check, rows counted
    bare      cp and fsync, which is no backup while somebody writes
    checked   the same, and PRAGMA integrity_check of the copy: what a careful person would type
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # run as a program, not by pytest
from dbmigration_runner.checks.backup import verify_dump, write_dump
from dbmigration_runner.contract.task import BackupOrder, DatabaseAccess, RunIdentity, StepKind, Task
from dbmigration_runner.engines import engine_for
from dbmigration_runner.engines.dump import dump_for
from tests.bench.goals import at_most, told
from tests.bench.sides import Seconds, in_turns, tell

ROUNDS = 5
ROWS = """
PRAGMA journal_mode = WAL;
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER NOT NULL, note TEXT, total NUMERIC);
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 4000000)
INSERT INTO orders SELECT i, abs(random()) % 100000, hex(randomblob(16)) || ' words on order ' || i, i / 7.0 FROM n;
CREATE INDEX orders_customer ON orders (customer);
"""


def main() -> None:
    """Print one line a side."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "shop.sqlite")
        with sqlite3.connect(source) as connection:
            connection.executescript(ROWS)
        connection.close()
        print(f"an SQLite database of {source.stat().st_size / 1e6:.0f} MB, {rounds} rounds")
        tell(run(source, rounds), ("ours", "checked", partial(at_most, 1.4)), ("ours", "bare", told))


def run(source: Path, rounds: int) -> Seconds:
    """Seconds of each side in each round."""
    engine = engine_for(f"sqlite:///{source}")
    order = BackupOrder(str(source.parent), "ours")
    task = Task(
        StepKind.BACKUP, "bench", RunIdentity("bench", "bench", "0", 1, 1), DatabaseAccess(""), 3600, backup=order
    )
    lock = engine.lock(exclusive=True, should_stop=lambda: None, wait_seconds=1)
    dump = dump_for(engine, None, lock)
    copy, target = source.with_name("copy"), source.with_name("ours.partial")

    def ours() -> None:
        target.unlink(missing_ok=True)
        verify_dump(dump, write_dump(task, dump, target, lambda: None), lambda: None)

    sides: dict[str, Callable[[], object]] = {
        "ours": ours,
        "bare": lambda: copied(source, copy),
        "checked": lambda: (copied(source, copy), checked(copy)),
    }
    seconds = in_turns(sides, rounds)
    lock.release()
    return seconds


def copied(source: Path, copy: Path) -> None:
    """What a person would type."""
    shutil.copyfile(source, copy)
    with copy.open("rb") as file:
        os.fsync(file.fileno())


def checked(copy: Path) -> None:
    """Is it whole?"""
    connection = sqlite3.connect(copy)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()


if __name__ == "__main__":
    main()
