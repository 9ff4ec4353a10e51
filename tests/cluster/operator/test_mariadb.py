"""MariaDB on a cluster: releases of an image that brings PyMySQL, what fails of them, the way back, and scripts without an image."""

from __future__ import annotations

import hashlib
import os
import signal
from contextlib import ExitStack

import pytest

from tests.cluster.access import eventually
from tests.cluster.embedded import catalog
from tests.cluster.inmates import runner
from tests.cluster.operator.history import ADD_TOTAL, CREATE_ORDERS, Revision, chain
from tests.cluster.operator.idlers import Idler
from tests.cluster.operator.mariadb import MariaDBStage
from tests.cluster.operator.orders import give, told
from tests.cluster.operator.stage import PASSWORD

PARTS = {"DB_USER": "user", "DB_PASSWORD": "password", "DB_HOST": "host", "DB_PORT": "port", "DB_NAME": "database"}
FIRST = CREATE_ORDERS.replace("orders", "first")
NEXT = {"migrations": {"source": {"configMap": {"name": "next"}}}}
RESTORING = "dbmigration_restore"  # how the schema begins that a backup is restored into
# As the text beside every backup says, in the image that has all of it.
RESTORE = r"""
set -euo pipefail
tar --extract --to-stdout --file="$FILE" --wildcards '*.sql.zst' | zstd --decompress --stdout \
  | mariadb --host="$HOST" --user="$ROLE" --default-character-set=utf8mb4 --max-allowed-packet=1G "$DATABASE"
"""


@pytest.fixture
def shop(mariadb_stage: MariaDBStage) -> MariaDBStage:
    """The stage with the image of the shop on MariaDB, which undoes what fails."""
    image = mariadb_stage.namespace.cluster.image(catalog.application("pymysql"))
    mariadb_stage.spec["migrations"] = {"source": {"image": {"reference": image}}, "urlTo": {"env": PARTS}}
    mariadb_stage.spec["rollback"] = {"onFailure": "Downgrade"}
    return mariadb_stage


def release(stage: MariaDBStage, number: int, **spec: object) -> None:
    stage.spec["migrations"]["config"] = f"release-{number}.ini"
    stage.apply(**spec)


def test_two_releases_a_third_that_is_undone_and_a_wish_for_the_first(shop: MariaDBStage):
    release(shop, 1)
    status = shop.succeeded()
    assert (status["run"]["appliedRevisions"], shop.heads()) == (["s1", "s2"], ["s2"])
    assert shop.jobs() == ["plan", "backup", "migrate"]
    shop.sql(
        "INSERT INTO customers (email, name) SELECT CONCAT('c', seq, '@shop.example'), 'Zoë' FROM seq_1_to_5000;"
        "INSERT INTO orders (customer_id, total_cents) SELECT id, 100 * id FROM customers"
    )
    sums = checksums(shop, shop.database)

    release(shop, 2)
    status = shop.succeeded()
    assert (status["run"]["appliedRevisions"], shop.heads()) == (["s3"], ["s3"])
    backup = status["backups"][0]
    assert (backup["revisions"], backup["restorable"]) == (["s2"], True)
    assert not [name for name in shop.maria.told("SHOW DATABASES").splitlines() if "probe" in name]
    assert restored(shop, backup) == sums

    release(shop, 3)
    status = shop.until("RolledBack")
    assert (status["run"]["appliedRevisions"], status["run"]["undoneRevisions"]) == (["s4"], ["s4"])
    assert (status["run"]["verifiedBy"], shop.heads()) == ("Schema", ["s3"])
    assert "Duplicate entry" in shop.condition()["message"]
    assert "delivery_note" not in shop.sql("SHOW COLUMNS FROM orders")

    wish = {"targetRevision": "s2", "policy": {"downgrade": "Allow"}}
    release(shop, 2, **wish)
    shop.until("DataLossNotAccepted")
    assert "5001 values of the column customers.tier" in shop.condition()["message"]
    assert shop.heads() == ["s3"]
    release(shop, 2, **wish, rollback={"acceptDataLoss": True})
    status = shop.succeeded()
    assert (status["run"]["undoneRevisions"], status["run"]["verifiedBy"]) == (["s3"], "Schema")
    assert "its schema is the one before the upgrade" in shop.condition()["message"]
    assert (shop.heads(), checksums(shop, shop.database)) == (["s2"], sums)

    # By hand, what was written since: not without leave, and once.
    shop.sql("INSERT INTO customers (email, name) VALUES ('late@shop.example', 'Late')")
    give(shop, "look", backup["name"], accept=False)
    refused = told(shop, "look", "RestoreNeedsAcknowledgement")
    assert "1 row inserted since (it goes). By table: customers 1 inserted." in refused["ready"]["message"]
    assert refused["estimate"].startswith(
        "An estimate: since the backup at least 1 row was inserted, changed or deleted, in customers (1)"
    )
    assert "late@shop.example" in shop.sql("SELECT email FROM customers")
    give(shop, "back", backup["name"], accept=True)
    done = told(shop, "back", "Restored")
    assert (done["revision"], done["lostRows"], shop.until("Restored")["revision"]) == ("s2", 1, "s2")
    assert checksums(shop, shop.database) == sums
    shop.namespace.kubectl("delete", "dbr", "back")
    give(shop, "back", backup["name"], accept=True)
    told(shop, "back", "AlreadyRestored")


