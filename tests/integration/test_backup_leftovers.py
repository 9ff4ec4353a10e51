"""What earlier attempts left neither fills the volume nor holds the database; and the volume's room is judged by what is known."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time

import psutil
import pytest

from dbmigration_runner.checks.manifest import write_manifest
from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.contract.task import LockBudget
from dbmigration_runner.errors import RunnerError
from tests.integration.backups import Backups
from tests.integration.test_backup_failures import until

NO_GRACE = LockBudget(grace_seconds=0)
DUMPS = (
    "SELECT pid FROM pg_stat_activity WHERE application_name = 'dbmigration/backup' AND datname = current_database()"
)


@pytest.fixture
def shop(database, tmp_path):
    database.ask(
        "CREATE TABLE orders (id int, note text); GRANT ALL ON orders TO shop;"
        "INSERT INTO orders SELECT i, md5(i::text) FROM generate_series(1, 1000) i"
    )
    return Backups(database.url, tmp_path / "backups")


@pytest.fixture
def tight(shop, small_volume):
    """The same on a volume that has room for two of its backups."""
    return Backups(shop.url, small_volume / "shop")


def fill(database, rows):
    """Rows whose dump takes about 20 bytes each, and the statistics that tell of them."""
    database.ask(f"INSERT INTO orders SELECT i, md5(i::text) FROM generate_series(1, {rows}) i")
    database.ask("VACUUM ANALYZE orders")


def refused(shop, name, **wanted):
    with pytest.raises(RunnerError) as caught:
        shop.take(name, **wanted)
    return caught.value


def named(number):
    return f"shop-{number}-20261123T00000{number}Z"


def test_a_retention_that_is_lowered_makes_room_on_a_full_volume(tight, database):
    """As the message advises; were it heeded only after the next backup, that one would never come."""
    fill(database, 18_000)
    for number in (1, 2):
        tight.take(named(number), keep_last=5)
    error = refused(tight, named(3), keep_last=5)
    assert error.reason is RunnerReason.BACKUP_VOLUME_FULL
    assert "lower backup.retention" in error.message
    report = tight.take(named(4), keep_last=1)
    assert report.pruned == (named(1), named(2))
    assert [manifest.name for manifest in tight.manifests] == [named(4)]


def test_what_made_room_for_a_backup_that_then_failed_is_told_by_the_next(shop, database):
    for number in (1, 2, 3):
        shop.take(named(number))
    database.ask("CREATE TABLE hidden (id int); ALTER TABLE hidden OWNER TO postgres")
    refused(shop, named(4), keep_last=1)
    assert [manifest.name for manifest in shop.manifests] == [named(3)]
    database.ask("DROP TABLE hidden")
    assert shop.take(named(5), keep_last=2).pruned == (named(1), named(2))


@pytest.mark.parametrize("suffix", [".dump.zst.corrupt", ".dump.zst.partial", ".dump.zst"])
def test_what_an_attempt_left_takes_no_room_from_the_next(tight, database, suffix):
    """Were it removed after a success only, there would be none."""
    fill(database, 18_000)
    tight.directory.mkdir()
    (tight.directory / f"{named(1)}{suffix}").write_bytes(b"\0" * 900_000)
    tight.take(named(2))
    assert tight.files == {f"{named(2)}.dump.zst", f"{named(2)}.manifest.json"}


def test_a_backup_of_hardly_any_rows_says_nothing_of_what_many_take(tight, database):
    """It is all schema, and may be larger than its rows: by that measure a grown database would never find room."""
    database.ask("VACUUM ANALYZE orders")
    tight.take(named(1))
    (before,) = tight.manifests
    write_manifest(tight.directory, before.__class__(**{**vars(before), "data_bytes": before.size_bytes // 4}))
    fill(database, 18_000)
    assert tight.take(named(2)).size_bytes < 600_000


def test_a_volume_that_is_mounted_read_only_is_waited_for(shop, small_volume):
    subprocess.run(["mount", "-o", "remount,ro", small_volume], check=True)
    error = refused(Backups(shop.url, small_volume / "shop"), named(1))
    assert error.reason is RunnerReason.BACKUP_FAILED
    assert "Read-only file system. Mount it writable, or set podTemplate.fsGroup" in error.message


@pytest.mark.parametrize(
    "limit", ["transaction_timeout", "idle_in_transaction_session_timeout", "idle_session_timeout"]
)
def test_a_time_limit_for_sessions_ends_neither_the_snapshot_nor_the_lock(shop, database, limit):
    """pg_dump takes them away for itself, but it needs our snapshot until then, and our lock to its end."""
    with holding(database, "orders") as held:
        database.ask(f"ALTER ROLE shop SET {limit} = '1s'")
        running = shop.start()
        until(lambda: waits(database))
        time.sleep(2)
        held.execute("ROLLBACK")
        try:
            assert running.wait().result.reason == "Done"
        finally:
            database.ask(f"ALTER ROLE shop RESET {limit}")


def test_a_pg_dump_that_outlived_its_pod_is_ended_by_the_next_attempt(shop, database):
    """While it waits for one table it holds all others, and the server does not notice that nobody listens."""
    with holding(database, "orders") as held:
        killed = shop.start()
        until(lambda: waits(database))
        for process in (*psutil.Process(killed.process.pid).children(), psutil.Process(killed.process.pid)):
            os.kill(process.pid, signal.SIGKILL)
        killed.process.communicate()
        assert waits(database)
        (left,) = database.ask(DUMPS)
        running = shop.start("second", locks=NO_GRACE)
        until(lambda: left not in database.ask(DUMPS))
        held.execute("ROLLBACK")
        ran = running.wait()
    assert ran.result.reason == "Done"
    assert any("were ended: dbmigration/backup" in warning for warning in ran.result.warnings)


def test_one_that_this_role_may_not_end_is_named(shop, database):
    with database.server.superuser(database.name) as connection:
        connection.execute("SET application_name = 'dbmigration/backup'")
        ran = shop.start(locks=NO_GRACE).wait()
    assert ran.result.reason == "LockHeld"
    assert "of an earlier attempt could not be ended by this role" in ran.result.message


@contextlib.contextmanager
def holding(database, table):
    """A session that lets nobody near the table, as DDL does."""
    with database.server.superuser(database.name) as connection:
        connection.execute("BEGIN")
        connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        yield connection


def waits(database):
    """Does a pg_dump wait for a table?"""
    return bool(database.ask(DUMPS + " AND wait_event_type = 'Lock'"))
