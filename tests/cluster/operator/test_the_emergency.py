"""A failed release whose downgrade fails too: drained, restored, resumed, beside an application that writes all the time."""

from __future__ import annotations

import json

import pytest

from tests.cluster.access import Cluster
from tests.cluster.embedded import catalog
from tests.cluster.operator.history import Revision
from tests.cluster.operator.stage import Stage
from tests.cluster.operator.writers import NAME, Writers

ORDERS = Revision("r1", 'op.execute("CREATE TABLE orders (id bigserial PRIMARY KEY, note text UNIQUE NOT NULL)")')
TOTAL = Revision(
    "r2", 'op.add_column("orders", sa.Column("total", sa.Numeric))', "r1", undo='raise RuntimeError("nobody wrote it")'
)
# Long enough for the application to go on writing behind the backup.
BROKEN = Revision("r3", 'op.execute("SELECT pg_sleep(1)")\nop.execute("SELECT 1 / 0")', "r2")
REWRITES = Revision(
    "r3", "op.execute(\"UPDATE orders SET total = 7\")\nop.execute('COMMIT')\nop.execute('SELECT 1 / 0')", "r2"
)
DRAIN = {"workloads": [{"kind": "Deployment", "name": NAME}]}
STORY = ["MigrationFailed", "RollingBack", "RollbackFailed", "Draining", "Restoring", "Resuming"]


@pytest.fixture
def writers(stage: Stage, cluster: Cluster) -> Writers:
    """The first release is there, and its application writes."""
    stage.scripts(ORDERS)
    stage.apply()
    stage.succeeded()
    writers = Writers(stage, cluster.image(catalog.TOOLS))
    writers.start()
    return writers


def release(stage: Stage, **rollback: object) -> None:
    """The second release, which fails half-way, and whose first revision cannot be undone."""
    stage.scripts(ORDERS, TOTAL, BROKEN, name="scripts-2")
    source = {"source": {"configMap": {"name": "scripts-2"}}}
    stage.apply(migrations=source, drain=DRAIN, rollback={"onFailure": "DowngradeOrRestore", **rollback})


def in_order(stage: Stage, wanted: list[str]) -> bool:
    told = iter(event.partition(":")[0] for event in stage.events())
    return all(word in told for word in wanted)


def listed(stage: Stage, status: dict) -> set[str]:
    """The notes of the rows in the list of what was lost."""
    restored = status["run"]["restored"]
    assert stage.backups.folder is not None
    (path,) = stage.backups.folder.rglob(restored["listFile"].rpartition("/")[2])
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    kept = restored["keptAs"]
    stage.server.psql(f"ALTER DATABASE {kept} ALLOW_CONNECTIONS true CONNECTION LIMIT -1")
    keys = ",".join(str(row["key"]["id"]) for row in rows if row["table"].endswith("orders")) or "NULL"
    return set(stage.server.psql(f"SELECT note FROM public.orders WHERE id IN ({keys})", kept).split())


def test_every_acknowledged_row_is_there_or_in_the_list_and_the_application_is_back(stage: Stage, writers: Writers):
    release(stage, acceptDataLoss=True)
    status = stage.until("RolledBack", timeout=240)
    assert (status["phase"], status["currentRevisions"], stage.heads()) == ("RolledBack", ["r1"], ["r1"])
    assert status.get("drain") is None
    assert writers.size[0] == 2
    writers.write_on()
    assert in_order(stage, [*STORY, "RolledBack"]), stage.events()

    acknowledged = writers.acknowledged()  # before the rows are read: what is acknowledged later may be missing there
    lost = listed(stage, status)
    there = set(stage.psql("SELECT note FROM public.orders").split())
    assert lost, "the application wrote nothing behind the backup: this test shows nothing"
    assert acknowledged <= there | lost, "an acknowledged row is neither there nor told"
    assert not there & lost
    assert status["run"]["restored"]["lostRows"] == len(lost)
    assert stage.psql("SELECT count(*) FROM information_schema.columns WHERE table_name = 'orders'") == "2"


def test_without_leave_nothing_is_lost_and_the_application_is_back(stage: Stage, writers: Writers):
    release(stage)
    status = stage.until("RestoreNeedsAcknowledgement", timeout=240)
    assert (status["phase"], status["currentRevisions"], status.get("drain")) == ("Failed", ["r2"], None)
    assert writers.size[0] == 2
    writers.write_on()
    acknowledged = writers.acknowledged()
    there = set(stage.psql("SELECT note FROM public.orders").split())
    assert acknowledged <= there
    assert stage.server.psql(f"SELECT count(*) FROM pg_database WHERE datname LIKE '{stage.database}%'") == "1"
    assert in_order(stage, [*STORY, "RestoreNeedsAcknowledgement"]), stage.events()


def test_drained_since_before_the_backup_nothing_can_be_lost_and_nobody_is_asked(stage: Stage, writers: Writers):
    """The migration itself rewrote every row and committed that: a comparison would count them all as written since the backup."""
    stage.scripts(ORDERS, TOTAL, REWRITES, name="scripts-2")
    source = {"source": {"configMap": {"name": "scripts-2"}}}
    backup = {"storage": {"persistentVolumeClaim": {"claimName": "backups"}}, "clone": True}
    stage.apply(migrations=source, drain={**DRAIN, "when": "Always"}, rollback={"onFailure": "Restore"}, backup=backup)
    status = stage.until("RolledBack", timeout=240)
    assert (status["phase"], status["currentRevisions"], stage.heads()) == ("RolledBack", ["r1"], ["r1"])
    assert not status["run"]["restored"].get("compared")
    story = ["Draining", "BackingUp", "Migrating", "MigrationFailed", "Restoring", "Resuming", "RolledBack"]
    assert in_order(stage, story), stage.events()
    assert any("The copy that the backup left on the server was taken" in event for event in stage.events())
    assert (writers.size[0], status.get("drain")) == (2, None)
    writers.write_on()
    acknowledged = writers.acknowledged()
    assert acknowledged <= set(stage.psql("SELECT note FROM public.orders").split())

    stage.scripts(ORDERS, TOTAL, name="scripts-3")
    stage.apply(
        migrations={"source": {"configMap": {"name": "scripts-3"}}},
        drain={**DRAIN, "when": "Always"},
        rollback={"onFailure": "Restore"},
    )
    status = stage.succeeded()
    assert (writers.size[0], status.get("drain"), stage.heads()) == (2, None, ["r2"])
    writers.write_on()
    assert writers.acknowledged() <= set(stage.psql("SELECT note FROM public.orders").split())


def test_a_workload_that_is_not_there_is_named_before_anything_is_done(stage: Stage):
    stage.scripts(ORDERS)
    stage.apply(drain=DRAIN, rollback={"onFailure": "Restore"})
    status = stage.until("WorkloadNotFound")
    assert "Deployment shop-web" in stage.condition()["message"]
    assert [step["name"] for step in status["steps"]] == ["plan"]
