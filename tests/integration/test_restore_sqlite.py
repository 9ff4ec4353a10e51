"""An SQLite restore: the dump is copied into the live file in one transaction, and the replaced one is kept beside it."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import random
import shutil
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from dbmigration_runner.contract.result import Outcome, RestoreStage, TableLoss
from dbmigration_runner.engines import engine_for
from dbmigration_runner.engines.restore import drop_replaced
from tests.integration.backups import Backups
from tests.integration.restores import KEPT, Restores, stopped
from tests.sampling import SEEDS

POINTS = (
    *(f"stage:{stage.value}" for stage in RestoreStage),
    "engines.sqlite_restore:SQLiteRestore._keep",
    "engines.sqlite_restore:SQLiteRestore._put_back",
    "engines.sqlite_restore:SQLiteRestore.confirm",
)


@dataclass(frozen=True)
class Shop:
    """A database file and the restores of it."""

    path: Path
    restores: Restores

    @property
    def kept(self) -> Path:
        return self.path.with_name(f"{self.path.name}.replaced-{KEPT}")

    def say(self, script: str) -> None:
        with contextlib.closing(sqlite3.connect(self.path)) as connection:
            connection.executescript(script)

    def migrate(self) -> None:
        self.say("UPDATE alembic_version SET version_num = 'a2'; CREATE TABLE invoices (id INTEGER PRIMARY KEY);")

    def listed(self, report) -> list[dict[str, object]]:
        path = self.restores.backups.directory / report.list_file
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def ask(path, question):
    """On a connection that is closed at once: an open one keeps a restore out."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute(question).fetchall()


def everything(path):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump()), connection.execute("PRAGMA integrity_check").fetchall()


@pytest.fixture(params=["delete", "wal"])
def shop(request, tmp_path):
    path = tmp_path / "data" / "shop ünd#.db"
    path.parent.mkdir()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA journal_mode = {request.param}")
        connection.executescript(
            "CREATE TABLE alembic_version (version_num TEXT NOT NULL PRIMARY KEY); INSERT INTO alembic_version VALUES ('a1');"
            "CREATE TABLE orders (id INTEGER PRIMARY KEY, note TEXT COLLATE NOCASE, paid INT);"
            'CREATE TABLE "Odd: (name%" ("a:b" BLOB NOT NULL, "x""y" INT NOT NULL, PRIMARY KEY ("x""y", "a:b")) WITHOUT ROWID;'
            "INSERT INTO \"Odd: (name%\" VALUES (x'00ff', 1), ('%s :x', 2);"
            "CREATE TABLE log (line TEXT); INSERT INTO log VALUES ('opened'), ('opened');"
            "CREATE TABLE doubled (id INTEGER PRIMARY KEY, a INT, b INT GENERATED ALWAYS AS (a * 2) STORED);"
            "INSERT INTO doubled (a) VALUES (1)"
        )
        connection.executemany("INSERT INTO orders (note) VALUES (?)", [(f"note {number}",) for number in range(5000)])
        connection.commit()
    backups = Backups(f"sqlite:///{path}", tmp_path / "backups")
    return Shop(path, Restores(backups, backups.take()))


def test_the_backup_is_the_database_again_and_the_replaced_one_is_kept(shop):
    before = everything(shop.path)
    shop.migrate()
    shop.say("INSERT INTO orders (note) VALUES ('late'); PRAGMA user_version = 7")
    replaced = everything(shop.path)
    mode = ask(shop.path, "PRAGMA journal_mode")
    ran = shop.restores.run(accept_data_loss=True)
    assert (ran.result.outcome, ran.result.heads, ran.result.changed) == (Outcome.SUCCEEDED, ("a1",), True), ran
    assert ran.result.restore is not None
    assert (ran.result.restore.kept_as, ran.result.restore.stage) == (shop.kept.name, RestoreStage.LOOKED)
    assert everything(shop.path) == before
    assert everything(shop.kept) == replaced
    assert ran.result.warnings == ("PRAGMA user_version was set to 7 since the backup, and is 0 again.",)
    assert (ask(shop.path, "PRAGMA user_version"), ask(shop.kept, "PRAGMA user_version")) == ([(0,)], [(7,)])
    assert ask(shop.path, "PRAGMA journal_mode") == mode
    assert shop.kept.stat().st_mode & 0o777 == 0o600


