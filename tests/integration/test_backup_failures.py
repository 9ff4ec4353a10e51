"""What goes wrong during a backup ends in a clear word, an untouched database and no backup that only looks like one."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from pathlib import Path
from urllib.parse import quote

import psutil
import pytest

from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.contract.task import LockBudget
from dbmigration_runner.engines import engine_for
from dbmigration_runner.engines.postgresql_tools import choose, installed, libpq
from dbmigration_runner.errors import Refusal, RunnerError, Stopped
from tests.integration import backups
from tests.integration.backups import Backups
from tests.integration.postgresql_server import running_server

NASTY = "C4nary%20\"'$:@/"


@pytest.fixture
def shop(database, tmp_path):
    database.ask(
        "CREATE TABLE orders (id int, note text);"
        "INSERT INTO orders SELECT i, md5(i::text) FROM generate_series(1, 1000) i; GRANT ALL ON orders TO shop"
    )
    return Backups(database.url, tmp_path / "backups", database.server.url(database.name, user="postgres"))


@pytest.fixture
def large(shop, database):
    """Enough rows, which do not compress well, for a dump to be met at work."""
    database.ask("INSERT INTO orders SELECT i, md5(i::text) || md5((i * 3)::text) FROM generate_series(1, 700000) i")
    return shop


def refused(shop, **wanted):
    with pytest.raises(RunnerError) as caught:
        shop.take(**wanted)
    return caught.value


def until(truth, seconds=20.0):
    end = time.monotonic() + seconds
    while not truth():
        assert time.monotonic() < end, "what was waited for did not come"
        time.sleep(0.005)


def being_written(shop):
    return (
        any(path.stat().st_size > 1 << 20 for path in shop.directory.glob("*.partial"))
        if shop.directory.exists()
        else False
    )


def test_a_volume_that_runs_full_is_told_and_left_empty(large, small_volume):
    full = Backups(large.url, small_volume / "shop", large.admin_url)
    error = refused(full)
    assert error.reason is RunnerReason.BACKUP_VOLUME_FULL
    assert full.files == set()


def test_a_volume_that_cannot_hold_the_next_backup_is_told_before_it_is_written(shop, small_volume, database):
    roomy = Backups(shop.url, small_volume / "shop", shop.admin_url)
    database.ask("INSERT INTO orders SELECT i, md5(i::text) FROM generate_series(1, 14000) i")
    database.ask("VACUUM ANALYZE orders")
    roomy.take("fits")
    database.ask("INSERT INTO orders SELECT i, md5(i::text) FROM generate_series(1, 120000) i")
    database.ask("VACUUM ANALYZE orders")
    error = refused(roomy, name="too-large")
    assert error.reason is RunnerReason.BACKUP_VOLUME_FULL
    assert "are needed" in error.message
    assert [manifest.name for manifest in roomy.manifests] == ["fits"]


def test_a_killed_backup_leaves_nothing_that_looks_like_one(large):
    running = large.start("shop-1-20261123T000000Z")
    until(lambda: being_written(large))
    for process in (psutil.Process(running.process.pid), *psutil.Process(running.process.pid).children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            os.kill(process.pid, signal.SIGKILL)
    running.process.communicate()
    assert large.files == {"shop-1-20261123T000000Z.dump.zst.partial"}
    assert large.manifests == ()
    large.take("second")
    assert large.files == {"second.dump.zst", "second.manifest.json"}


def test_a_backup_that_is_told_to_stop_leaves_nothing(large, database):
    running = large.start()
    until(lambda: being_written(large))
    running.process.send_signal(signal.SIGTERM)
    ran = running.wait()
    assert ran.result.reason == "Cancelled"
    assert large.files == set()
    assert database.ask("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'dbmigration%'") == [(0,)]


def test_a_pg_dump_that_was_killed_alone_is_told_with_what_kills_it(large):
    """It is the larger of the two processes, and the first to go where a node runs out of memory."""
    running = large.start()
    until(lambda: being_written(large))
    (dump,) = psutil.Process(running.process.pid).children()
    dump.kill()
    ran = running.wait()
    assert (ran.result.reason, ran.result.backup) == ("BackupFailed", None)
    assert "killed by signal 9" in ran.result.message
    assert "raise podTemplate.resources" in ran.result.message
    assert large.files == set()


def test_a_lost_lock_ends_the_backup(large, database):
    running = large.start()
    until(lambda: being_written(large))
    database.ask(
        "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid()"
    )
    ran = running.wait()
    assert (ran.result.reason, ran.result.backup) == ("LockLost", None)


def test_nothing_is_backed_up_while_somebody_else_migrates(shop):
    lock = engine_for(shop.url, application_name="dbmigration/other").lock(
        exclusive=True, should_stop=lambda: None, wait_seconds=1
    )
    try:
        ran = shop.start(locks=LockBudget(grace_seconds=0)).wait()
    finally:
        lock.release()
    assert ran.result.reason == "LockHeld"
    assert "dbmigration/other" in ran.result.message
    assert not shop.directory.exists()


def test_a_role_without_the_right_to_make_databases_is_warned_of(shop):
    without = Backups(shop.url, shop.directory)
    ran = without.start().wait()
    assert ran.result.reason == "Done"
    assert ran.result.backup is not None
    assert ran.result.backup.restorable is None
    assert "adminUrlFrom" in ran.result.backup.restorable_note
    assert ran.result.backup.restorable_note in ran.result.warnings
    assert len(without.manifests) == 1


def test_where_a_rollback_relies_on_a_restore_that_the_role_may_not_make_no_dump_is_written(shop):
    error = refused(Backups(shop.url, shop.directory), probe_required=True)
    assert error.reason is RunnerReason.RESTORE_NOT_POSSIBLE
    assert "give the role CREATEDB, or set adminUrlFrom" in error.message


def test_a_schema_that_does_not_restore_is_refused_before_anything_changes(shop, database):
    """An extension whose files an upgrade of the server took away: the database works on, a restore does not."""
    database.ask("CREATE EXTENSION isn; CREATE TABLE books (number isbn)")
    files = database.server.binaries.parent / "share" / "extension"
    (files / "isn.control").rename(files / "isn.gone")
    try:
        error = refused(shop)
    finally:
        (files / "isn.gone").rename(files / "isn.control")
    assert error.reason is RunnerReason.BACKUP_NOT_RESTORABLE
    assert "isn" in error.message
    assert "Mend the object that is named, or say in backup.skip.reason" in error.message
    assert [manifest.is_way_back for manifest in shop.manifests] == [False]
    assert backups.probes(database.server) == []


@pytest.mark.parametrize(
    ("there", "told"),
    [
        ("PERFORM pg_catalog.pg_terminate_backend(pg_catalog.pg_backend_pid())", "terminating connection"),
        ("RAISE 'can only create extension in database postgres'", "can only create extension in database"),
        ("RAISE disk_full USING MESSAGE = 'could not extend file: No space left on device'", "No space left on device"),
    ],
)
def test_what_only_kept_the_restore_from_being_tried_is_warned_of(shop, database, there, told):
    """An extension that works where it is and not in the probe's database, as a scheduler of jobs does."""
    with extension(database, there):
        report = shop.take()
    assert report.restorable is None
    assert told in report.restorable_note
    assert backups.probes(database.server) == []


