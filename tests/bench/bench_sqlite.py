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
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # run as a program, not by pytest
from dbmigration_runner.checks.backup import verify_dump, write_dump
from dbmigration_runner.contract.task import BackupOrder, DatabaseAccess, RunIdentity, StepKind, Task
from dbmigration_runner.engines import engine_for
from dbmigration_runner.engines.dump import dump_for
from tests.bench.goals import at_most

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
        report(run(source, rounds))


def run(source: Path, rounds: int) -> dict[str, list[float]]:
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
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    for number in range(rounds + 1):
        for side, act in sides.items():
            started = time.perf_counter()
            act()
            if number > 0:  # the first round warms the machine's memory
                seconds[side].append(time.perf_counter() - started)
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


def report(seconds: dict[str, list[float]]) -> None:
    """Medians and their spread, and what they are to each other."""
    medians = {side: statistics.median(times) for side, times in seconds.items()}
    for side, times in seconds.items():
        print(f"{side:8} median {medians[side]:6.2f} s   from {min(times):.2f} to {max(times):.2f}")
    for other in ("bare", "checked"):
        ratio, best = medians["ours"] / medians[other], min(seconds["ours"]) / min(seconds[other])
        print(f"    ours / {other:8} {ratio:6.3f}   of the best {best:6.3f}   {at_most(1.4, ratio)}")


if __name__ == "__main__":
    main()