def test_a_database_whose_pages_got_another_size_is_put_back_too(shop):
    """In WAL mode SQLite refuses such a copy; nobody comes in while it is in another mode for it."""
    before, (mode,) = everything(shop.path), ask(shop.path, "PRAGMA journal_mode")
    shop.migrate()
    shop.say(f"PRAGMA journal_mode = DELETE; PRAGMA page_size = 8192; VACUUM; PRAGMA journal_mode = {mode[0]}")
    replaced = everything(shop.path)
    ran = shop.restores.run(accept_data_loss=True)
    assert (ran.result.reason, ran.result.heads) == ("Done", ("a1",)), ran
    assert everything(shop.path) == before
    assert everything(shop.kept) == replaced
    assert ask(shop.path, "PRAGMA journal_mode") == [mode]


@pytest.mark.parametrize("at", ["engines.sqlite_restore:_copy_over", "stage:swapped"])
def test_killed_while_the_journal_has_another_mode_the_next_attempt_gives_it_back(shop, at):
    (mode,) = ask(shop.path, "PRAGMA journal_mode")
    shop.migrate()
    shop.say(f"PRAGMA journal_mode = DELETE; PRAGMA page_size = 8192; VACUUM; PRAGMA journal_mode = {mode[0]}")
    shop.restores.lose(at, nothing_written=True)
    if at.startswith("stage"):
        shop.say("PRAGMA journal_mode = DELETE")  # as it is an instant before the mode is given back
    ran = shop.restores.run(attempt=2, nothing_written=True)
    assert (ran.result.reason, ran.result.heads) == ("Done", ("a1",)), ran
    assert ask(shop.path, "PRAGMA journal_mode") == [mode]
    assert ask(shop.path, "PRAGMA integrity_check") == [("ok",)]


def test_a_file_that_is_reached_by_a_link_is_kept_beside_the_file(shop, tmp_path):
    """There its log is and its room is measured, and who comes by the other name meets the same lock."""
    shop.migrate()
    link = tmp_path / "link.db"
    link.symlink_to(shop.path)
    by_link = Restores(Backups(f"sqlite:///{link}", shop.restores.backups.directory), shop.restores.report)
    lock = engine_for(f"sqlite:///{shop.path}").lock(exclusive=True, should_stop=lambda: None, wait_seconds=1)
    try:
        assert by_link.run(nothing_written=True).result.reason == "LockHeld"
    finally:
        lock.release()
    result = by_link.run(attempt=2, nothing_written=True).result
    assert (result.reason, result.heads) == ("Done", ("a1",)), result
    assert (link.is_symlink(), shop.kept.exists()) == (True, True)


