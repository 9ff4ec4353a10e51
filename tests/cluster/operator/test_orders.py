"""A restore at three in the morning, ordered by hand, beside an application that writes and a controller that applies manifests."""

from __future__ import annotations

import copy
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.cluster.access import Cluster, KubectlError, eventually
from tests.cluster.embedded import catalog
from tests.cluster.operator.command_line import dbmigration
from tests.cluster.operator.history import Revision
from tests.cluster.operator.idlers import Idler
from tests.cluster.operator.orders import give, told
from tests.cluster.operator.stage import Stage
from tests.cluster.operator.writers import DRAIN, ORDERS, Writers

TOTAL = Revision("r2", 'op.add_column("orders", sa.Column("total", sa.Numeric))', "r1")
RELEASE = {
    "migrations": {"source": {"configMap": {"name": "scripts-2"}}},
    "drain": DRAIN,
}


@pytest.fixture
def writers(stage: Stage, cluster: Cluster) -> Writers:
    """Two releases are there, the second with a backup of the first, and the application writes."""
    stage.scripts(ORDERS)
    stage.apply()
    stage.succeeded()
    writers = Writers(stage, cluster.image(catalog.TOOLS))
    writers.start()
    stage.scripts(ORDERS, TOTAL, name="scripts-2")
    stage.apply(**RELEASE)
    eventually(lambda: stage.heads() == ["r2"], "The second release", timeout=120)
    stage.succeeded()
    return writers


@contextmanager
def applied_again_and_again(stage: Stage) -> Iterator[list[int]]:
    """As Argo CD with self-heal does: the manifest of the release, for the whole time; gives how often."""
    over, counted = threading.Event(), [0]

    def apply() -> None:
        while not over.wait(1):
            stage.apply(**copy.deepcopy(RELEASE))
            counted[0] += 1

    thread = threading.Thread(target=apply, name="applies")
    thread.start()
    try:
        yield counted
    finally:
        over.set()
        thread.join()


def again(counted: list[int]) -> None:
    """It was applied some times more."""
    before = counted[0]
    eventually(lambda: counted[0] > before + 3, "More of the same", timeout=60)


def test_an_emergency_is_ended_by_hand_once_and_no_manifest_undoes_it(stage: Stage, writers: Writers):
    backup = stage.status()["run"]["backup"]
    give(stage, "of-nobody", backup, accept=True, migration="nobody")
    with applied_again_and_again(stage) as counted:
        # Without the acknowledgement: what would be lost is counted, and nothing has happened.
        assert f"{backup}  " in dbmigration(stage, "backups", "shop")
        said = dbmigration(stage, "restore", "shop", "--backup", backup, "--name", "look")
        assert said.startswith("3\n"), said
        assert "RestoreNeedsAcknowledgement: " in said
        refused = told(stage, "look", "RestoreNeedsAcknowledgement")
        assert refused["phase"] == "Failed"
        assert re.fullmatch(
            r"An estimate: since the backup about \d+ rows were inserted, changed or deleted, in public.orders .*",
            refused["estimate"],
        )
        assert refused["estimate"] in said
        assert refused["estimate"] in stage.namespace.kubectl("describe", "dbr", "look").replace("\n", " ")
        assert f"--backup {backup} --accept-data-loss" in refused["ready"]["message"]
        stage.until("UpToDate")
        assert (stage.heads(), writers.size[0]) == (["r2"], 2)
        writers.write_on()

        said = dbmigration(stage, "restore", "shop", "--backup", backup, "--accept-data-loss", "--name", "back")
        assert said.startswith("0\nSucceeded: the database is at r1.\n"), said
        done = told(stage, "back", "Restored")
        restored = done["restored"]
        assert (
            f"  rows      {restored['inserted']} row{'s' * (restored['inserted'] > 1)} inserted since (gone now)"
            in said
        )
        assert (done["phase"], done["revision"], stage.heads()) == ("Succeeded", "r1", ["r1"])
        assert done["lostRows"] == done["restored"]["lostRows"] > 0
        columns = stage.namespace.kubectl("get", "dbr", "back", "--no-headers").split()[:7]
        assert columns == ["back", "True", "Succeeded", "shop", backup, str(done["lostRows"]), "Restored"]
        resting = stage.until("Restored")
        assert (resting["phase"], resting["revision"], resting.get("drain")) == ("Restored", "r1", None)
        assert writers.size[0] == 2
        writers.write_on()
        pods = writers.ended()
        there = writers.account(done["restored"], pods, {})

        again(counted)
        assert (stage.status()["run"]["number"], stage.heads()) == (resting["run"]["number"], ["r1"])

        # Deleted and created anew: the resource remembers. And with all statuses gone the storage does.
        stage.namespace.kubectl("delete", "dbr", "back")
        give(stage, "back", backup, accept=True)
        told(stage, "back", "AlreadyRestored")
    stage.namespace.kubectl("delete", "dbr,dbm", "--all")
    stage.apply(**RELEASE)
    give(stage, "back", backup, accept=True)
    told(stage, "back", "AlreadyRestored")
    stage.until("AlreadyRestored")
    assert f"{backup}  " in dbmigration(stage, "backups", "shop")  # rebuilt from what lies on the storage
    assert (stage.heads(), writers.size[0]) == (["r1"], 2)
    assert there == writers.rows_of(pods)

    # A release that says so goes on.
    stage.apply(**RELEASE, targetRevision="r2")
    stage.until("Succeeded", timeout=120)
    assert stage.heads() == ["r2"]


