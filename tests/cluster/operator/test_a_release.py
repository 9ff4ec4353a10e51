"""The main job: the shop's image is applied, and the database is where it belongs; then its next release, and a broken one."""

from __future__ import annotations

import hashlib
import json
from collections import Counter

import pytest

from tests.cluster.access import Cluster
from tests.cluster.audit import Write
from tests.cluster.embedded import catalog
from tests.cluster.operator.stage import Stage

WRITES = 18


@pytest.fixture
def shop(stage: Stage) -> Stage:
    """The stage with the shop's application as the source."""
    stage.spec["migrations"] = {
        "source": {"image": {"reference": stage.namespace.cluster.image(catalog.shop("1.0"))}},
        "urlTo": {"env": {"DATABASE_URL": "url"}},
    }
    return stage


def operators_writes(stage: Stage, cluster: Cluster, begin: int) -> Counter[Write]:
    """What the operator wrote in the stage's namespace since then; its Lease lies elsewhere."""
    written = cluster.audit.writes(begin, cluster.audit.moment(), namespace=stage.namespace.name)
    return Counter({write: count for write, count in written.items() if write.user_agent == "dbmigration-operator"})


def release(stage: Stage, number: str) -> None:
    reference = stage.namespace.cluster.image(catalog.shop(number))
    stage.spec["migrations"]["source"]["image"]["reference"] = reference
    stage.apply()


def test_three_revisions_then_two_more_then_a_broken_one(shop: Stage, cluster: Cluster):
    begin = cluster.audit.moment()
    shop.apply()
    shop.namespace.kubectl("wait", "dbm/shop", "--for=condition=Ready", "--timeout=120s")
    status = shop.status()

    # What users see.
    line = shop.namespace.kubectl("get", "dbm", "--no-headers").split()
    assert line[:5] == ["shop", "True", "Succeeded", "10c", "head"]
    described = shop.namespace.kubectl("describe", "dbm", "shop")
    told = [event.partition(":")[0] for event in shop.events()]
    assert told == ["Planning", "BackingUp", "Migrating", "Succeeded"]
    assert all(reason in described.partition("Events:")[2] for reason in told)

    # What the database says.
    assert shop.heads() == ["10c"]
    assert status["run"]["appliedRevisions"] == ["10a", "10b", "10c"]
    assert shop.jobs() == ["plan", "backup", "migrate"]

    ours = operators_writes(shop, cluster, begin)
    assert 0 < ours.total() <= WRITES, ours

    shop.psql(
        "INSERT INTO customers (email, name) SELECT 'c' || n || '@shop.example', 'n' FROM generate_series(1, 5000) AS n"
    )
    release(shop, "1.1")
    shop.namespace.kubectl("wait", "dbm/shop", "--for=condition=Ready", "--timeout=120s")
    status = shop.succeeded()
    assert (shop.heads(), status["run"]["appliedRevisions"]) == (["11b"], ["11a", "11b"])
    customers = shop.psql("SELECT count(*) FROM customers")

    backup = status["backups"][0]
    assert backup["revisions"] == ["10c"]
    assert backup["restorable"] is True
    restored_rows_are_equal(shop, backup, customers)

    release(shop, "1.2")
    status = shop.until("MigrationFailed")
    assert (status["phase"], status["currentRevisions"], shop.heads()) == ("Failed", ["12a"], ["12a"])
    assert shop.condition("Stalled")["status"] == "True"
    assert "12a" in shop.condition()["message"]
    assert shop.psql("SELECT count(*) FROM customers") == customers
    assert not shop.resource()["metadata"].get("finalizers")


def restored_rows_are_equal(stage: Stage, backup: dict, customers: str) -> None:
    """The dump on the claim has status' SHA-256, and PostgreSQL's own tools restore the same rows elsewhere."""
    folder = stage.backups.folder
    assert folder is not None
    (dump,) = (path for path in folder.rglob(f"{backup['name']}*") if not path.name.endswith(".json"))
    assert hashlib.sha256(dump.read_bytes()).hexdigest() == backup["sha256"]
    assert dump.stat().st_size == backup["sizeBytes"]
    manifest = json.loads(next(folder.rglob(f"{backup['name']}*.json")).read_text())
    assert manifest["sha256"] == backup["sha256"]
    copy = f"{stage.database}_copy"
    stage.server.psql(f"CREATE DATABASE {copy}")
    pod = (
        stage.server.namespace.kubectl("get", "pods", "--selector", "app=postgresql", "--output", "name")
        .strip()
        .removeprefix("pod/")
    )
    stage.server.namespace.kubectl("cp", str(dump), f"{pod}:/tmp/copy.dump")
    stage.server.namespace.kubectl(
        "exec",
        pod,
        "--",
        "pg_restore",
        "--host=/tmp",
        "--username=postgres",
        "--no-owner",
        "--exit-on-error",
        f"--dbname={copy}",
        "/tmp/copy.dump",
    )
    assert stage.server.psql("SELECT count(*) FROM customers", copy) == customers
    stage.server.psql(f"DROP DATABASE {copy}")


def test_applied_again_nothing_happens(shop: Stage, cluster: Cluster):
    shop.apply()
    shop.succeeded()
    begin = cluster.audit.moment()
    shop.apply()
    shop.namespace.kubectl("label", "dbm/shop", "team=shop")
    shop.namespace.kubectl("wait", "dbm/shop", "--for=condition=Ready", "--timeout=20s")
    assert not operators_writes(shop, cluster, begin)
    assert shop.jobs() == ["plan", "backup", "migrate"]