def test_every_kind_of_loss_is_counted_and_listed_exactly(shop):
    """NOCASE would call two notes equal, and an affinity 1 and '1': what is stored counts."""
    shop.migrate()
    shop.say(
        "INSERT INTO orders (id, note) VALUES (6000, 'new'); DELETE FROM orders WHERE id = 17;"
        "UPDATE orders SET note = upper(note) WHERE id = 3; UPDATE orders SET paid = '1x' WHERE id = 4;"
        "INSERT INTO \"Odd: (name%\" VALUES (x'0a', 2); INSERT INTO log VALUES ('closed')"
    )
    before = everything(shop.path)
    refused = shop.restores.run().result
    assert refused.reason == "RestoreNeedsAcknowledgement", refused
    assert everything(shop.path) == before
    assert not shop.kept.exists()
    result = shop.restores.run(accept_data_loss=True).result
    assert result.restore is not None
    assert refused.restore is not None
    assert result.restore.lost == refused.restore.lost
    assert result.restore.lost == (
        TableLoss("Odd: (name%", inserted=1),
        TableLoss("log", inserted=1, untold="it has no key, so its rows were only counted, and they differ"),
        TableLoss("orders", inserted=1, updated=2, deleted=1),
    )
    assert {
        (row["table"], row["kind"], json.dumps(row["key"], sort_keys=True)) for row in shop.listed(result.restore)
    } == {
        ("orders", "inserted", '{"id": "6000"}'),
        ("orders", "deleted", '{"id": "17"}'),
        ("orders", "updated", '{"id": "3"}'),
        ("orders", "updated", '{"id": "4"}'),
        ("Odd: (name%", "inserted", '{"a:b": "0A", "x\\"y": "2"}'),
    }


def test_where_nobody_wrote_no_leave_is_needed(shop):
    shop.migrate()
    result = shop.restores.run().result
    assert (result.outcome, result.restore and result.restore.lost) == (Outcome.SUCCEEDED, ()), result


@pytest.mark.parametrize("point", POINTS)
def test_a_second_attempt_goes_on_wherever_the_first_was_killed(shop, point):
    before = everything(shop.path)
    shop.migrate()
    shop.say("INSERT INTO orders (id, note) VALUES (9000, 'late')")
    replaced = everything(shop.path)
    shop.restores.lose(point, accept_data_loss=True)
    assert everything(shop.path) in (before, replaced)
    ran = shop.restores.run(attempt=2, accept_data_loss=True)
    assert (ran.result.outcome, ran.result.heads) == (Outcome.SUCCEEDED, ("a1",)), ran
    assert ran.result.restore is not None
    assert (ran.result.restore.lost_rows, ran.result.restore.kept_as) == (1, shop.kept.name)
    assert shop.listed(ran.result.restore) == [{"table": "orders", "kind": "inserted", "key": {"id": "9000"}}]
    assert everything(shop.path) == before
    assert everything(shop.kept) == replaced
    assert sorted(path.name for path in shop.path.parent.iterdir() if "replaced" in path.name) == [shop.kept.name]


@pytest.mark.parametrize("point", ["stage:compared", "stage:swapped"])
def test_a_look_behind_it_knows_whether_it_took_place(shop, point):
    shop.migrate()
    look = shop.restores.looking()
    shop.restores.lose(point, accept_data_loss=True)
    ran = shop.restores.start(task=look).wait()
    kept = ran.result.restore.kept_as if ran.result.restore is not None else None
    told = (("a1",), shop.kept.name) if point == "stage:swapped" else (("a2",), None)
    assert (ran.result.outcome, ran.result.heads, kept) == (Outcome.SUCCEEDED, *told), ran


def test_a_copy_that_is_killed_half_way_is_undone(shop):
    """Copied over as a file, half of it would be one database and half the other."""
    shop.say("CREATE TABLE padding (text)")
    with contextlib.closing(sqlite3.connect(shop.path)) as connection:
        connection.executemany("INSERT INTO padding VALUES (?)", [("x" * 5000,) for _ in range(20000)])
        connection.commit()
    shop = Shop(shop.path, Restores(shop.restores.backups, shop.restores.backups.take("second")))
    shop.say("UPDATE padding SET text = 'y' || text; UPDATE alembic_version SET version_num = 'a2'")
    seen = False
    for _ in range(20):
        running = shop.restores.start(nothing_written=True)
        journals = [shop.path.with_name(shop.path.name + end) for end in ("-journal", "-wal")]
        while running.process.poll() is None:
            if shop.kept.exists() and any(path.exists() and path.stat().st_size > 1 << 20 for path in journals):
                seen = True
                break
            time.sleep(0.001)
        running.process.kill()
        running.process.communicate()
        if seen:
            break
        shop.kept.unlink(missing_ok=True)
        shop.say("UPDATE padding SET text = 'y' || text; UPDATE alembic_version SET version_num = 'a2'")
    assert seen
    heads = ask(shop.path, "SELECT version_num FROM alembic_version")
    assert heads == [("a2",)]
    assert ask(shop.path, "PRAGMA integrity_check") == [("ok",)]
    assert shop.restores.run(attempt=2, nothing_written=True).result.heads == ("a1",)


