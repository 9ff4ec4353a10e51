"""What goes wrong during a backup of MariaDB ends in a clear word and no backup that only looks like one."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from urllib.parse import quote

import psutil
import pymysql
import pytest

from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.engines import engine_for, mysql_tables
from dbmigration_runner.engines.dump import dump_for
from dbmigration_runner.engines.mysql_lock import MySQLLock
from dbmigration_runner.engines.mysql_tools import option_file
from dbmigration_runner.errors import RunnerError, Stopped
from tests.integration import mariadb_backups as backups
from tests.integration.backups import Backups
from tests.integration.certificates import write_certificates
from tests.integration.mariadb_server import fresh_database, running_mariadb, said
from tests.integration.test_backup_failures import NASTY, being_written, refused, until, watch
from tests.integration.test_backup_mariadb import READS, user


@pytest.fixture
def shop(mariadb_database, tmp_path):
    mariadb_database.ask("CREATE TABLE orders (id int PRIMARY KEY, note text)")
    mariadb_database.ask("INSERT INTO orders SELECT seq, md5(seq) FROM seq_1_to_1000")
    return backups.of(mariadb_database, tmp_path / "backups")


@pytest.fixture
def large(shop, mariadb_database):
    """Enough rows, which do not compress well, for a dump to be met at work."""
    mariadb_database.ask(
        "INSERT INTO orders SELECT seq, concat(md5(seq), md5(seq * 3), md5(seq * 5), md5(seq * 7)) FROM seq_1001_to_400000"
    )
    mariadb_database.ask("ANALYZE TABLE orders")
    return shop


def test_a_volume_that_runs_full_is_told_and_left_empty(large, small_volume):
    full = Backups(large.url, small_volume / "shop", large.admin_url)
    error = refused(full)
    assert error.reason is RunnerReason.BACKUP_VOLUME_FULL
    assert full.files == set()


def test_a_killed_backup_leaves_nothing_that_looks_like_one(large):
    running = large.start("shop-1-20261123T000000Z")
    until(lambda: being_written(large))
    for process in (psutil.Process(running.process.pid), *psutil.Process(running.process.pid).children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            os.kill(process.pid, signal.SIGKILL)
    running.process.communicate()
    assert large.files == {"shop-1-20261123T000000Z.sql.tar.partial"}
    assert large.manifests == ()
    large.take("second")
    assert large.files == {"second.sql.tar", "second.manifest.json"}


def test_a_backup_that_is_told_to_stop_leaves_nothing(large, mariadb_database):
    running = large.start()
    until(lambda: being_written(large))
    running.process.send_signal(signal.SIGTERM)
    ran = running.wait()
    assert ran.result.reason == "Cancelled"
    assert large.files == set()
    until(lambda: sessions(mariadb_database) == [])


def sessions(database):
    return database.ask(
        "SELECT id FROM information_schema.PROCESSLIST WHERE db = DATABASE() AND id <> CONNECTION_ID() AND user <> 'system user'"
    )


def test_a_mariadb_dump_that_was_killed_alone_is_told_with_what_kills_it(large):
    running = large.start()
    until(lambda: being_written(large))
    dump = psutil.Process(running.process.pid).children()[0]
    dump.kill()
    ran = running.wait()
    assert (ran.result.reason, ran.result.backup) == ("BackupFailed", None)
    assert "killed by signal 9" in ran.result.message
    assert large.files == set()


def one_was_ended(database):
    """A session that reads out rows; each lives for a moment only, and may be gone when it is named."""
    reading = "SELECT id FROM information_schema.PROCESSLIST WHERE info LIKE 'SELECT /*%FROM `orders`%' AND id <> CONNECTION_ID()"
    for (number,) in database.ask(f"{reading} AND db = DATABASE()"):
        with contextlib.suppress(pymysql.err.OperationalError):
            database.ask(f"KILL {number}")
            return True
    return False


def test_a_session_that_the_server_ends_is_told(large, mariadb_database):
    running = large.start()
    until(lambda: one_was_ended(mariadb_database))
    ran = running.wait()
    assert (ran.result.reason, ran.result.backup) == ("ConnectionLost", None)
    assert large.files == set()


def test_a_lost_lock_ends_the_backup(large, mariadb_database):
    running = large.start()
    until(lambda: being_written(large))
    with engine_for(large.url).connect() as session:
        lock = MySQLLock(session, "dbmigration/test")
        holder = lock.holder()
    mariadb_database.ask(f"KILL {holder.session}")
    ran = running.wait()
    assert (ran.result.reason, ran.result.backup) == ("LockLost", None)


def test_ddl_by_a_stranger_while_it_is_dumped_is_noticed(large, mariadb_database):
    """No snapshot covers DDL, and a stranger asks for no lock of ours."""
    mariadb_database.ask("CREATE TABLE aside (id int)")
    running = large.start()
    until(lambda: being_written(large))
    mariadb_database.ask("ALTER TABLE aside ADD COLUMN more int")
    ran = running.wait()
    assert (ran.result.reason, ran.result.backup) == ("BackupFailed", None)
    assert "Somebody changed the schema while it was dumped" in ran.result.message
    assert "`more`" in ran.result.message
    assert large.files == set()


def test_a_migration_between_the_first_look_and_the_snapshot_is_noticed(shop, mariadb_database):
    mariadb_database.ask("CREATE TABLE alembic_version (version_num varchar(32))")
    mariadb_database.ask("INSERT INTO alembic_version VALUES ('a1')")
    shop.directory.mkdir()
    engine = engine_for(shop.url)
    lock = engine.lock(exclusive=True, should_stop=lambda: None, wait_seconds=5)
    try:
        dump = dump_for(engine, None, lock)
        with dump.snapshot("alembic_version") as snapshot:
            assert snapshot.heads == ("a1",)
            mariadb_database.ask("UPDATE alembic_version SET version_num = 'a2'")
            with pytest.raises(RunnerError) as caught:
                dump.write(shop.directory / "x", lambda: None)
    finally:
        lock.release()
    assert caught.value.reason is RunnerReason.DATABASE_MOVED
    assert "from a1 to a2" in caught.value.message


def test_locks_that_are_not_to_be_had_keep_nobody_waiting_for_long(shop, mariadb_database, monkeypatch):
    """An application's transaction may stay open for hours: one session needs no lock."""
    monkeypatch.setattr(mysql_tables, "SMALLEST_SPLIT_BYTES", 1)
    mariadb_database.ask("CREATE TABLE more (id int PRIMARY KEY)")
    with mariadb_database.server.superuser(mariadb_database.name) as connection:
        for statement in ("BEGIN", "INSERT INTO orders VALUES (0, 'open')"):
            said(connection, statement)
        shop.take()
    (manifest,) = shop.manifests
    assert manifest.rows["orders"] == 1000
    assert any("somebody held one of them" in note for note in manifest.notes)


