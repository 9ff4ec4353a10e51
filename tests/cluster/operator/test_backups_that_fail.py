"""A backup that goes wrong: its own reason with a remedy, no migrate Job, and nothing listed that is no way back.

Were one of them believed, the migration that follows would have no way back, and nobody would know until it was needed.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dbmigration.api.explanations import EXPLANATIONS
from dbmigration.api.reasons import Reason
from tests.cluster.access import eventually
from tests.cluster.embedded import catalog
from tests.cluster.inmates import kill
from tests.cluster.operator.chronicle import Chronicle, chronicle_of, condition
from tests.cluster.operator.history import GOOD, chain
from tests.cluster.operator.idlers import Idler
from tests.cluster.operator.stage import Stage

MIB = 1 << 20
MENDABLE, FINAL = ["False", "True", "False"], ["False", "False", "True"]


@pytest.fixture
def shop(stage: Stage) -> Stage:
    """Rows for a dump of some megabytes; three revisions are pending."""
    stage.psql(
        f"CREATE TABLE parcels (id int PRIMARY KEY, label text); ALTER TABLE parcels OWNER TO {stage.role};"
        "INSERT INTO parcels SELECT i, md5(i::text) || md5((i * 7)::text) FROM generate_series(1, 120000) AS i"
    )
    stage.psql("VACUUM ANALYZE parcels")
    stage.scripts(*chain(*GOOD))
    return stage


@pytest.fixture
def chronicle(shop: Stage) -> Iterator[Chronicle]:
    with chronicle_of(shop.namespace) as seen:
        yield seen


def refused(shop: Stage, status: dict, reason: Reason, trio: list[str]) -> str:
    """Assert what every failed backup must show; gives the message."""
    ready = condition(status)
    assert [condition(status, kind)["status"] for kind in ("Ready", "Reconciling", "Stalled")] == trio
    assert [condition(status, kind)["reason"] for kind in ("Ready", "Reconciling", "Stalled")].count(reason.value) >= 1
    assert EXPLANATIONS[reason].remedy.split(";")[0].rstrip(".") in ready["message"]
    assert not status.get("backups")
    told = eventually(
        lambda: next((event for event in shop.events() if event.startswith(f"{reason}: ")), None), f"An Event {reason}"
    )
    assert told == f"{reason}: {ready['message']}"
    assert "migrate" not in shop.jobs()
    return str(ready["message"])


def half_written(shop: Stage) -> Path:
    """The dump that stands held up, with megabytes of it on the disk."""
    assert shop.backups.folder is not None
    folder = shop.backups.folder
    return eventually(
        lambda: next((path for path in folder.rglob("*.dump.partial") if path.stat().st_size > MIB), None),
        "A dump in the middle of being written",
        timeout=120,
    )


def is_the_only_backup(shop: Stage, status: dict) -> None:
    """Assert that what is on the volume is what status lists, and nothing else is."""
    (backup,) = status["backups"]
    assert (backup.get("revisions", []), backup["restorable"]) == ([], True)
    assert shop.backups.folder is not None
    (folder,) = (path for path in shop.backups.folder.iterdir() if path.is_dir())
    assert {path.name for path in folder.iterdir()} == {f"{backup['name']}.dump", f"{backup['name']}.manifest.json"}
    assert hashlib.sha256((folder / f"{backup['name']}.dump").read_bytes()).hexdigest() == backup["sha256"]


def test_a_full_volume_is_told_and_used_once_there_is_room(shop: Stage, chronicle: Chronicle):
    shop.backups = shop.namespace.volume("small", size_mib=16)
    shop.spec["backup"] = {"storage": {"persistentVolumeClaim": {"claimName": "small"}}}
    assert shop.backups.folder is not None
    ballast = shop.backups.folder / "somebody-elses.tar"
    space = os.statvfs(shop.backups.folder)
    ballast.write_bytes(os.urandom(space.f_bavail * space.f_frsize - 2 * MIB))
    shop.apply()
    message = refused(shop, chronicle.first("BackupVolumeFull"), Reason.BACKUP_VOLUME_FULL, MENDABLE)
    assert "what was written is removed" in message
    ballast.unlink()
    status = shop.succeeded()
    assert shop.heads() == ["r3"]
    is_the_only_backup(shop, status)


def delete_the_pod(shop: Stage) -> None:
    """As whoever drains its node does: it is asked to end, and says so."""
    shop.namespace.kubectl("delete", "pod", shop.pod("backup", "name"), "--wait=false")


def kill_its_first_process(shop: Stage) -> None:
    kill(shop.pod("backup", "uid"), lambda inmate: inmate.pid_inside == 1 and b"inject" in inmate.command)


def kill_pg_dump(shop: Stage) -> None:
    kill(shop.pod("backup", "uid"), lambda inmate: b"pg_dump" in inmate.command)


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        (delete_the_pod, Reason.STEP_INTERRUPTED),
        (kill_its_first_process, Reason.STEP_LOST),
        (kill_pg_dump, Reason.BACKUP_FAILED),
    ],
    ids=["the Pod is deleted", "its program is killed", "pg_dump alone is killed"],
)
def test_killed_in_mid_dump_the_backup_is_taken_again(
    shop: Stage, chronicle: Chronicle, how: Callable[[Stage], None], reason: Reason
):
    with shop.dumps_held_up():
        shop.apply()
        left = half_written(shop)
        how(shop)
        refused(shop, chronicle.first(reason), reason, MENDABLE)
    status = shop.succeeded()
    assert shop.heads() == ["r3"]
    assert [step["name"] for step in status["steps"]] == ["plan", "backup", "backup", "migrate"]
    assert status["backups"][0]["name"] != left.name.removesuffix(".dump.partial")
    is_the_only_backup(shop, status)


def test_a_byte_that_flips_behind_a_dump_is_found_and_another_one_made(shop: Stage, chronicle: Chronicle):
    with shop.dumps_held_up():
        shop.apply()
        dump = half_written(shop)
        with dump.open("r+b") as file:
            file.seek(MIB // 2)
            (byte,) = file.read(1)
            file.seek(MIB // 2)
            file.write(bytes([byte ^ 0x10]))
    message = refused(shop, chronicle.first("BackupCorrupt"), Reason.BACKUP_CORRUPT, MENDABLE)
    corrupt = dump.name.removesuffix(".dump.partial")
    assert corrupt in message
    status = shop.succeeded()
    assert all(known["name"] != corrupt for seen in chronicle.statuses for known in seen.get("backups", ()))
    is_the_only_backup(shop, status)


def test_a_dump_whose_schema_does_not_restore_ends_the_run_until_it_is_mended(shop: Stage, chronicle: Chronicle):
    """The everyday way to get one: what an index calls was edited, and works only where `public` is searched."""
    shop.psql(
        f"SET ROLE {shop.role}; CREATE FUNCTION weight(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1';"
        "CREATE FUNCTION rank(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1';"
        "CREATE INDEX parcels_rank ON parcels (rank(id));"
        "CREATE OR REPLACE FUNCTION rank(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT weight($1)'"
    )
    shop.apply()
    status = shop.until("BackupNotRestorable", timeout=120)
    message = refused(shop, status, Reason.BACKUP_NOT_RESTORABLE, FINAL)
    assert status["phase"] == "Failed"
    assert "function weight(integer) does not exist" in message
    assert shop.jobs() == ["plan", "backup"]
    assert shop.backups.folder is not None
    (manifest,) = shop.backups.folder.rglob("*.manifest.json")
    assert json.loads(manifest.read_text())["restorable"] is False
    shop.psql("CREATE OR REPLACE FUNCTION rank(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT public.weight($1)'")
    shop.apply(annotations={"dbmigration.io/retry": "mended"})
    is_the_only_backup(shop, shop.succeeded())
    assert shop.heads() == ["r3"]


def test_a_restore_that_the_role_may_not_try_is_refused_where_it_is_the_way_back_and_warned_of_elsewhere(shop: Stage):
    """Believed in, it would be missing when the migration has failed and the application is stopped."""
    web = Idler(shop.namespace, shop.namespace.cluster.image(catalog.TOOLS), name="web")
    web.start()
    shop.server.psql(f"ALTER ROLE {shop.role} NOCREATEDB")
    shop.apply(drain={"workloads": [web.drain]}, rollback={"onFailure": "Restore"})
    status = shop.until("RestoreNotPossible")
    message = condition(status)["message"]
    assert "rollback.onFailure relies on a restore" in message
    assert "give the role CREATEDB, or set adminUrlFrom" in message
    assert (status["phase"], shop.jobs(), shop.heads()) == ("Failed", ["plan"], [])
    assert (web.size[0], status.get("drain")) == (1, None)

    shop.apply()
    status = shop.succeeded()
    (backup,) = status["backups"]
    assert "restorable" not in backup
    assert "give the role CREATEDB, or set adminUrlFrom" in backup["note"]
    assert f"StepWarned: backup: {backup['note']}" in shop.events()
    assert shop.heads() == ["r3"]