def checksums(stage: MariaDBStage, database: str) -> str:
    """Over every row of the tables, by the server."""
    told = stage.maria.told("CHECKSUM TABLE customers, orders EXTENDED", database)
    return told.replace(f"{database}.", "")


def restored(stage: MariaDBStage, backup: dict) -> str:
    """What the dump that status names holds, restored into a fresh database by the tools' own client."""
    assert stage.backups.folder is not None
    (dump,) = (path for path in stage.backups.folder.rglob(f"{backup['name']}*") if not path.name.endswith(".json"))
    assert hashlib.sha256(dump.read_bytes()).hexdigest() == backup["sha256"]
    copy = f"{stage.database}_copy"
    stage.maria.told(f"CREATE DATABASE {copy} CHARACTER SET utf8mb4; GRANT ALL ON {copy}.* TO {stage.role}")
    stage.namespace.apply(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "client"},
            "stringData": {"MYSQL_PWD": PASSWORD},
        }
    )
    place = f"/backups/{dump.relative_to(stage.backups.folder)}"
    variables = {"FILE": place, "HOST": stage.maria.host, "ROLE": stage.role, "DATABASE": copy}
    container = {
        "name": "client",
        "image": stage.namespace.cluster.image(catalog.TOOLS),
        "command": ["bash", "-c", RESTORE],
        "env": [{"name": name, "value": value} for name, value in variables.items()],
        "envFrom": [{"secretRef": {"name": "client"}}],
        "volumeMounts": [{"name": "backups", "mountPath": "/backups", "readOnly": True}],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    restricted = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    pod = {
        "restartPolicy": "Never",
        "securityContext": restricted,
        "containers": [container],
        "volumes": [{"name": "backups", "persistentVolumeClaim": {"claimName": "backups"}}],
    }
    job = {"backoffLimit": 0, "template": {"spec": pod}}
    stage.namespace.apply({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "restore"}, "spec": job})
    ended = stage.namespace.wait_for_job("restore")
    assert ended["status"]["phase"] == "Succeeded", stage.namespace.kubectl("logs", "job/restore")
    stage.namespace.kubectl("delete", "job", "restore")
    sums = checksums(stage, copy)
    stage.maria.told(f"DROP DATABASE {copy}")
    return sums


def test_scripts_of_a_config_map_run_in_the_tools_image(mariadb_stage: MariaDBStage):
    mariadb_stage.scripts(*chain(CREATE_ORDERS, ADD_TOTAL, 'op.create_index("ix_total", "orders", ["total"])'))
    mariadb_stage.apply(checks={"after": {"tables": ["orders"], "columns": ["orders.total"], "integrity": True}})
    status = mariadb_stage.succeeded()
    assert status["run"]["appliedRevisions"] == ["r1", "r2", "r3"]
    assert status["plan"]["statements"] >= 3
    assert status["backups"][0]["restorable"] is True


def test_a_revision_half_applied_or_by_a_wish_half_undone_is_told_statement_by_statement_and_restored(
    at_first: MariaDBStage, application: Idler
):
    """Nothing could undo the one or do the other again: every change of a schema is committed at once."""
    at_first.sql("INSERT INTO first (id, note) VALUES (1, 'before')")
    at_first.scripts(*chain(FIRST, CREATE_ORDERS + '\nop.execute("SELECT * FROM nowhere")'), name="next")
    at_first.apply(**NEXT, **emergency(application))
    status = came_back(at_first, application)
    assert [step["name"] for step in status["steps"]] == ["plan", "backup", "migrate", "restore"]
    told = "Revision r2 is half applied: 1 of its statements ran and is committed: CREATE TABLE orders"
    assert told in at_first.condition()["message"]

    undo = f'{CREATE_ORDERS}\nop.execute("SELECT * FROM nowhere")'
    at_first.scripts(Revision("r1", FIRST, undo=undo), name="back")
    wish = {"targetRevision": "base", "policy": {"downgrade": "Allow"}}
    told_before = len(at_first.events())
    at_first.apply(migrations={"source": {"configMap": {"name": "back"}}}, **wish, **emergency(application))
    status = came_back(at_first, application)
    assert [step["name"] for step in status["steps"]] == ["plan", "backup", "downgrade", "restore"]
    assert (status["plan"]["downgrade"], status["run"].get("undoneRevisions")) == (True, None)
    restored = status["run"]["restored"]
    assert (restored["backup"], restored["compared"]) == (status["run"]["backup"], True)
    message = at_first.condition()["message"]
    assert "Revision r1 is half undone: 1 of its statements ran and is committed: CREATE TABLE orders" in message
    story = ("Downgrading", "MigrationFailed", "Draining", "Restoring", "Resuming", "RolledBack")
    assert at_first.tells(*story, behind=told_before), at_first.events()[told_before:]


