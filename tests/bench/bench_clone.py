"""The way back from a clone, at two sizes: `python tests/bench/bench_clone.py [ROUNDS]`.

    clone     the whole restore step that takes the clone, from its process's start to its end
    outage    of that, what the application would notice that is not drained: from the clone in hand to the exchange
    renames   two ALTER DATABASE … RENAME by psql, which is all that is left to be done
Both sides take turns on one server. What counts is that neither grows with the database.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # run as a program, not by pytest
from dbmigration_runner.contract.result import Outcome
from tests.bench.bench_restore import by_hand, restored
from tests.bench.goals import at_most, told
from tests.bench.shops import filled
from tests.bench.sides import Seconds, tell
from tests.integration.backups import Backups
from tests.integration.postgresql_server import Database, running_server
from tests.integration.restores import Restores, forget

ROUNDS = 3
SIZES = (100, 1000)  # megabytes


def main() -> None:
    """Print one line a side and size, and how flat it is."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    medians = []
    for size in SIZES:
        with running_server() as server, tempfile.TemporaryDirectory() as folder:
            seconds = run(filled(server, size), Path(folder), rounds)
        tell(seconds, ("clone", "renames", told))
        medians.append(statistics.median(seconds["clone"]))
        print(f"  a restore of {medians[-1]:.2f} s   {at_most(2, medians[-1], ' s')}")
    growth = medians[-1] / medians[0]
    print(f"  {SIZES[-1]} / {SIZES[0]} MB {growth:6.3f}   {at_most(1.25, growth)}")


def run(database: Database, folder: Path, rounds: int) -> Seconds:
    """Seconds of each side in each round."""
    backups = Backups(database.url, folder / "backups", database.server.url("postgres", user="postgres"))
    seconds: Seconds = {"clone": [], "outage": [], "renames": []}
    for number in range(rounds + 1):
        name = f"backup-{number}"
        ran = Restores(backups, backups.take()).start(task=backups.task(name, clone=True)).wait(600)
        assert ran.result.outcome is Outcome.SUCCEEDED, ran.result
        assert not ran.result.warnings, ran.result.warnings
        back = restored(Restores(backups, ran.result.backup), number, nothing_written=True)
        forget(database)
        found = {"clone": back["whole"], "outage": back["outage"], "renames": renamed(database)}
        if number > 0:  # the first round warms the server's memory
            for side in seconds:
                seconds[side].append(found[side])
    return seconds


def renamed(database: Database) -> float:
    """What a person would type, with a database that stands for the clone; undone when the time is taken."""
    by_hand(database.server, "createdb", "beside")
    renames = [f"ALTER DATABASE {database.name} RENAME TO kept", f"ALTER DATABASE beside RENAME TO {database.name}"]
    started = time.perf_counter()
    by_hand(database.server, "psql", "--quiet", *(f"--command={rename}" for rename in renames), "postgres")
    took = time.perf_counter() - started
    by_hand(database.server, "dropdb", database.name)
    back = f"ALTER DATABASE kept RENAME TO {database.name}"
    by_hand(database.server, "psql", "--quiet", f"--command={back}", "postgres")
    return took


if __name__ == "__main__":
    main()
