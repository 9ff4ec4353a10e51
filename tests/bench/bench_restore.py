"""The emergency restore against a bare `pg_restore -j`: `python tests/bench/bench_restore.py [ROUNDS]`.

The sides take turns on one server and one disk, and medians are compared: only the ratios mean anything.
    ours      the whole step, from its process's start to its end: the dump hashed, restored beside the database, analysed,
              verified to the row, fenced, compared row by row with what it replaces, exchanged, looked at
    outage    of that, what the application notices: from the fence to the exchange
    bare      createdb and pg_restore -j of `pg_dump -Fc`: nothing hashed, analysed, verified, compared or exchanged
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # run as a program, not by pytest
from dbmigration_runner.contract.result import Outcome
from tests.bench.bench_backup import ROWS
from tests.bench.goals import at_most
from tests.integration.backups import Backups
from tests.integration.postgresql_server import CANARY, Database, Server, running_server
from tests.integration.restores import Restores, forget

ROUNDS = 3
HEADS = "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY); INSERT INTO alembic_version VALUES ('a1');"


def main() -> None:
    """Print one line a side."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    with running_server() as server, tempfile.TemporaryDirectory() as folder:
        database = Database(server, "bench")
        with server.superuser() as connection:
            connection.execute("CREATE DATABASE bench OWNER shop")
        database.ask(HEADS + ROWS)
        database.ask("ALTER TABLE alembic_version OWNER TO shop")
        size = database.ask("SELECT pg_database_size('bench') / 1000000")[0][0]
        print(f"a database of {size} MB, {rounds} rounds")
        report(run(database, Path(folder), rounds))


def run(database: Database, folder: Path, rounds: int) -> dict[str, list[float]]:
    """Seconds of each side in each round."""
    backups = Backups(database.url, folder / "backups", database.server.url("postgres", user="postgres"))
    restores = Restores(backups, backups.take())
    archive = folder / "default"
    by_hand(database.server, "pg_dump", "--format=custom", f"--file={archive}", "bench")
    seconds: dict[str, list[float]] = {"ours": [], "outage": [], "bare": []}
    for number in range(rounds + 1):
        found = {**ours(restores, number), "bare": bare(database.server, archive)}
        forget(database)
        if number > 0:  # the first round warms the server's memory
            for side, took in found.items():
                seconds[side].append(took)
    return seconds


def ours(restores: Restores, number: int) -> dict[str, float]:
    """One restore, by a process of its own as in a Job."""
    started = time.perf_counter()
    ran = restores.start(run=number).wait(600)
    took = time.perf_counter() - started
    reached = {event["stage"]: datetime.fromisoformat(event["time"]) for event in ran.events_called("restore-stage")}
    assert ran.result.outcome is Outcome.SUCCEEDED, ran.result
    outage = reached["swapped"] - reached["restored"]
    return {"ours": took, "outage": outage.total_seconds()}


def bare(server: Server, archive: Path) -> float:
    """What a person would type, into a database that is there for it."""
    started = time.perf_counter()
    by_hand(server, "createdb", "bare")
    by_hand(server, "pg_restore", f"--jobs={os.cpu_count()}", "--exit-on-error", "--dbname=bare", str(archive))
    took = time.perf_counter() - started
    with server.superuser() as connection:
        connection.execute("DROP DATABASE bare")
    return took


def by_hand(server: Server, program: str, *arguments: str) -> None:
    """One of PostgreSQL's programs, as the superuser."""
    address = {"PGHOST": "127.0.0.1", "PGPORT": str(server.port), "PGUSER": "postgres", "PGPASSWORD": CANARY}
    subprocess.run([server.binaries / program, *arguments], env={**os.environ, **address}, check=True)


def report(seconds: dict[str, list[float]]) -> None:
    """Medians and their spread, and what they are to each other."""
    medians = {side: statistics.median(times) for side, times in seconds.items()}
    for side, times in seconds.items():
        print(f"{side:8} median {medians[side]:6.2f} s   from {min(times):.2f} to {max(times):.2f}")
    for one, goal in (("ours", at_most(1.10, medians["ours"] / medians["bare"])), ("outage", "no goal: told only")):
        ratio, best = medians[one] / medians["bare"], min(seconds[one]) / min(seconds["bare"])
        print(f"{one:>8} / bare {ratio:6.3f}   of the best {best:6.3f}   {goal}")


if __name__ == "__main__":
    main()