def test_tables_that_cannot_be_locked_and_are_in_no_snapshot_are_refused_by_name(shop, mariadb_database):
    mariadb_database.ask("CREATE TABLE old (id int) ENGINE = MyISAM")
    with user(mariadb_database, "reader", READS) as url:
        error = refused(Backups(url, shop.directory))
    assert error.reason is RunnerReason.INSUFFICIENT_PRIVILEGE
    assert "old (MyISAM)" in error.message
    assert "GRANT LOCK TABLES" in error.message
    assert shop.files == set()


@pytest.mark.parametrize("missing", ["SHOW VIEW", "TRIGGER", "EVENT", "EXECUTE"])
def test_a_role_from_whom_the_server_hides_something_is_refused(shop, mariadb_database, missing):
    """Without TRIGGER, say, there seem to be no triggers, and a dump is made without them."""
    held = ", ".join(right for right in READS.split(", ") if right != missing)
    with user(mariadb_database, "reader", held) as url:
        error = refused(Backups(url, shop.directory))
    assert error.reason is RunnerReason.INSUFFICIENT_PRIVILEGE
    assert f"GRANT {missing} ON" in error.message


def test_a_role_that_sees_single_tables_only_is_refused(shop, mariadb_database):
    mariadb_database.ask("CREATE TABLE hidden (id int)")
    mariadb_database.ask("CREATE USER narrow IDENTIFIED BY 'word'")
    try:
        mariadb_database.ask("GRANT SELECT ON orders TO narrow")
        url = mariadb_database.server.url(mariadb_database.name, user="narrow", password="word")
        error = refused(Backups(url, shop.directory))
    finally:
        mariadb_database.ask("DROP USER narrow")
    assert error.reason is RunnerReason.INSUFFICIENT_PRIVILEGE
    assert "SELECT" in error.message