def test_a_pg_restore_that_was_killed_is_no_failed_restore(shop, database):
    """Out of memory, say: it says nothing, and the database that it left half filled differs from the dumped one."""
    killed = threading.Event()

    def kill() -> None:
        end = time.monotonic() + 20
        while not killed.is_set() and time.monotonic() < end:
            with contextlib.suppress(psutil.Error):
                for process in psutil.Process().children():
                    if any(argument.startswith("--dbname=dbmigration_probe_") for argument in process.cmdline()):
                        process.kill()
                        killed.set()
            time.sleep(0.01)

    with extension(database, "PERFORM pg_catalog.pg_sleep(30)"):
        killer = threading.Thread(target=kill)
        killer.start()
        try:
            report = shop.take()
        finally:
            killer.join()
    assert killed.is_set()
    assert (report.restorable, "pg_restore ended with -9" in report.restorable_note) == (None, True)
    assert backups.probes(database.server) == []


@contextlib.contextmanager
def extension(database, does, where="dbmigration_probe_%"):
    """One that does what is given when it is created in a database of such a name, a probe's."""
    name = f"elsewhere_only_{os.getpid()}"
    script = (
        f"CREATE FUNCTION {name}() RETURNS int LANGUAGE sql AS 'SELECT 1';"
        f"DO $do$ BEGIN IF pg_catalog.current_database() LIKE '{where}' THEN {does}; END IF; END $do$;"
    )
    folder = database.server.binaries.parent / "share" / "extension"
    files = {folder / f"{name}.control": "default_version = '1'\n", folder / f"{name}--1.sql": script}
    for path, text in files.items():
        path.write_text(text, encoding="utf-8")
    try:
        database.ask(f"CREATE EXTENSION {name}")
        yield
    finally:
        for path in files:
            path.unlink()


def test_what_only_the_role_may_not_restore_is_warned_of(shop, database):
    """CREATEDB makes the probe, but an untrusted extension needs a superuser."""
    database.ask(
        "CREATE EXTENSION IF NOT EXISTS pg_buffercache; CREATE ROLE maker LOGIN CREATEDB PASSWORD 'maker-password'"
    )
    database.ask("GRANT pg_read_all_data TO maker")
    try:
        maker = database.server.url(database.name, user="maker", password="maker-password")
        report = Backups(shop.url, shop.directory, maker).take()
    finally:
        database.ask("DROP OWNED BY maker; DROP ROLE maker")
    assert report.restorable is None
    assert "permission denied" in report.restorable_note
    assert backups.probes(database.server) == []


