"""Ten small revisions by the runner against bare Alembic: `python tests/bench/bench_ten_revisions.py [ROUNDS]`.

The sides take turns on one server, each round on fresh databases; medians are compared.
    ours    plan and migrate with verification: two processes of the runner, as two Jobs start them
    bare    `alembic upgrade head`
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # run as a program, not by pytest
from tests.bench.goals import at_most
from tests.integration.postgresql_server import Server, running_server
from tests.integration.projects import ENVIRONMENTS, Project, create

ROUNDS = 7
REVISIONS = 10
GOAL_SECONDS = 0.8


def main() -> None:
    """Print both sides, the ratio, and what ours adds."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    ours, bare = [], []
    with running_server() as server, tempfile.TemporaryDirectory() as folder:
        project = Project(Path(folder) / "application", "")
        shutil.copytree(ENVIRONMENTS / "url_in_the_ini", project.path)
        for number in range(1, REVISIONS + 1):
            project.revision(f"a{number}", f"a{number - 1}" if number > 1 else None, create(f"t{number}"))
        for number in range(rounds + 1):
            one, other = by_the_runner(project, server, f"ours_{number}"), by_alembic(project, server, f"bare_{number}")
            if number > 0:  # the first round compiles and warms
                ours.append(one)
                bare.append(other)
    print(f"{REVISIONS} revisions, {rounds} rounds")
    for side, seconds in (("ours", ours), ("bare", bare)):
        print(f"{side:8} median {statistics.median(seconds):6.2f} s   from {min(seconds):.2f} to {max(seconds):.2f}")
    added = statistics.median(one - other for one, other in zip(ours, bare, strict=True))
    print(
        f"    ours / bare   {statistics.median(ours) / statistics.median(bare):6.2f}   ours adds {added:.2f} s   {at_most(GOAL_SECONDS, added, ' s')}"
    )
    # Where others use the machine, the least disturbed round of each side tells more.
    print(f"    of the best   {min(ours) / min(bare):6.2f}   ours adds {min(ours) - min(bare):.2f} s")


def by_the_runner(project: Project, server: Server, name: str) -> float:
    project.url = fresh(server, name)
    started = time.perf_counter()
    plan = project.planned()
    migrated = project.run("migrate", expected=plan).result
    seconds = time.perf_counter() - started
    assert migrated.heads == (f"a{REVISIONS}",), migrated.message
    return seconds


def by_alembic(project: Project, server: Server, name: str) -> float:
    project.url = fresh(server, name)
    started = time.perf_counter()
    bare_alembic(project)
    return time.perf_counter() - started


def bare_alembic(project: Project) -> None:
    """`alembic upgrade head`, as a person would type it."""
    ini = project.path / "bare.ini"
    text = (project.path / "alembic.ini").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("sqlalchemy.url")]
    url = project.url.replace("%", "%%")
    ini.write_text("\n".join([*lines, f"sqlalchemy.url = {url}", ""]), encoding="utf-8")
    command = [sys.executable, "-m", "alembic", "--config", ini, "upgrade", "head"]
    subprocess.run(command, cwd=project.path, check=True, capture_output=True)


def fresh(server: Server, name: str) -> str:
    with server.superuser() as connection:
        connection.execute(f"CREATE DATABASE {name} OWNER shop")
    return server.url(name)


if __name__ == "__main__":
    main()
