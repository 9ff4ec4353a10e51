"""SQLite on a claim, beside an application that has the file open and writes: a release, and a failed one that comes back.

The file is free only when the application is drained; the volume has no room for the restore until somebody makes some; and then
it is killed when it is half-way.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.access import Cluster, eventually
from tests.cluster.embedded import catalog
from tests.cluster.inmates import runner
from tests.cluster.operator.history import FAIL, GOOD, Revision, chain
from tests.cluster.operator.idlers import Idler
from tests.cluster.operator.orders import give, told
from tests.cluster.operator.sqlite import CLAIM, SQLiteStage

ORDERS = 500
ROOM_LEFT = 1_500_000  # bytes: for a revision, and not for the restore of a database of two megabytes
_WRITES = """
import sqlite3, time
connection = sqlite3.connect("/data/shop.db", timeout=60, isolation_level=None)
connection.execute("PRAGMA journal_mode = WAL")
while True:
    connection.execute("INSERT INTO orders (note) VALUES ('written')")
    time.sleep(0.1)
"""
GOOD_RELEASE = chain(*GOOD)
CANNOT = Revision(
    "r4", 'op.add_column("orders", sa.Column("paid", sa.Integer))', "r3", undo='raise RuntimeError("nobody wrote it")'
)
BROKEN = Revision("r5", FAIL.replace("1 / 0", "nothing FROM nowhere"), "r4")


def at_rest(file: Path, question: str) -> tuple[tuple[Any, ...], ...]:
    """What a query answers of a file that nobody has open; nothing is made beside it."""
    with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro&immutable=1", uri=True)) as connection:
        return tuple(connection.execute(question))


def writes_on(stage: SQLiteStage) -> None:
    """Wait until the application has written something more."""
    counted = "SELECT count(*) FROM orders WHERE note = 'written'"
    before = stage.rows(counted)
    eventually(lambda: stage.rows(counted) > before, "More writes", timeout=60)


@contextlib.contextmanager
def in_use(file: Path) -> Iterator[Callable[[], None]]:
    """Within, somebody reads the file, so that nobody can be alone with it; gives its end."""
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM orders").fetchone()
        yield reader.close


def kill_the_restore_in_its_exchange(stage: SQLiteStage, let_go: Callable[[], None]) -> None:
    """It stands before the file until it is let in, and is killed when the replaced one is kept and the backup is being written."""

    def waits() -> bool:
        pod = stage.pod("restore", "name")
        return bool(pod) and '"restored"' in stage.namespace.kubectl("logs", pod, check=False)

    eventually(waits, "A restore before the file", timeout=120)
    restore = runner(stage.pod("restore", "uid"))
    let_go()
    until = time.monotonic() + 60
    while not stage.kept():
        assert time.monotonic() < until, stage.evidence()
        time.sleep(0.001)
    os.kill(restore, signal.SIGSTOP)
    # From here to the end are some milliseconds: it goes on for two of them at a time.
    before = beside(stage.file)
    while beside(stage.file) == before:
        os.kill(restore, signal.SIGCONT)
        time.sleep(0.002)
        os.kill(restore, signal.SIGSTOP)
    impatient = contextlib.closing(sqlite3.connect(stage.file, timeout=0))
    with impatient as connection, pytest.raises(sqlite3.OperationalError, match="locked"):
        connection.execute("SELECT 1 FROM orders").fetchall()
    os.kill(restore, signal.SIGKILL)


def beside(file: Path) -> list[tuple[int, int]]:
    """Sizes and times of what SQLite writes first, for its way back."""
    found = [path.stat() for path in file.parent.glob(f"{file.name}-*") if path.name.endswith(("-journal", "-wal"))]
    return [(seen.st_size, seen.st_mtime_ns) for seen in found]


def comes_back_by_hand(stage: SQLiteStage, web: Idler, backup: str) -> None:
    """To the first release: not without leave, and once."""
    give(stage, "look", backup, accept=False)
    told(stage, "look", "RestoreNeedsAcknowledgement")
    assert (web.size[0], stage.heads()) == (1, ["r3"])
    give(stage, "back", backup, accept=True)
    done = told(stage, "back", "Restored")
    assert (done["revision"], done["lostRows"] > 0) == ("r1", True)
    assert (stage.until("Restored")["phase"], web.size[0]) == ("Restored", 1)
    writes_on(stage)
    assert stage.heads() == ["r1"]
    stage.namespace.kubectl("delete", "dbr", "back")
    give(stage, "back", backup, accept=True)
    told(stage, "back", "AlreadyRestored")


def test_a_release_and_a_failed_one_that_is_restored_as_soon_as_there_is_room(
    sqlite_stage: SQLiteStage, cluster: Cluster
):
    stage, folder = sqlite_stage, sqlite_stage.folder
    stage.scripts(*GOOD_RELEASE)
    stage.apply(targetRevision="r1")
    stage.succeeded()
    with contextlib.closing(sqlite3.connect(stage.file)) as connection, connection:
        notes = [(f"order {number} {'.' * 4000}",) for number in range(ORDERS)]
        connection.executemany("INSERT INTO orders (note) VALUES (?)", notes)
    web = Idler(
        stage.namespace, cluster.image(catalog.TOOLS), name="web", command=("python3", "-c", _WRITES), claim=CLAIM
    )
    web.start()
    writes_on(stage)

    stage.apply(checks={"after": {"integrity": True}})
    status = stage.succeeded()
    assert status["run"]["appliedRevisions"] == ["r2", "r3"]
    assert stage.heads() == ["r3"]
    (backup,) = (item for item in status["backups"] if item.get("revisions") == ["r1"])
    assert stage.backups.folder is not None
    (dump,) = (path for path in stage.backups.folder.rglob(f"{backup['name']}*") if not path.name.endswith(".json"))
    assert at_rest(dump, "SELECT count(*) FROM orders WHERE note LIKE 'order %'") == ((ORDERS,),)
    writes_on(stage)

    room = os.statvfs(folder)
    filler = folder / "filler"
    filler.write_bytes(bytes(room.f_bavail * room.f_frsize - ROOM_LEFT))
    stage.scripts(*GOOD_RELEASE, CANNOT, BROKEN, name="scripts-2")
    source = {"source": {"configMap": {"name": "scripts-2"}}}
    rollback = {"onFailure": "DowngradeOrRestore", "acceptDataLoss": True}
    stage.apply(migrations=source, drain={"workloads": [web.drain]}, rollback=rollback)
    waiting = stage.until("DiskSpaceLow", timeout=180)
    assert (waiting["phase"], web.size[0]) == ("Restoring", 0)
    told = {condition["reason"]: condition["message"] for condition in waiting["conditions"]}
    assert "grow the volume" in told["DiskSpaceLow"]
    assert stage.heads() == ["r4"]
    with in_use(stage.file) as let_go:
        filler.unlink()
        kill_the_restore_in_its_exchange(stage, let_go)

    status = stage.until("RolledBack", timeout=180)
    assert [step["state"] for step in status["steps"] if step["name"] == "restore"][-2:] == ["Lost", "Succeeded"]
    assert (status["currentRevisions"], status.get("drain"), web.size[0]) == (["r3"], None, 1)
    assert stage.heads() == ["r3"]
    assert stage.rows("PRAGMA integrity_check") == (("ok",),)
    assert [column[1] for column in stage.rows("PRAGMA table_info(orders)")] == ["id", "note", "total"]
    assert stage.rows("SELECT count(*) FROM orders WHERE note LIKE 'order %'") == ((ORDERS,),)
    restored = status["run"]["restored"]
    assert len(stage.listed(restored)) == restored["lostRows"] > 0
    assert stage.kept() == [restored["keptAs"]]
    assert at_rest(folder / restored["keptAs"], "SELECT version_num FROM alembic_version") == (("r4",),)
    writes_on(stage)

    comes_back_by_hand(stage, web, backup["name"])
