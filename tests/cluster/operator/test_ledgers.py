"""Failed releases whose downgrade fails too, beside an application that writes: its ledger is the truth about what a restore lost.

On each engine one database goes through them one after another, each under writes that another seed draws.
"""

from __future__ import annotations

import random
import sqlite3
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.cluster.access import Cluster, KubectlError
from tests.cluster.embedded import catalog
from tests.cluster.operator.history import Revision
from tests.cluster.operator.ledger import Rows
from tests.cluster.operator.writers import DRAIN, ORDERS, Writers
from tests.sampling import SEEDS

TOTAL = Revision(
    "r2", 'op.add_column("orders", sa.Column("total", sa.Integer))', "r1", undo='raise RuntimeError("nobody wrote it")'
)
STORY = ("MigrationFailed", "RollingBack", "RollbackFailed", "Draining", "Restoring", "Resuming")


@pytest.fixture(
    params=[
        ("stage", {}),
        ("mariadb_stage", {}),
        ("sqlite_stage", {"replicas": 1, "claim": "data"}),
    ],
    ids=["PostgreSQL", "MariaDB", "SQLite"],
)
def writers(request: pytest.FixtureRequest, cluster: Cluster) -> Writers:
    """The first release is there, and its application writes."""
    named, application = request.param
    stage = request.getfixturevalue(named)
    stage.scripts(ORDERS)
    stage.apply()
    stage.succeeded()
    writers = Writers(stage, cluster.image(catalog.TOOLS), **application)
    writers.start()
    return writers


@dataclass
class Emergencies:
    """One after another in one database."""

    writers: Writers
    told: Rows = field(default_factory=dict)  # what those that are over left of their Pods' rows
    gone: set[str] = field(default_factory=set)  # these Pods

    def fail(self, seed: int, reason: str, **rollback: object) -> dict[str, Any]:
        """Play the next: a second release fails half-way, and its first revision cannot be undone. Gives the status of the end."""
        stage, writers = self.writers.stage, self.writers
        told = len(stage.events())
        writers.play(seed)
        # While it sleeps the application goes on writing behind the backup.
        body = (
            f'import time\ntime.sleep({random.Random(seed).uniform(0, 1.5):.2f})\nop.execute("SELECT a FROM nowhere")'
        )
        stage.scripts(ORDERS, TOTAL, Revision("r3", body, "r2"), name=f"scripts-{seed}")
        source = {"source": {"configMap": {"name": f"scripts-{seed}"}}}
        stage.apply(migrations=source, drain=DRAIN, rollback={"onFailure": "DowngradeOrRestore", **rollback})
        status = stage.until(reason, timeout=240)
        assert (status.get("drain"), writers.size[0]) == (None, writers.replicas)
        assert stage.tells(*STORY, reason, behind=told), stage.events()[told:]
        writers.write_on()
        return status

    def restored(self, seed: int) -> None:
        """One in which rows may be lost: each is told, and no other one is lost."""
        writers, stage = self.writers, self.writers.stage
        status = self.fail(seed, "RolledBack", acceptDataLoss=True)
        assert (status["phase"], status["currentRevisions"], stage.heads()) == ("RolledBack", ["r1"], ["r1"])
        with pytest.raises((KubectlError, sqlite3.Error), match="total"):
            stage.rows("SELECT total FROM orders")

        restored = status["run"]["restored"]
        pods = writers.ended() - self.gone
        there = writers.account(restored, pods, self.told)
        kinds = {row["kind"] for row in stage.listed(restored)}
        assert kinds == {"inserted", "updated", "deleted"}, f"seed {seed} shows too little: {kinds}"
        self.told, self.gone = there, self.gone | pods
        assert writers.amiss(but=self.gone) == set()

    def refused(self, seed: int) -> None:
        """One in which no row may be lost: none is."""
        writers, stage = self.writers, self.writers.stage
        kept = stage.kept()
        status = self.fail(seed, "RestoreNeedsAcknowledgement")
        assert (status["phase"], status["currentRevisions"], stage.heads()) == ("Failed", ["r2"], ["r2"])
        assert writers.amiss(but=self.gone) == set()
        assert writers.rows_of(self.gone) == self.told
        assert stage.kept() == kept


def test_every_acknowledged_write_is_there_or_told_and_without_leave_none_is_lost(writers: Writers):
    emergencies = Emergencies(writers)
    for seed in SEEDS:
        emergencies.restored(seed)
    emergencies.refused(len(SEEDS) + 1)