def _write(path: str, number: int, seed: int, ledger, over) -> None:
    chance = random.Random(seed * 10 + number)
    connection = sqlite3.connect(path, timeout=30, isolation_level=None)
    count = 0
    while not over.is_set():
        count += 1
        row = 10_000 + count * 3 + number
        connection.execute("INSERT INTO orders (id, note) VALUES (?, 'written')", (row,))
        ledger.append(row)
        connection.close()
        time.sleep(chance.uniform(0.005, 0.02))  # nobody comes in who always finds the file open
        connection = sqlite3.connect(path, timeout=30, isolation_level=None)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_acknowledged_write_is_in_the_database_or_in_the_list(shop, seed):
    """Without the lock that is kept, rows that are written between the comparison and the copy are in neither."""
    shop.migrate()
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager:
        ledger, over = manager.list(), manager.Event()
        writers = [
            context.Process(target=_write, args=(str(shop.path), number, seed, ledger, over)) for number in range(2)
        ]
        for writer in writers:
            writer.start()
        while not ledger:
            time.sleep(0.05)
        result = shop.restores.run(accept_data_loss=True, grace=30).result
        time.sleep(0.2)
        over.set()
        for writer in writers:
            writer.join()
        written = list(ledger)
    assert result.outcome is Outcome.SUCCEEDED, result
    lost = {int(row["key"]["id"]) for row in shop.listed(result.restore)}
    now = {row[0] for row in ask(shop.path, "SELECT id FROM orders WHERE id > 10000")}
    assert lost
    assert set(written) <= lost | now
    assert not lost & now
    kept = {row[0] for row in ask(shop.kept, "SELECT id FROM orders WHERE id > 10000")}
    assert lost == kept


