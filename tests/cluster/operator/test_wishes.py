"""What people do meanwhile: edit, suspend, cancel, retry, delete, share a database."""

from __future__ import annotations

import pytest

from tests.cluster.access import eventually
from tests.cluster.operator.history import ADD_TOTAL, CREATE_ORDERS, FAIL, GOOD, INDEX_NOTE, chain
from tests.cluster.operator.stage import Stage

SLOW = CREATE_ORDERS + '\nop.execute("SELECT pg_sleep(8)")'


def migrating(stage: Stage) -> None:
    """Wait until the slow revision's statement runs on the server."""
    query = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{stage.database}' AND query LIKE '%pg_sleep(8)%' AND state = 'active'"
    eventually(
        lambda: stage.server.psql(query + " AND pid <> pg_backend_pid()") != "0", "The slow revision", timeout=90
    )


def gone(stage: Stage) -> None:
    eventually(
        lambda: not stage.namespace.kubectl("get", "dbm", "--output", "name"), "The end of the resource", timeout=60
    )


def test_the_second_of_three_revisions_fails_and_a_mended_one_goes_on(stage: Stage):
    stage.scripts(*chain(CREATE_ORDERS, FAIL, INDEX_NOTE))
    stage.apply()
    status = stage.until("MigrationFailed")
    assert (status["currentRevisions"], stage.heads()) == (["r1"], ["r1"])
    message = stage.condition()["message"]
    assert "division by zero" in message
    assert "r1" in message
    assert stage.condition("Stalled")["status"] == "True"
    assert status["run"]["appliedRevisions"] == ["r1"]
    pod = stage.namespace.kubectl("logs", f"job/{status['steps'][-1]['job']}")
    assert "division by zero" in pod
    stage.scripts(*chain(CREATE_ORDERS, ADD_TOTAL, INDEX_NOTE))
    stage.apply(annotations={"dbmigration.io/retry": "1"})
    status = stage.succeeded()
    assert status["run"]["appliedRevisions"] == ["r2", "r3"]


def test_two_resources_on_one_database_take_turns_also_by_two_secrets(stage: Stage):
    stage.scripts(*chain(SLOW, ADD_TOTAL))
    stage.secret(name="same-database", key="dsn")
    stage.apply("first")
    migrating(stage)
    other = {"urlFrom": {"secretKeyRef": {"name": "same-database", "key": "dsn"}}}
    stage.scripts(*chain(SLOW, ADD_TOTAL, INDEX_NOTE), name="longer")
    stage.apply("second", database=other, migrations={"source": {"configMap": {"name": "longer"}}})
    stage.until("WaitingForTurn", "second")
    assert "first" in stage.condition(name="second")["message"]
    first, second = stage.succeeded("first"), stage.succeeded("second")
    assert first["run"]["appliedRevisions"] == ["r1", "r2"]
    assert second["run"]["appliedRevisions"] == ["r3"]


def test_an_edit_during_the_migration_waits_for_its_end(stage: Stage):
    stage.scripts(*chain(SLOW))
    stage.apply()
    migrating(stage)
    stage.scripts(*chain(SLOW, ADD_TOTAL), name="next")
    stage.spec["migrations"] = {"source": {"configMap": {"name": "next"}}}
    stage.apply()
    status = stage.succeeded()
    assert [entry["outcome"] for entry in status["history"]] == ["Succeeded", "Succeeded"]
    assert (status["run"]["number"], stage.heads()) == (2, ["r2"])


def test_suspended_nothing_starts_until_it_is_resumed(stage: Stage):
    stage.scripts(*chain(*GOOD))
    stage.apply(suspend=True)
    stage.until("Suspended")
    assert stage.jobs() == []
    stage.apply()
    stage.succeeded()


def test_cancelled_in_mid_migration_the_statement_is_ended_and_the_database_read(stage: Stage):
    stage.scripts(*chain(CREATE_ORDERS.replace("orders", "first"), SLOW))
    stage.apply()
    migrating(stage)
    stage.namespace.kubectl("annotate", "dbm/shop", "dbmigration.io/cancel=now")
    status = stage.until("Cancelled", timeout=60)
    assert status["phase"] == "Cancelled"
    assert status["currentRevisions"] == stage.heads() == ["r1"]
    running = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{stage.database}' AND pid <> pg_backend_pid()"
    assert stage.server.psql(running + " AND application_name LIKE 'dbmigration%'") == "0"


@pytest.mark.parametrize("cascade", ["background", "foreground"])
def test_deleted_in_mid_migration_the_resource_stays_until_it_has_ended(stage: Stage, cascade: str):
    stage.scripts(*chain(SLOW))
    stage.apply()
    migrating(stage)
    stage.namespace.kubectl("delete", "dbm/shop", f"--cascade={cascade}", "--wait=false")
    assert "deletionTimestamp" in stage.resource()["metadata"]
    gone(stage)
    assert stage.heads() == ["r1"]
    eventually(lambda: not stage.jobs(), "The end of its Jobs", timeout=60)


def test_deleted_before_the_migration_it_goes_at_once(stage: Stage):
    stage.scripts(*chain(*GOOD))
    stage.apply(migrations={"source": {"image": {"reference": "registry.invalid/shop:9.9"}}})
    stage.until("ImagePullFailed")
    stage.namespace.kubectl("delete", "dbm/shop", "--timeout=20s")
    gone(stage)
    assert stage.heads() == []
