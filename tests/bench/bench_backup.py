"""A backup against the bare tools: `python tests/bench/bench_backup.py [ROUNDS]`.

The sides take turns (A B C A B C …) on one server and one disk, and medians are compared: only the ratios mean anything.
    ours      dump with SHA-256, fsync and the snapshot's catalog
    bare      pg_dump with the same options, through zstd -1 where pg_dump cannot compress so itself, synced
    default   pg_dump --format=custom as it comes
    verify    reading ours back: SHA-256, decoding, counting rows
Then the same of MariaDB, see mariadb_backup.py.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from dbmigration_runner.checks.backup import verify_dump, write_dump
from dbmigration_runner.contract.task import BackupOrder, DatabaseAccess, RunIdentity, StepKind, Task
from dbmigration_runner.engines import engine_for
from dbmigration_runner.engines.postgresql_dump import LOCK_WAIT_MILLISECONDS, PostgreSQLDump, dump_for
from dbmigration_runner.engines.postgresql_tools import choose, installed, libpq, password_file

sys.path.insert(0, str(Path(__file__).parents[2]))  # run as a program, not by pytest
from tests.bench import mariadb_backup
from tests.bench.goals import at_least, at_most
from tests.bench.shops import filled
from tests.bench.sides import Seconds, in_turns, tell
from tests.integration.postgresql_server import running_server

ROUNDS = 5
MEGABYTES = 390


def main() -> None:
    """Print one line a side."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    with running_server() as postgres, tempfile.TemporaryDirectory() as folder:
        filled(postgres, MEGABYTES)
        tell(
            run(postgres.url("bench"), Path(folder), rounds),
            ("ours", "bare", partial(at_most, 1.03)),
            ("default", "ours", partial(at_least, 6)),
            ("verify", "ours", partial(at_most, 0.25)),
        )
    mariadb_backup.measure(rounds)


def run(url: str, folder: Path, rounds: int) -> Seconds:
    """Seconds of each side in each round."""
    engine = engine_for(url)
    tools = choose(installed(), 18, encrypted=False)
    task = Task(
        StepKind.BACKUP, "bench", RunIdentity("bench", "bench", "0", 1, 1), DatabaseAccess(""), 3600,
        backup=BackupOrder(str(folder), "ours"),
    )  # fmt: skip
    lock = engine.lock(exclusive=True, should_stop=lambda: None, wait_seconds=1)
    dump = dump_for(engine, None, lock)
    ours = folder / f"ours{dump.suffix}.partial"  # the name tells how it is compressed
    assert isinstance(dump, PostgreSQLDump)
    kept: dict[str, Any] = {}

    def dump_ours() -> None:
        ours.unlink(missing_ok=True)
        kept["written"] = write_dump(task, dump, ours, lambda: None)

    with password_file(engine.url) as password:
        environment = {**libpq(engine.url, "bench"), **password}
        sides: dict[str, Callable[[], object]] = {
            "ours": dump_ours,
            "bare": lambda: bare(tools.pg_dump, environment, folder, has_zstd=tools.has_zstd),
            "default": lambda: synced([tools.pg_dump, "--format=custom"], environment, folder / "default"),
            "verify": lambda: verify_dump(dump, kept["written"], lambda: None),
        }
        seconds = in_turns(sides, rounds, seldom=("default",))
    lock.release()
    print(
        f"stored: ours {ours.stat().st_size / 1e6:.0f} MB, default {(folder / 'default').stat().st_size / 1e6:.0f} MB"
    )
    return seconds


def bare(pg_dump: str, environment: dict[str, str], folder: Path, *, has_zstd: bool) -> None:
    """What a person would type for the same file."""
    options = ["--format=custom", f"--lock-wait-timeout={LOCK_WAIT_MILLISECONDS}"]
    if has_zstd:
        synced([pg_dump, *options, "--compress=zstd:1"], environment, folder / "bare")
        return
    target = folder / "bare"
    with target.open("wb") as file:
        dumping = subprocess.Popen([pg_dump, *options, "--compress=0"], env=environment, stdout=subprocess.PIPE)
        subprocess.run(["zstd", "-1", "-T2", "-q", "-c"], stdin=dumping.stdout, stdout=file, check=True)
        os.fsync(file.fileno())
    assert dumping.wait() == 0


def synced(command: list[str], environment: dict[str, str], target: Path) -> None:
    """Run it into a file."""
    with target.open("wb") as file:
        subprocess.run(command, env=environment, stdout=file, check=True)
        os.fsync(file.fileno())


if __name__ == "__main__":
    main()
