"""An SQLite backup: a copy of one instant, checked by SQLite itself, that is put back by copying it."""

from __future__ import annotations

import contextlib
import dataclasses
import random
import shutil
import sqlite3
import threading

import pytest

from dbmigration_runner.checks.backup import verify_dump
from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.errors import RunnerError, Stopped
from tests.integration.backups import Backups


@pytest.fixture
def shop(tmp_path):
    with contextlib.closing(connected(tmp_path / "shop.db")) as connection:
        connection.executescript(
            "PRAGMA journal_mode = WAL; CREATE TABLE alembic_version (version_num VARCHAR(32) PRIMARY KEY);"
            "INSERT INTO alembic_version VALUES ('a1');"
            "CREATE TABLE customers (id INTEGER PRIMARY KEY); CREATE TABLE orders (id INTEGER PRIMARY KEY, note TEXT,"
            " customer INT REFERENCES customers (id)); CREATE INDEX by_note ON orders (note)"
        )
        insert(connection, (f"note {i}" * 10 for i in range(5000)))
    return Backups(f"sqlite:///{tmp_path}/shop.db", tmp_path / "backups")


def connected(path):
    return sqlite3.connect(path, isolation_level=None, timeout=30, check_same_thread=False)


def insert(connection, notes):
    connection.execute("BEGIN")
    connection.executemany("INSERT INTO orders (note) VALUES (?)", [(note,) for note in notes])
    connection.execute("COMMIT")


def rows(path, table="orders"):
    with contextlib.closing(connected(path)) as connection:
        return connection.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall()


def test_rows_that_are_only_in_the_log_are_backed_up(shop, tmp_path):
    """A copy of the file alone would lack them: they were never checkpointed."""
    with contextlib.closing(connected(tmp_path / "shop.db")) as writer:
        writer.execute("PRAGMA wal_autocheckpoint = 0")
        insert(writer, ["late"] * 1000)
        report = shop.take(start=("a1",))
        shutil.copy(report.location, tmp_path / "restored.db")
        assert rows(tmp_path / "restored.db") == rows(tmp_path / "shop.db")
    (manifest,) = shop.manifests
    assert manifest.rows == {"alembic_version": 1, "customers": 0, "orders": 6000}
    assert (report.restorable, report.revisions) == (True, ("a1",))
    assert shop.files == {"first.sqlite", "first.manifest.json"}


def test_a_backup_is_of_one_instant_while_others_write(shop, tmp_path):
    with contextlib.closing(connected(tmp_path / "shop.db")) as connection:
        connection.execute("CREATE TABLE twin (id INTEGER PRIMARY KEY)")
        connection.execute("INSERT INTO twin SELECT id FROM orders")
    over = threading.Event()

    def write() -> None:
        with contextlib.closing(connected(tmp_path / "shop.db")) as connection:
            while not over.is_set():
                connection.executescript(
                    "BEGIN; INSERT INTO orders (note) VALUES ('new'); INSERT INTO twin VALUES (NULL); COMMIT"
                )

    writer = threading.Thread(target=write)
    writer.start()
    try:
        shop.take()
    finally:
        over.set()
        writer.join()
    (manifest,) = shop.manifests
    assert manifest.rows["orders"] == manifest.rows["twin"] <= len(rows(tmp_path / "shop.db"))


def test_a_byte_that_flipped_anywhere_is_found(shop):
    chance = random.Random(20261123)
    with shop.written() as (dump, written):
        content = written.path.read_bytes()
        for number in range(10):
            changed = bytearray(content)
            changed[chance.randrange(len(content))] ^= 0x10
            path = written.path.with_name(f"flip-{number}.sqlite.partial")
            path.write_bytes(changed)
            with pytest.raises(RunnerError) as caught:
                verify_dump(dump, dataclasses.replace(written, path=path), lambda: None)
            assert caught.value.reason is RunnerReason.BACKUP_CORRUPT


def test_a_damaged_database_is_not_taken_for_a_backup(shop, tmp_path):
    """The copy of a broken file is a faithful copy: only SQLite's own check tells."""
    with contextlib.closing(connected(tmp_path / "shop.db")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        page = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'by_note'").fetchone()[0]
    with (tmp_path / "shop.db").open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xff" * 200)
    with pytest.raises(RunnerError) as caught:
        shop.take()
    assert caught.value.reason in {RunnerReason.BACKUP_CORRUPT, RunnerReason.BACKUP_FAILED}
    assert shop.manifests == ()


def test_rows_that_refer_to_nothing_are_noted_and_no_reason_to_refuse(shop, tmp_path):
    with contextlib.closing(connected(tmp_path / "shop.db")) as connection:
        connection.execute("INSERT INTO orders (note, customer) VALUES ('orphan', 77)")
    shop.take()
    assert shop.manifests[0].notes == ("1 rows refer to rows that are not there",)


def test_a_file_that_is_not_there_yet_is_backed_up_as_an_empty_database(tmp_path):
    empty = Backups(f"sqlite:///{tmp_path}/none.db", tmp_path / "backups")
    assert empty.take(start=()).revisions == ()
    assert not (tmp_path / "none.db").exists()


def test_a_database_that_somebody_else_migrated_is_not_backed_up(shop):
    with pytest.raises(RunnerError) as caught:
        shop.take(start=("a0",))
    assert caught.value.reason is RunnerReason.DATABASE_MOVED
    assert shop.files == set()


def test_a_backup_that_is_told_to_stop_leaves_nothing(shop):
    def stop() -> None:
        raise Stopped(RunnerReason.CANCELLED, "enough")

    with pytest.raises(Stopped):
        shop.take(alive=stop)
    assert shop.files == set()


def test_a_long_check_of_the_copy_can_be_stopped(shop, tmp_path):
    with contextlib.closing(connected(tmp_path / "shop.db")) as connection:
        insert(connection, (f"more {i}" for i in range(60_000)))
    with shop.written() as (dump, written):
        reads = written.stored.size_bytes // (1 << 20) + 2
        heard = 0

        def stop() -> None:
            nonlocal heard
            heard += 1
            if heard > reads:
                raise Stopped(RunnerReason.CANCELLED, "enough")

        with pytest.raises(Stopped):
            verify_dump(dump, written, stop)


def test_the_step_reports_it(shop):
    ran = shop.start(start=("a1",)).wait()
    assert (ran.code, ran.result.reason, ran.result.heads) == (0, "Done", ("a1",))
