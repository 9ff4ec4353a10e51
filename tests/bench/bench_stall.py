"""How long the application stands still behind our DDL: `python tests/bench/bench_stall.py [ROUNDS]`.

One reader holds the table for five seconds; the migration wants to alter it; the application goes on reading, every 10 ms.
The longest of its reads is what its users feel. The sides take turns on one server.
    ours    the runner's migrate step: a short lock timeout, tried again
    bare    `alembic upgrade head`
"""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # run as a program, not by pytest
from tests.bench.bench_ten_revisions import bare_alembic, fresh
from tests.bench.goals import at_most
from tests.integration.postgresql_server import Server, running_server
from tests.integration.projects import ENVIRONMENTS, Project, create

ROUNDS = 3
GOAL = 0.03
HELD_SECONDS = 5.0


def main() -> None:
    """Print the longest stall of each side and the ratio."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    ours, bare = [], []
    with running_server() as server, tempfile.TemporaryDirectory() as folder:
        project = Project(Path(folder) / "application", "")
        shutil.copytree(ENVIRONMENTS / "url_in_the_ini", project.path)
        project.revision("a1", None, create("orders"))
        project.revision("a2", "a1", 'op.add_column("orders", sa.Column("total", sa.Integer))')
        for number in range(rounds):
            ours.append(stall(project, server, f"ours_{number}", lambda: project.run("migrate")))
            bare.append(stall(project, server, f"bare_{number}", lambda: bare_alembic(project)))
    for side, seconds in (("ours", ours), ("bare", bare)):
        print(f"{side:8} longest read, median {statistics.median(seconds) * 1000:7.0f} ms")
    ratio = statistics.median(ours) / statistics.median(bare)
    print(f"    ours / bare   {ratio:6.3f}   {at_most(GOAL, ratio)}")


def stall(project: Project, server: Server, name: str, migrate: Callable[[], object]) -> float:
    """The longest read, in seconds, while the last revision is applied."""
    project.url = fresh(server, name)
    first = project.run("migrate", migrations={"target": "a1"}).result
    assert first.heads == ("a1",), first.message
    longest, over = 0.0, threading.Event()

    def read() -> None:
        nonlocal longest
        with server.superuser(name) as application:
            while not over.is_set():
                started = time.perf_counter()
                application.execute("SELECT count(*) FROM orders")
                longest = max(longest, time.perf_counter() - started)
                time.sleep(0.01)

    holding = threading.Thread(target=hold, args=(server, name))
    reading = threading.Thread(target=read)
    holding.start()
    time.sleep(0.2)
    reading.start()
    migrate()
    over.set()
    reading.join()
    holding.join()
    return longest


def hold(server: Server, name: str) -> None:
    """A report that reads the table for a while."""
    with server.superuser(name) as reader, reader.transaction():
        reader.execute("SELECT count(*) FROM orders")
        time.sleep(HELD_SECONDS)


if __name__ == "__main__":
    main()
