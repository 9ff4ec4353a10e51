"""The emergency restore against a bare `pg_restore -j`: `python tests/bench/bench_restore.py [ROUNDS]`.

The sides take turns on one server and one disk, and medians are compared: only the ratios mean anything.
    compared  the whole step, from its process's start to its end: the dump hashed, restored beside the database, analysed,
              counted to the row, fenced, compared row by row with what it replaces, exchanged, looked at
    outage    of that, what the application notices: from the fence to the exchange
    drained   the same by a run that was drained since before its backup: nothing was written, nothing is compared
    bare      createdb and pg_restore -j of `pg_dump -Fc`: nothing hashed, analysed, counted, compared or exchanged
    checked   the same, and sha256sum of the archive, vacuumdb --analyze-only -j, a count of each table
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # run as a program, not by pytest
from dbmigration_runner.contract.result import Outcome
from tests.bench.goals import at_most, told
from tests.bench.shops import TABLES, filled
from tests.bench.sides import Seconds, tell
from tests.integration.backups import Backups
from tests.integration.postgresql_server import CANARY, Database, Server, running_server
from tests.integration.restores import Restores, forget

ROUNDS = 5  # single restores differ by a third: of three rounds the median says little
MEGABYTES = 1500  # enough for a process's start and ANALYZE not to count


def main() -> None:
    """Print one line a side."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    with running_server() as server, tempfile.TemporaryDirectory() as folder:
        report(run(filled(server, MEGABYTES), Path(folder), rounds))


def run(database: Database, folder: Path, rounds: int) -> Seconds:
    """Seconds of each side in each round."""
    backups = Backups(database.url, folder / "backups", database.server.url("postgres", user="postgres"))
    restores = Restores(backups, backups.take())
    archive = folder / "default"
    by_hand(database.server, "pg_dump", "--format=custom", f"--file={archive}", "bench")
    seconds: Seconds = {"compared": [], "outage": [], "drained": [], "bare": [], "checked": []}
    for number in range(rounds + 1):
        found = by_a_person(database.server, archive)
        found["drained"] = restored(restores, 2 * number, nothing_written=True)["whole"]
        forget(database)
        compared = restored(restores, 2 * number + 1, nothing_written=False)
        found |= {"compared": compared["whole"], "outage": compared["outage"]}
        forget(database)
        if number > 0:  # the first round warms the server's memory
            for side, took in found.items():
                seconds[side].append(took)
    return seconds


def restored(restores: Restores, number: int, *, nothing_written: bool) -> dict[str, float]:
    """One restore, by a process of its own as in a Job: all of it, and what an application notices of it."""
    started = time.perf_counter()
    ran = restores.start(run=number, nothing_written=nothing_written).wait(600)
    took = time.perf_counter() - started
    reached = {event["stage"]: datetime.fromisoformat(event["time"]) for event in ran.events_called("restore-stage")}
    assert ran.result.outcome is Outcome.SUCCEEDED, ran.result
    return {"whole": took, "outage": (reached["swapped"] - reached["restored"]).total_seconds()}


def by_a_person(server: Server, archive: Path) -> dict[str, float]:
    """What a person would type, in a hurry and with care: the careful one's checks are what they take more."""
    jobs = f"--jobs={os.cpu_count()}"
    started = time.perf_counter()
    by_hand(server, "createdb", "bare")
    by_hand(server, "pg_restore", jobs, "--exit-on-error", "--dbname=bare", str(archive))
    restored = time.perf_counter()
    subprocess.run(["sha256sum", archive], check=True, stdout=subprocess.DEVNULL)
    by_hand(server, "vacuumdb", "--analyze-only", "--quiet", jobs, "--dbname=bare")
    for table in TABLES:
        by_hand(server, "psql", "--quiet", "--output=/dev/null", f"--command=SELECT count(*) FROM {table}", "bare")
    checked = time.perf_counter()
    with server.superuser() as connection:
        connection.execute("DROP DATABASE bare")
    return {"bare": restored - started, "checked": checked - started}


def by_hand(server: Server, program: str, *arguments: str) -> None:
    """One of PostgreSQL's programs, as the superuser."""
    address = {"PGHOST": "127.0.0.1", "PGPORT": str(server.port), "PGUSER": "postgres", "PGPASSWORD": CANARY}
    subprocess.run([server.binaries / program, *arguments], env={**os.environ, **address}, check=True)


def report(seconds: Seconds) -> None:
    """Medians and their spread, and what they are to each other."""
    goal = partial(at_most, 1.10)
    rest = (("drained", "bare", told), ("compared", "bare", told), ("outage", "bare", told))
    tell(seconds, ("drained", "checked", goal), *rest)


if __name__ == "__main__":
    main()
