"""What people do meanwhile: edit, suspend, cancel, retry, share a database. Deleting has a page of its own."""

from __future__ import annotations

from tests.cluster.operator.history import ADD_TOTAL, CREATE_ORDERS, FAIL, GOOD, INDEX_NOTE, SLOW, chain
from tests.cluster.operator.stage import Stage


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
    stage.falls_asleep()
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
    stage.falls_asleep()
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
    stage.falls_asleep()
    stage.namespace.kubectl("annotate", "dbm/shop", "dbmigration.io/cancel=now")
    status = stage.until("Cancelled", timeout=60)
    assert status["phase"] == "Cancelled"
    assert status["currentRevisions"] == stage.heads() == ["r1"]
    running = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{stage.database}' AND pid <> pg_backend_pid()"
    assert stage.server.psql(running + " AND application_name LIKE 'dbmigration%'") == "0"