def test_who_is_about_to_commit_can_while_the_restore_waits(shop):
    """A try that fails must keep nothing: with a reader's lock of ours, his commit would wait for us as we for him."""
    shop.migrate()
    with contextlib.closing(sqlite3.connect(shop.path, timeout=5, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("INSERT INTO orders (id, note) VALUES (10000, 'written')")
        running = shop.restores.start(fails_at="stage:restored", signal="SIGSTOP", grace=30, accept_data_loss=True)
        with stopped(running):
            pass  # it fences next
        time.sleep(0.5)  # for many tries
        writer.execute("COMMIT")
    result = running.wait().result
    assert result.outcome is Outcome.SUCCEEDED, result
    assert {"table": "orders", "kind": "inserted", "key": {"id": "10000"}} in shop.listed(result.restore)


def test_who_has_the_file_in_use_is_waited_for_and_then_told(shop):
    shop.migrate()
    before = everything(shop.path)
    with contextlib.closing(sqlite3.connect(shop.path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM orders").fetchall()
        result = shop.restores.run(nothing_written=True).result
    assert (result.reason, result.changed) == ("SessionStays", False), result
    assert everything(shop.path) == before
    assert not shop.kept.exists()


def test_a_damaged_dump_is_refused(shop):
    (dump,) = [path for path in shop.restores.backups.directory.iterdir() if path.suffix == ".sqlite"]
    data = bytearray(dump.read_bytes())
    data[len(data) // 2] ^= 1
    dump.write_bytes(data)
    before = everything(shop.path)
    assert shop.restores.run(accept_data_loss=True).result.reason == "BackupCorrupt"
    assert everything(shop.path) == before


def moved(shop: Shop, volume: Path, kilobytes: int) -> Shop:
    """The same on a volume of one megabyte, with so much more in it."""
    path = volume / "shop.db"
    shutil.copyfile(shop.path, path)
    if shop.path.with_name(shop.path.name + "-wal").exists():
        shutil.copyfile(shop.path.with_name(shop.path.name + "-wal"), path.with_name("shop.db-wal"))
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            f"CREATE TABLE padding (text); INSERT INTO padding SELECT hex(randomblob({kilobytes * 500}))"
        )
    backups = Backups(f"sqlite:///{path}", shop.restores.backups.directory)
    return Shop(path, Restores(backups, shop.restores.report))


@pytest.mark.parametrize("left", [0, 300_000], ids=["for nothing", "for what is kept only"])
def test_a_volume_that_fills_up_within_the_exchange_leaves_the_database_as_it_was(shop, small_volume, left):
    small = moved(shop, small_volume, 200)
    before = everything(small.path)
    running = small.restores.start(fails_at="stage:compared", signal="SIGSTOP", accept_data_loss=True)
    filler = small_volume / "filler"
    with stopped(running):
        room = os.statvfs(small_volume)
        filler.write_bytes(bytes(max(room.f_bavail * room.f_frsize - left, 0)))
    ran = running.wait()
    assert (ran.result.reason, ran.result.changed) == ("DiskSpaceLow", False), ran
    filler.unlink()  # in WAL mode nobody can so much as read without some room
    assert everything(small.path) == before
    assert ask(small.path, "PRAGMA integrity_check") == [("ok",)]
    assert not small.kept.exists()
    ran = small.restores.run(attempt=2, accept_data_loss=True)
    assert (ran.result.reason, ran.result.heads) == ("Done", ("a1",)), ran


def test_a_volume_without_room_is_told_before(shop, small_volume):
    ran = moved(shop, small_volume, 400).restores.run(accept_data_loss=True)
    assert ran.result.reason == "DiskSpaceLow", ran
    assert [event["stage"] for event in ran.events_called("restore-stage")] == ["verified"]
    assert sorted(found.name for found in small_volume.iterdir() if "replaced" in found.name) == []


def test_what_was_kept_first_is_not_overwritten_by_a_later_attempt(shop):
    """The first attempt ended after the copy, the application wrote, and a second one came: the first copy is the evidence."""
    shop.migrate()
    replaced = everything(shop.path)
    shop.restores.lose("stage:swapped", nothing_written=True)
    shop.say("INSERT INTO orders (note) VALUES ('later')")
    result = shop.restores.run(attempt=2, accept_data_loss=True).result
    assert result.restore is not None
    assert result.restore.kept_as == f"{shop.kept.name}-2"
    assert everything(shop.kept) == replaced


def test_only_what_a_restore_kept_is_dropped(shop):
    shop.migrate()
    shop.restores.run(nothing_written=True)
    engine = engine_for(f"sqlite:///{shop.path}")
    for name in (shop.path.name, "../backups/first.sqlite", f"{shop.path.name}.replaced-", "other.db.replaced-x"):
        assert not drop_replaced(engine, None, name)
    assert drop_replaced(engine, None, shop.kept.name)
    assert not shop.kept.exists()


def test_numbers_that_a_table_gave_first_after_the_backup_are_not_given_again_unasked(shop):
    shop.say(
        "CREATE TABLE invoices (id INTEGER PRIMARY KEY AUTOINCREMENT); CREATE TABLE quiet (id INTEGER PRIMARY KEY AUTOINCREMENT)"
    )
    again = Restores(shop.restores.backups, shop.restores.backups.take("second"))
    shop.say("INSERT INTO invoices VALUES (NULL); DELETE FROM invoices")
    result = again.run().result
    assert (result.reason, result.changed) == ("RestoreNeedsAcknowledgement", False)
    assert "sequence of invoices: it has given numbers since" in result.message
    assert "quiet" not in result.message
