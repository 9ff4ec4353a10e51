"""A release that is restored when it fails, with the application drained from before its backup on; and one that names nobody to drain."""

from __future__ import annotations

import pytest

from tests.cluster.access import Cluster
from tests.cluster.embedded import catalog
from tests.cluster.operator.history import Revision
from tests.cluster.operator.stage import Stage
from tests.cluster.operator.writers import DRAIN, ORDERS, Writers

TOTAL = Revision("r2", 'op.add_column("orders", sa.Column("total", sa.Numeric))', "r1")
REWRITES = Revision(
    "r3", "op.execute(\"UPDATE orders SET total = 7\")\nop.execute('COMMIT')\nop.execute('SELECT 1 / 0')", "r2"
)


@pytest.fixture
def writers(stage: Stage, cluster: Cluster) -> Writers:
    """The first release is there, and its application writes."""
    stage.scripts(ORDERS)
    stage.apply()
    stage.succeeded()
    writers = Writers(stage, cluster.image(catalog.TOOLS))
    writers.start()
    return writers


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
    assert stage.tells(*story), stage.events()
    assert any("The copy that the backup left on the server was taken" in event for event in stage.events())
    assert (writers.size[0], status.get("drain")) == (2, None)
    writers.write_on()
    assert writers.amiss() == set()

    stage.scripts(ORDERS, TOTAL, name="scripts-3")
    stage.apply(
        migrations={"source": {"configMap": {"name": "scripts-3"}}},
        drain={**DRAIN, "when": "Always"},
        rollback={"onFailure": "Restore"},
    )
    status = stage.succeeded()
    assert (writers.size[0], status.get("drain"), stage.heads()) == (2, None, ["r2"])
    writers.write_on()
    assert writers.amiss() == set()


def test_a_workload_that_is_not_there_is_named_before_anything_is_done(stage: Stage):
    stage.scripts(ORDERS)
    stage.apply(drain=DRAIN, rollback={"onFailure": "Restore"})
    status = stage.until("WorkloadNotFound")
    assert "Deployment shop-web" in stage.condition()["message"]
    assert [step["name"] for step in status["steps"]] == ["plan"]