def test_a_routine_whose_body_is_hidden_is_named(shop, mariadb_database):
    mariadb_database.ask("CREATE FUNCTION secret() RETURNS int RETURN 1")
    error = refused(Backups(shop.url, shop.directory))
    assert error.reason is RunnerReason.INSUFFICIENT_PRIVILEGE
    assert "`secret`" in error.message
    assert shop.take().restorable is True


def test_a_view_that_has_lost_what_it_stands_on_is_named(shop, mariadb_database):
    """Nobody may have asked it for years, and no dump of it restores."""
    mariadb_database.ask("CREATE FUNCTION gone() RETURNS int RETURN 1")
    mariadb_database.ask("CREATE VIEW broken AS SELECT gone() AS one")
    mariadb_database.ask("DROP FUNCTION gone")
    error = refused(shop)
    assert error.reason is RunnerReason.BACKUP_FAILED
    assert "broken" in error.message
    assert shop.files == set()


def test_a_name_with_a_line_break_is_refused(shop, mariadb_database):
    mariadb_database.ask("CREATE TABLE `a\nINSERT INTO` (id int)")
    error = refused(shop)
    assert error.reason is RunnerReason.BACKUP_FAILED
    assert "line break" in error.message


def test_an_admin_url_to_another_server_is_refused(shop, mariadb_database):
    with running_mariadb() as other, fresh_database(other, mariadb_database.name):
        elsewhere = other.url(mariadb_database.name, user="root")
        error = refused(Backups(shop.url, shop.directory, elsewhere))
    assert error.reason is RunnerReason.WRONG_DATABASE


def test_a_password_is_nowhere_but_in_a_private_file(large, mariadb_database):
    escaped = NASTY.replace("'", "''")
    mariadb_database.ask(f"CREATE USER nasty IDENTIFIED BY '{escaped}'")
    mariadb_database.ask("GRANT ALL ON *.* TO nasty")
    nasty = Backups(mariadb_database.server.url(mariadb_database.name, user="nasty", password=NASTY), large.directory)
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
        mariadb_database.ask("DROP USER nasty")
    assert ran.result.backup is not None
    assert ran.result.backup.restorable is True
    assert any(b"mariadb-dump" in text for text in seen)
    manifest = (nasty.directory / "first.manifest.json").read_text(encoding="utf-8")
    for text in (ran.stdout, ran.stderr, ran.text, manifest, *(text.decode(errors="replace") for text in seen)):
        assert NASTY not in text
        assert quote(NASTY, safe="") not in text
    assert not list(nasty.directory.parent.glob("dbmigration-*")), "the password's file was not removed"


def test_a_url_that_names_an_authority_is_honoured_by_the_programs_too(shop, mariadb_database, tmp_path):
    """The account takes no other connections, and the programs refuse a server whose name another authority vouches for."""
    write_certificates(tmp_path)
    ours, foreign = mariadb_database.server.home / "ca.crt", tmp_path / "ca.crt"
    mariadb_database.ask("CREATE USER secured IDENTIFIED BY 'word' REQUIRE SSL")
    mariadb_database.ask(f"GRANT ALL ON {mariadb_database.name}.* TO secured")
    plain = mariadb_database.server.url(mariadb_database.name, user="secured", password="word")
    try:
        assert Backups(f"{plain}?ssl_ca={ours}", shop.directory).take().size_bytes > 0
        with option_file(engine_for(f"{plain}?ssl_ca={foreign}").url) as options:
            command = ["mariadb-dump", f"--defaults-file={options}", mariadb_database.name]
            told = subprocess.run(command, capture_output=True, text=True, check=False).stderr
    finally:
        mariadb_database.ask("DROP USER secured")
    assert "TLS/SSL error" in told
    assert "certificate" in told


def test_a_wrong_password_is_told_without_it(shop, mariadb_database):
    wrong = Backups(mariadb_database.server.url(mariadb_database.name, password=NASTY), shop.directory)
    ran = wrong.start().wait()
    assert ran.result.reason == "AuthenticationFailed"
    assert NASTY not in ran.text + ran.stdout + ran.stderr


def test_a_stop_between_two_reads_ends_it(large):
    calls = []

    def stop() -> None:
        calls.append(1)
        if len(calls) > 3:
            raise Stopped(RunnerReason.TIMED_OUT, "enough")

    with pytest.raises(Stopped):
        large.take(alive=stop)
    assert large.files == set()
