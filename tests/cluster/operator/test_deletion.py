"""A resource that is deleted, in every phase of its life: what is irreversible first comes to its end, all else goes at once.

`--cascade=foreground` is the hard one: the garbage collector would kill a migration's Job whatever the finalizer says.
"""

from __future__ import annotations

import pytest

from tests.cluster.access import eventually
from tests.cluster.operator.history import CREATE_ORDERS, FAIL, GOOD, SLOW, chain
from tests.cluster.operator.stage import Stage

BOTH = pytest.mark.parametrize("cascade", ["background", "foreground"])


def delete(stage: Stage, cascade: str) -> None:
    stage.namespace.kubectl("delete", "dbm/shop", f"--cascade={cascade}", "--wait=false")


def all_is_gone(stage: Stage) -> None:
    """The resource, and every Job and Pod that was made for it."""
    left = ("get", "dbm,jobs,pods", "--output", "name")
    eventually(lambda: not stage.namespace.kubectl(*left), "The end of the resource and its Jobs", timeout=90)


@BOTH
def test_in_mid_migration_it_stays_until_the_migration_has_ended(stage: Stage, cascade: str):
    stage.scripts(*chain(SLOW))
    stage.apply()
    stage.falls_asleep()
    delete(stage, cascade)
    assert "deletionTimestamp" in stage.resource()["metadata"]
    all_is_gone(stage)
    assert stage.heads() == ["r1"]


@BOTH
def test_in_mid_backup_it_goes_at_once_and_lets_go_of_the_database(stage: Stage, cascade: str):
    stage.scripts(*chain(*GOOD))
    with stage.dumps_held_up():
        stage.apply()
        waiting = "SELECT count(*) FROM pg_locks WHERE relation = 'pg_largeobject'::regclass AND NOT granted"
        eventually(lambda: stage.psql(waiting) != "0", "A dump that is held up", timeout=90)
        delete(stage, cascade)
        all_is_gone(stage)
    sessions = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{stage.database}' AND application_name LIKE 'dbmigration%'"
    eventually(lambda: stage.server.psql(sessions) == "0", "The end of the backup's sessions")
    assert stage.heads() == []


@BOTH
def test_in_mid_plan_it_goes_at_once(stage: Stage, cascade: str):
    stage.scripts(*chain(*GOOD), **{"migrations__env.py": "import time\n\ntime.sleep(600)\n"})
    stage.apply()
    pods = ("get", "pods", "--output", "jsonpath={.items[*].status.phase}")
    eventually(lambda: stage.namespace.kubectl(*pods) == "Running", "The plan's Pod")
    delete(stage, cascade)
    all_is_gone(stage)
    assert stage.heads() == []


def test_before_its_first_pod_could_start_it_goes_at_once(stage: Stage):
    stage.apply(migrations={"source": {"image": {"reference": "registry.invalid/shop:9.9"}}})
    stage.until("ImagePullFailed")
    delete(stage, "foreground")
    all_is_gone(stage)


@BOTH
def test_after_its_success_it_goes_at_once_with_its_jobs_and_leaves_database_and_backups(stage: Stage, cascade: str):
    stage.scripts(*chain(*GOOD))
    stage.apply()
    stage.succeeded()
    delete(stage, cascade)
    all_is_gone(stage)
    assert stage.heads() == ["r3"]
    assert stage.backups.folder is not None
    assert list(stage.backups.folder.rglob("shop-1-*.json"))


def test_after_its_failure_it_goes_at_once(stage: Stage):
    stage.scripts(*chain(CREATE_ORDERS, FAIL))
    stage.apply()
    stage.until("MigrationFailed")
    delete(stage, "foreground")
    all_is_gone(stage)
    assert stage.heads() == ["r1"]
