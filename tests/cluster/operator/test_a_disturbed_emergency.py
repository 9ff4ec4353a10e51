"""A restore that is disturbed: by who scales the application back, by an edit, by the resource's deletion.

The restore is slow: an index of the backup calls a function that sleeps. All the while Kubernetes' own autoscaler looks after the
application, which neither keeps it from being stopped nor from coming back. Whatever comes, replicas return, no fence stays,
and the database is the old one or the restored one.
"""

from __future__ import annotations

import pytest

from tests.cluster.access import Cluster, eventually
from tests.cluster.embedded import catalog
from tests.cluster.operator.history import Revision
from tests.cluster.operator.idlers import Idler
from tests.cluster.operator.stage import Stage

SLOW = (
    "op.execute('CREATE FUNCTION public.slow(text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS "
    "$$ BEGIN PERFORM pg_sleep(6); RETURN $1; END $$')\n"
    'op.execute("CREATE TABLE orders (id bigserial PRIMARY KEY, note text)")\n'
    "op.execute(\"INSERT INTO orders (note) VALUES ('first')\")\n"
    'op.execute("CREATE INDEX ix_slow ON orders (public.slow(note))")'
)
ORDERS = Revision("r1", SLOW)
TOTAL = Revision("r2", 'op.add_column("orders", sa.Column("total", sa.Numeric))', "r1", undo='raise RuntimeError("no")')
BROKEN = Revision("r3", 'op.execute("SELECT 1 / 0")', "r2")
REPLICAS = 2


@pytest.fixture
def web(stage: Stage, cluster: Cluster, request: pytest.FixtureRequest) -> Idler:
    """The first release is there, with a Deployment that is autoscaled; the second one fails, and its restore has begun."""
    web = Idler(stage.namespace, cluster.image(catalog.TOOLS), name="web", replicas=REPLICAS)
    web.start()
    web.autoscale()
    stage.scripts(ORDERS)
    stage.apply()
    stage.succeeded()
    stage.scripts(ORDERS, TOTAL, BROKEN, name="scripts-2")
    stage.spec |= {
        "migrations": {"source": {"configMap": {"name": "scripts-2"}}},
        "drain": {"workloads": [web.drain], "when": getattr(request, "param", "OnRestore")},
        "rollback": {"onFailure": "Restore"},
    }
    eventually(lambda: is_autoscaled(web), "An autoscaler at work")
    stage.apply()
    copying = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX ix_slow%' AND state = 'active'"
    eventually(lambda: stage.server.psql(copying) == "1", "A restore at work", timeout=180)
    assert web.size[0] == 0
    return web


def is_autoscaled(web: Idler) -> bool:
    """Does the autoscaler take it for its own? It leaves alone what has no replicas."""
    said = web.autoscaler_says()
    return bool(said) and "ScalingDisabled" not in said


def is_whole_and_open(stage: Stage, heads: list[str]) -> None:
    """At these heads, with its row, open to everybody, and no copy of it left over."""
    assert stage.heads() == heads
    assert stage.psql("SELECT note FROM orders") == "first"
    row = f"SELECT datallowconn, datconnlimit FROM pg_database WHERE datname = '{stage.database}'"
    assert stage.server.psql(row) == "t|-1"
    copies = "SELECT count(*) FROM pg_database WHERE datname LIKE 'dbmigration_restore%'"
    eventually(lambda: stage.server.psql(copies) == "0", "The end of the copy")


def ends_rolled_back(stage: Stage, web: Idler) -> None:
    generation = stage.resource()["status"]["run"]["generation"]
    status = stage.until("RolledBack", timeout=180, generation=generation)
    assert (status["currentRevisions"], status.get("drain")) == (["r1"], None)
    is_whole_and_open(stage, ["r1"])
    assert web.size[0] == REPLICAS
    eventually(lambda: is_autoscaled(web), "An autoscaler at work again")


def test_whoever_scales_the_application_back_each_second_is_named_and_undone(stage: Stage, web: Idler):
    with web.healed("argocd-controller") as counted:
        eventually(lambda: counted[0] > 1 and web.size[0] == 0, "The second drain")
        told = [event for event in stage.events() if event.startswith("DrainContested")]
        assert told, stage.events()
        assert f"Deployment web was scaled to {REPLICAS} by argocd-controller" in told[0]
        ends_rolled_back(stage, web)


@pytest.mark.parametrize("web", ["Always"], indirect=True)
def test_a_restore_that_believes_that_nobody_wrote_is_made_again_once_somebody_may_have(stage: Stage, web: Idler):
    """Drained since before its backup there is nothing to compare, until a workload rises: what it wrote is looked for."""
    web.scale(REPLICAS, "kubectl-scale")
    ends_rolled_back(stage, web)
    status = stage.status()
    told = [event for event in stage.events() if event.startswith("DrainContested")]
    assert told, stage.events()
    assert "by kubectl-scale" in told[0]
    restores = [(step["attempt"], step["state"]) for step in status["steps"] if step["name"] == "restore"]
    assert [attempt for attempt, _ in restores] == [1, 2], restores
    assert restores[1][1] == "Succeeded"
    restored = status["run"]["restored"]
    assert (restored["compared"], restored.get("lost", [])) == (True, [])


def test_a_session_that_may_not_be_ended_is_named_and_waited_for(stage: Stage, web: Idler):
    """The superuser's: the role of the resource may not end it, and a database that somebody is in has no other name."""
    with stage.server.holding("LOCK TABLE orders IN ACCESS SHARE MODE", stage.database):
        waiting = stage.until("SessionStays", timeout=120)
        assert (waiting["phase"], web.size[0], stage.heads()) == ("Restoring", 0, ["r2"])
        told = {condition["message"] for condition in waiting["conditions"] if condition["reason"] == "SessionStays"}
        assert "psql of postgres (pid " in told.pop()
        eventually(lambda: "ScalingDisabled" in web.autoscaler_says(), "A look of the autoscaler")
        assert web.size[0] == 0
    ends_rolled_back(stage, web)
    assert "DrainContested" not in " ".join(stage.events())


def test_neither_an_edit_nor_a_cancel_nor_a_suspension_stops_it(stage: Stage, web: Idler):
    stage.spec.pop("drain")
    stage.spec |= {"rollback": {}, "suspend": True, "targetRevision": "r2"}
    stage.apply(annotations={"dbmigration.io/cancel": "now"})
    eventually(lambda: stage.status().get("history", [{}])[0].get("outcome") == "RolledBack", "The end", timeout=180)
    is_whole_and_open(stage, ["r1"])
    assert web.size[0] == REPLICAS


@pytest.mark.parametrize("cascade", ["background", "foreground"])
def test_deleted_meanwhile_the_resource_stays_until_all_is_well(stage: Stage, web: Idler, cascade: str):
    stage.namespace.kubectl("delete", "dbm/shop", f"--cascade={cascade}", "--wait=false")
    assert "deletionTimestamp" in stage.resource()["metadata"]
    gone = ("get", "dbm,jobs", "--output", "name")
    eventually(lambda: not stage.namespace.kubectl(*gone), "The end of the resource", timeout=180)
    assert web.size[0] == REPLICAS
    is_whole_and_open(stage, ["r1"])
