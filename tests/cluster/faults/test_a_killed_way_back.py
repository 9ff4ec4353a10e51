"""The Pods of a downgrade and of a restore die at each of their stages: nobody stays shut out, and the next attempt comes to the end.

A restore closes the database to everybody and exchanges it for another one. Were a lost one not found again by what it left
there, the application would stay away, or a database of neither state be in its place.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from tests.cluster.access import eventually
from tests.cluster.faults.conftest import Rig
from tests.cluster.faults.histories import SLOW_EMERGENCY
from tests.cluster.faults.runs import Run
from tests.cluster.inmates import inmates, kill
from tests.cluster.operator.stage import Server
from tests.sampling import IS_SOAK

_COMMENTS = "LOCK TABLE pg_catalog.pg_shdescription IN {mode} MODE"
_WAITS = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '{query}'"
_COPYING = "SELECT pid FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX ix_slow%' AND state = 'active'"


def delete(run: Run, step: str) -> None:
    """Force its deletion, as for a node that does not answer."""
    run.stage.namespace.kubectl("delete", "pod", pod(run, step, "name"), "--grace-period=0", "--force")


def shoot(run: Run, step: str) -> None:
    """SIGKILL for its program, as a kernel without memory does."""
    kill(pod(run, step, "uid"), lambda inmate: inmate.pid_inside == 1 and b"python" in inmate.command)


Murder = Callable[[Run, str], None]


def pod(run: Run, step: str, field: str) -> str:
    """Of the newest attempt."""
    newest = ("--sort-by=.metadata.creationTimestamp", "--output", f"jsonpath={{.items[-1:].metadata.{field}}}")
    selected = f"dbmigration.io/step={step},dbmigration.io/migration={run.name}"
    return run.stage.namespace.kubectl("get", "pods", "--selector", selected, *newest)


def copies(run: Run, but: str = "") -> str:
    """Wait until a restore copies, another one than `but`; gives the session that does."""
    server = run.stage.server
    return eventually(
        lambda: next((pid for pid in server.psql(_COPYING).split() if pid != but), ""), "A copy", timeout=90
    )


@contextmanager
def sitting(run: Run) -> Iterator[Callable[[], None]]:
    """Within, a client's session neither goes nor answers, so that a fence stands and waits for it; gives its end."""
    server, name = run.stage.server, run.stage.database
    psql = ("psql", "--username", run.stage.role, "--host", "/tmp", "--no-psqlrc", "--dbname", name)
    uid = server.namespace.kubectl(
        "get", "pods", "--selector", "app=postgresql", "--output", "jsonpath={.items[0].metadata.uid}"
    )
    with server.namespace.start("exec", "--stdin", "deploy/postgresql", "--", *psql) as session:
        found = f"SELECT pid FROM pg_stat_activity WHERE datname = '{name}' AND application_name = 'psql' AND usename = '{run.stage.role}'"
        inside = int(eventually(lambda: server.psql(found), "A client's session"))
        (there,) = (inmate for inmate in inmates(uid) if inmate.pid_inside == inside)
        os.kill(there.pid, signal.SIGSTOP)
        try:
            yield lambda: os.kill(there.pid, signal.SIGCONT)
        finally:
            with suppress(ProcessLookupError):  # it was let go, and the fence ended it
                os.kill(there.pid, signal.SIGCONT)
            session.terminate()


@contextmanager
def slow_to_connect(server: Server) -> Iterator[None]:
    """Whoever opens a session waits, so that a restore stands behind its exchange, where it looks at the database anew."""
    server.psql("ALTER SYSTEM SET post_auth_delay = '10s';\nSELECT pg_reload_conf()")
    try:
        yield
    finally:
        server.psql("ALTER SYSTEM RESET post_auth_delay;\nSELECT pg_reload_conf()")


def kill_at(run: Run, place: str, murder: Murder) -> None:
    """Kill the restore that copies now when it has come there; nothing of what held it up is left."""
    server = run.stage.server
    is_closed = f"SELECT datallowconn FROM pg_database WHERE datname = '{run.stage.database}'"
    with sitting(run) as let_go:
        eventually(lambda: server.psql(is_closed) == "f", "The fence", timeout=60)
        match place:
            case "fenced":
                murder(run, "restore")
            case "compared" | "exchanging":
                mode, query = (
                    ("ACCESS EXCLUSIVE", "%shobj_description%") if place == "compared" else ("SHARE", "COMMENT%")
                )
                with server.holding(_COMMENTS.format(mode=mode), "postgres"):
                    let_go()
                    eventually(lambda: server.psql(_WAITS.format(query=query)) != "0", f"A restore that is {place}")
                    assert server.psql(is_closed) == "f"
                    murder(run, "restore")
            case "exchanged":
                name = pod(run, "restore", "name")
                with slow_to_connect(server):
                    let_go()
                    eventually(lambda: '"swapped"' in run.stage.namespace.kubectl("logs", name), "The exchange")
                    murder(run, "restore")


def kill_first(run: Run, stage: str, murder: Murder) -> None:
    """The run's first loss; returns when its restore copies."""
    if stage == "downgrade":
        run.wait_until_asleep()
        murder(run, "downgrade")
        copies(run)
    else:
        before = copies(run)
        murder(run, "restore")
        copies(run, but=before)


_ALWAYS = [("copy", "exchanging", delete), ("downgrade", "exchanged", shoot)]
_IN_A_SOAK = [("copy", "fenced", shoot), ("copy", "compared", delete), ("downgrade", "exchanging", shoot)]
CASES = [*_ALWAYS, *(_IN_A_SOAK if IS_SOAK else [])]
# Of three attempts the first one's Job is not kept.
STEPS = {
    "copy": ["plan", "backup", "migrate", "downgrade", "restore", "restore"],
    "downgrade": ["plan", "backup", "migrate", "downgrade", "look", "downgrade", "restore", "restore"],
}
RESTORES = {"copy": ["Lost", "Lost", "Succeeded"], "downgrade": ["Lost", "Succeeded"]}


@pytest.mark.parametrize(("first", "place", "murder"), CASES)
def test_killed_twice_on_its_way_back_a_run_comes_to_its_end_and_nothing_stays(
    rig: Rig, first: str, place: str, murder: Murder
):
    run = Run(rig.stage, "run", SLOW_EMERGENCY)
    run.start()
    kill_first(run, first, murder)
    kill_at(run, place, murder)
    run.wait_for_end(240)
    rig.rested()
    status = run.check()
    assert run.steps() == STEPS[first]
    assert [step["state"] for step in status["steps"] if step["name"] == "restore"] == RESTORES[first]