def test_with_its_pods_killed_in_mid_revision_and_behind_the_fence_it_is_looked_at_and_restored(
    at_first: MariaDBStage, application: Idler
):
    """A server that commits every change of a schema keeps the half of it: run again, the revision would meet its own table.

    The restore takes all tables their names, and no lost session gives them back.
    """
    at_first.sql("INSERT INTO first (id, note) VALUES (1, 'before')")
    wanted = emergency(application)
    at_first.spec |= wanted | {"rollback": {**wanted["rollback"], "acceptDataLoss": True}}
    begin_second_release(at_first, CREATE_ORDERS + '\nop.execute("DO SLEEP(60)")')
    at_first.sql("INSERT INTO first (id, note) VALUES (2, 'behind the backup')")
    kill_the_runner(at_first, "migrate")
    kill_the_restore_behind_its_fence(at_first)
    status = came_back(at_first, application)
    steps = [(step["name"], step["state"]) for step in status["steps"]]
    assert [name for name, _ in steps] == ["plan", "backup", "migrate", "look", "restore", "restore"]
    assert [state for name, state in steps if name == "restore"] == ["Lost", "Succeeded"]
    assert "a revision is half applied" in at_first.condition()["message"]
    restored = status["run"]["restored"]
    assert restored["lostRows"] == 1
    assert {"table": "first", "inserted": 1} in restored["lost"]
    assert at_first.maria.told("SELECT note FROM first WHERE id = 2", restored["keptAs"]) == "behind the backup"
    assert at_first.asleep() == "0"


def kill_the_restore_behind_its_fence(stage: MariaDBStage) -> None:
    """It waits for a table when it closes the database; let go, it waits for one of the copy, to compare it."""
    maria, waiting = stage.maria, "State LIKE 'Waiting for table metadata lock' AND INFO LIKE 'RENAME TABLE%'"
    with ExitStack() as held_up:
        held_up.enter_context(maria.locking(f"{stage.database}.first READ"))
        count = f"SELECT count(*) FROM information_schema.PROCESSLIST WHERE db = '{stage.database}' AND {waiting}"
        eventually(lambda: maria.told(count) != "0", "A restore that closes the database", timeout=90)
        (copy,) = (name for name in maria.told("SHOW DATABASES").splitlines() if name.startswith(RESTORING))
        with maria.locking(f"{copy}.first WRITE"):
            held_up.close()
            eventually(lambda: "first" not in stage.tables(), "The fence")
            kill_the_runner(stage, "restore")


@pytest.fixture
def application(mariadb_stage: MariaDBStage) -> Idler:
    """What is drained for a restore."""
    image = mariadb_stage.namespace.cluster.image(catalog.TOOLS)
    idler = Idler(mariadb_stage.namespace, image, replicas=2)
    idler.start()
    return idler


def emergency(application: Idler) -> dict:
    """A failure is answered by a restore."""
    return {"rollback": {"onFailure": "Restore"}, "drain": {"workloads": [application.drain]}}


def came_back(stage: MariaDBStage, application: Idler) -> dict:
    """The schema and the rows are those of before, what was replaced is kept, and the application is back; gives the status."""
    status = stage.until("RolledBack", timeout=120)
    assert (status["currentRevisions"], stage.heads()) == (["r1"], ["r1"])
    assert (stage.tables(), stage.sql("SELECT note FROM first")) == ({"alembic_version", "first"}, "before")
    replaced = status["run"]["restored"]["keptAs"]
    assert stage.kept()[-1] == replaced
    assert "orders" in stage.maria.told("SHOW TABLES", replaced).split()
    assert status.get("drain") is None
    eventually(lambda: application.size == (2, 2), "All replicas", timeout=30)
    return status


def test_killed_before_it_changed_anything_each_revision_is_applied_once_in_the_end(at_first: MariaDBStage):
    begin_second_release(at_first, 'op.execute("DO SLEEP(8)")\n' + CREATE_ORDERS)
    kill_the_runner(at_first, "migrate")
    status = at_first.succeeded()
    assert [step["name"] for step in status["steps"]] == ["plan", "backup", "migrate", "look", "migrate"]
    assert (status["run"]["appliedRevisions"], at_first.heads()) == (["r2"], ["r2"])


@pytest.fixture
def at_first(mariadb_stage: MariaDBStage) -> MariaDBStage:
    """The stage at a first release, which undoes what fails."""
    mariadb_stage.spec["rollback"] = {"onFailure": "Downgrade"}
    mariadb_stage.scripts(*chain(FIRST))
    mariadb_stage.apply()
    mariadb_stage.succeeded()
    return mariadb_stage


def begin_second_release(stage: MariaDBStage, slow: str) -> None:
    """Give it, and wait until its migration sleeps."""
    stage.scripts(*chain(FIRST, slow), name="next")
    stage.apply(**NEXT)
    stage.falls_asleep()


def kill_the_runner(stage: MariaDBStage, step: str) -> None:
    """With the first process of a container the kernel ends all others."""
    os.kill(runner(stage.pod(step, "uid")), signal.SIGKILL)
