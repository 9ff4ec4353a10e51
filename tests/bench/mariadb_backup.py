"""A backup of MariaDB against what everybody types, on one server and one disk; the server shares the processors.

ours      several mariadb-dump into one archive, with SHA-256, fsync, and the schema read before and after
gzip      mysqldump | gzip, synced
zstd      mysqldump | zstd -1 -T2, synced: what one program alone can do
verify    reading ours back: SHA-256, decoding, counting rows
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from dbmigration_runner.checks.backup import verify_dump, write_dump
from dbmigration_runner.contract.task import BackupOrder, DatabaseAccess, RunIdentity, StepKind, Task
from dbmigration_runner.engines import engine_for
from dbmigration_runner.engines.dump import dump_for
from dbmigration_runner.engines.mysql_tools import option_file
from tests.bench.goals import at_least, at_most
from tests.bench.sides import Seconds, in_turns, tell
from tests.integration.mariadb_server import MariaDatabase, fresh_database, running_mariadb

PER_PROCESSOR = 2  # zstd takes a quarter of gzip's time, the server about as much again
SETTINGS = {"innodb-buffer-pool-size": "768M", "innodb-log-file-size": "256M"}
ROWS = """
CREATE TABLE orders (id bigint PRIMARY KEY AUTO_INCREMENT, customer int NOT NULL, note varchar(200), total decimal(10,2));
INSERT INTO orders (customer, note, total)
SELECT rand(1) * 100000, concat(md5(seq), ' words on order ', seq), rand(2) * 1000 FROM seq_1_to_2000000;
CREATE TABLE events (id bigint PRIMARY KEY AUTO_INCREMENT, kind int, payload text);
INSERT INTO events (kind, payload)
SELECT seq % 7, concat('{"user": ', floor(rand(3) * 1000000), ', "path": "/item/', seq, '"}') FROM seq_1_to_1000000;
ANALYZE TABLE orders, events;
"""


def measure(rounds: int) -> None:
    """Print one line a side."""
    with (
        running_mariadb(SETTINGS) as server,
        fresh_database(server, "bench") as database,
        tempfile.TemporaryDirectory() as folder,
    ):
        for statement in ROWS.split(";\n")[:-1]:
            database.ask(statement)
        asked = "SELECT sum(DATA_LENGTH) / 1000000 FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'bench'"
        print(f"a MariaDB database of {database.ask(asked)[0][0]:.0f} MB, {rounds} rounds")
        tell(
            run(database, Path(folder), rounds),
            ("gzip", "ours", partial(at_least, min(8, PER_PROCESSOR * (os.cpu_count() or 1)))),
            ("zstd", "ours", partial(at_least, 1)),
            ("verify", "ours", partial(at_most, 0.5)),
        )


def run(database: MariaDatabase, folder: Path, rounds: int) -> Seconds:
    """Seconds of each side in each round."""
    engine = engine_for(database.url)
    order = BackupOrder(str(folder), "ours")
    task = Task(
        StepKind.BACKUP, "bench", RunIdentity("bench", "bench", "0", 1, 1), DatabaseAccess(""), 3600, backup=order
    )
    lock = engine.lock(exclusive=True, should_stop=lambda: None, wait_seconds=1)
    dump = dump_for(engine, None, lock)
    ours = folder / f"ours{dump.suffix}"
    kept: dict[str, Any] = {}

    def dump_ours() -> None:
        ours.unlink(missing_ok=True)
        kept["written"] = write_dump(task, dump, ours, lambda: None)

    with option_file(engine.url) as options:
        sides: dict[str, Callable[[], object]] = {
            "ours": dump_ours,
            "gzip": lambda: piped(options, ["gzip"], folder / "gzip"),
            "zstd": lambda: piped(options, ["zstd", "-1", "-T2", "-q", "-c"], folder / "zstd"),
            "verify": lambda: verify_dump(dump, kept["written"], lambda: None),
        }
        seconds = in_turns(sides, rounds)
    lock.release()
    sizes = (f"{path.name} {path.stat().st_size / 1e6:.0f} MB" for path in (ours, folder / "gzip", folder / "zstd"))
    print(f"stored: {', '.join(sizes)}")
    return seconds


def piped(options: str, compressor: list[str], target: Path) -> None:
    """What a person would type, synced."""
    command = ["mariadb-dump", f"--defaults-file={options}", "--single-transaction", "--quick", "bench"]
    with target.open("wb") as file:
        dumping = subprocess.Popen(command, stdout=subprocess.PIPE)
        subprocess.run(compressor, stdin=dumping.stdout, stdout=file, check=True)
        os.fsync(file.fileno())
    assert dumping.wait() == 0