def test_orders_wait_for_their_resource_and_cannot_be_changed_and_come_to_their_end(stage: Stage, writers: Writers):
    backup = stage.status()["run"]["backup"]
    give(stage, "early", backup, accept=True, migration="later")
    told(stage, "early", "MigrationNotFound")
    with pytest.raises(KubectlError, match="an order cannot be changed"):
        give(stage, "early", backup, accept=False, migration="later")
    # Another resource's folder has no such backup; what is there is told.
    stage.apply("later", **RELEASE)
    assert "There is none at all" in told(stage, "early", "BackupNotFound")["ready"]["message"]

    give(stage, "back", backup, accept=True)
    eventually(lambda: stage.status().get("drain", {}).get("drainedAt"), "A drained application", timeout=120)
    stage.namespace.kubectl("delete", "dbr", "back")
    resting = stage.until("Restored", timeout=240)
    assert (stage.heads(), resting["orders"][0]["name"], resting["orders"][0]["outcome"]) == (
        ["r1"],
        "back",
        "Succeeded",
    )
    assert writers.size[0] == 2
    writers.write_on()


def test_an_order_that_is_cancelled_while_it_drains_leaves_all_as_it_was(
    stage: Stage, writers: Writers, cluster: Cluster
):
    """One workload is down already, the other one takes its time: there is a moment to think again."""
    slow = Idler(stage.namespace, cluster.image(catalog.TOOLS), name="slow", deaf=True, grace_seconds=20)
    slow.start()
    stage.apply(**RELEASE | {"drain": {"workloads": [*DRAIN["workloads"], slow.drain]}})
    backup = stage.status()["run"]["backup"]
    give(stage, "back", backup, accept=True)
    eventually(lambda: (writers.size[0], slow.size[0]) == (0, 0), "A drain at work", timeout=120)
    stage.namespace.kubectl("annotate", "dbm/shop", "dbmigration.io/cancel=now")

    cancelled = told(stage, "back", "Cancelled")
    assert cancelled["phase"] == "Cancelled"
    assert "before anything was restored" in cancelled["ready"]["message"]
    stage.until("UpToDate")
    assert (stage.heads(), stage.status().get("drain"), writers.size[0], slow.size[0]) == (["r2"], None, 2, 1)
    writers.write_on()
    assert not writers.amiss()
    # Whoever thinks again once more orders it under another name.
    give(stage, "after-all", backup, accept=True)
    told(stage, "after-all", "Restored")
    assert (stage.heads(), writers.size[0], slow.size[0]) == (["r1"], 2, 1)