def test_a_probe_that_a_killed_backup_left_is_dropped_after_a_day(shop, database):
    young = f"dbmigration_probe_{int(time.time()):x}_00000001"
    with database.server.superuser() as connection:
        for name in ("dbmigration_probe_60000000_00000000", young):
            connection.execute(f"CREATE DATABASE {name}")
    try:
        shop.take()
        assert backups.probes(database.server) == [young]
    finally:
        for name in backups.probes(database.server):
            backups.drop(database.server, name)


def test_an_admin_url_to_another_server_is_refused(shop):
    with running_server() as other:
        with other.superuser() as connection:
            connection.execute(f'CREATE DATABASE "{engine_for(shop.url).url.database}"')
        elsewhere = other.url(str(engine_for(shop.url).url.database), user="postgres")
        error = refused(Backups(shop.url, shop.directory, elsewhere))
    assert error.reason is RunnerReason.WRONG_DATABASE


def test_a_password_is_nowhere_but_in_a_private_file(large, database):
    database.ask(f"CREATE ROLE nasty SUPERUSER LOGIN PASSWORD '{NASTY.replace(chr(39), chr(39) * 2)}'")
    nasty = Backups(database.server.url(database.name, user="nasty", password=NASTY), large.directory)
    seen: list[bytes] = []
    try:
        running = nasty.start()
        over = threading.Event()
        watcher = threading.Thread(target=watch, args=(running.process.pid, seen, over))
        watcher.start()
        ran = running.wait()
        over.set()
        watcher.join()
    finally:
        database.ask("DROP ROLE nasty")
    assert ran.result.backup is not None
    assert ran.result.backup.restorable is True
    assert any(b"pg_dump" in text for text in seen)
    manifest = (nasty.directory / "first.manifest.json").read_text(encoding="utf-8")
    for text in (ran.stdout, ran.stderr, ran.text, manifest, *(text.decode(errors="replace") for text in seen)):
        assert NASTY not in text
        assert quote(NASTY, safe="") not in text
    assert not list(nasty.directory.parent.glob("dbmigration-*")), "the password's file was not removed"


def watch(pid, seen, over):
    """Arguments and environment of the runner and of what it starts, as any process of the machine may see them."""
    while not over.is_set():
        with contextlib.suppress(psutil.Error, OSError):
            for process in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True)):
                seen.extend(Path(f"/proc/{process.pid}/{name}").read_bytes() for name in ("cmdline", "environ"))
        time.sleep(0.01)


def test_a_wrong_password_is_told_without_it(shop, database):
    wrong = Backups(database.server.url(database.name, password=NASTY), shop.directory)
    ran = wrong.start().wait()
    assert ran.result.reason == "AuthenticationFailed"
    assert NASTY not in ran.text + ran.stdout + ran.stderr


def test_a_managed_server_that_hides_its_identity_is_backed_up_too(shop, database):
    database.ask("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
    assert Backups(shop.url, shop.directory).take().size_bytes > 0


def test_a_table_that_the_role_may_not_read_is_named(shop, database):
    database.ask("CREATE TABLE hidden (id int); ALTER TABLE hidden OWNER TO postgres")
    error = refused(Backups(shop.url, shop.directory))
    assert error.reason is RunnerReason.INSUFFICIENT_PRIVILEGE
    assert "hidden" in error.message
    assert shop.files == set()


@pytest.mark.parametrize("query", ["options=-cwork_mem%3D1GB", "service=x", "passfile=/tmp/x", "sslpassword=x"])
def test_what_a_backup_cannot_honour_in_a_url_is_refused(shop, query):
    url = engine_for(f"postgresql+psycopg://shop@127.0.0.1/shop?{query}").url
    with pytest.raises(Refusal) as caught:
        libpq(url, "test")
    assert caught.value.reason is RunnerReason.URL_INVALID


def test_the_programs_are_never_older_than_the_server(shop):
    assert choose(installed(), 18, encrypted=False).major == 18
    with pytest.raises(Refusal) as caught:
        choose(installed(), 99, encrypted=False)
    assert caught.value.reason is RunnerReason.CLIENT_TOOLS_TOO_OLD
    assert "backup.image" in caught.value.message


def test_a_url_that_asks_for_tls_is_not_served_by_programs_without_it(shop):
    plain = [tools for tools in installed() if not tools.has_tls]
    with pytest.raises(Refusal) as caught:
        choose(plain, 18, encrypted=True)
    assert caught.value.reason is RunnerReason.CLIENT_TOOLS_TOO_OLD
    assert "TLS" in caught.value.message


def test_a_directory_that_is_a_link_is_refused(shop, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    shop.directory.symlink_to(tmp_path / "elsewhere")
    assert refused(shop).reason is RunnerReason.STORAGE_NOT_SUPPORTED


def test_a_name_that_leads_out_of_the_directory_is_refused(shop):
    assert refused(shop, name="../first").reason is RunnerReason.TASK_INVALID


def test_a_stop_between_two_reads_ends_it(shop):
    def stop() -> None:
        raise Stopped(RunnerReason.TIMED_OUT, "enough")

    with pytest.raises(Stopped):
        shop.take(alive=stop)
    assert shop.files == set()
