"""A restore of a MariaDB backup is tried when it is taken: what that finds out, what keeps it from it, and what it leaves behind."""

from __future__ import annotations

import threading
import time
from functools import partial
from types import SimpleNamespace

import pytest

from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.engines import engine_for, mysql_patience, mysql_probe, mysql_tools
from dbmigration_runner.errors import Stopped
from tests.integration import mariadb_backups as backups
from tests.integration.backups import Backups
from tests.integration.mariadb_server import said
from tests.integration.test_backup_failures import refused


@pytest.fixture
def shop(mariadb_database, tmp_path):
    mariadb_database.ask("CREATE TABLE orders (id int PRIMARY KEY, note text)")
    mariadb_database.ask("INSERT INTO orders SELECT seq, md5(seq) FROM seq_1_to_1000")
    return backups.of(mariadb_database, tmp_path / "backups")


def test_a_role_without_the_right_to_make_databases_is_warned_of(shop, mariadb_database):
    ran = Backups(shop.url, shop.directory).start().wait()
    assert ran.result.reason == "Done"
    assert ran.result.backup is not None
    assert ran.result.backup.restorable is None
    live = mariadb_database.name.replace("_", r"\_")
    assert rf"GRANT ALL PRIVILEGES ON `dbmigration\_%`.* and `{live}\_%`.*" in ran.result.backup.restorable_note
    assert ran.result.backup.restorable_note in ran.result.warnings


def test_the_right_that_the_warning_names_is_enough(shop, mariadb_database):
    patterns = [r"`dbmigration\_%`", f"`{mariadb_database.name}_%`".replace("_", r"\_")]
    for pattern in patterns:
        mariadb_database.ask(f"GRANT ALL PRIVILEGES ON {pattern}.* TO shop")
    try:
        assert Backups(shop.url, shop.directory).take().restorable is True
    finally:
        for pattern in patterns:
            mariadb_database.ask(f"REVOKE ALL PRIVILEGES ON {pattern}.* FROM shop")
    assert backups.probes(mariadb_database.server) == []


def test_anothers_definer_is_kept_and_a_role_that_may_not_set_it_is_warned_of(shop, mariadb_database):
    mariadb_database.ask("CREATE DEFINER = root@localhost VIEW seen AS SELECT id FROM orders")
    mariadb_database.ask(r"GRANT ALL PRIVILEGES ON `dbmigration\_probe\_%`.* TO shop")
    try:
        report = Backups(shop.url, shop.directory).take()
    finally:
        mariadb_database.ask(r"REVOKE ALL PRIVILEGES ON `dbmigration\_probe\_%`.* FROM shop")
    assert report.restorable is None
    assert "SET USER" in report.restorable_note
    assert backups.probes(mariadb_database.server) == []
    with backups.copy_of(mariadb_database) as copy:
        backups.restore(mariadb_database.server, shop.directory / "first.sql.tar", copy)
        with mariadb_database.server.superuser(copy) as connection:
            assert "DEFINER=`root`@`localhost`" in said(connection, "SHOW CREATE VIEW seen")[0][1]


def test_a_schema_that_does_not_restore_is_refused_before_anything_changes(shop, mariadb_database):
    """A table of an engine that the server no longer lets anybody use: what is there works on, a restore does not."""
    mariadb_database.ask("CREATE TABLE odd (id int) ENGINE = MEMORY")
    mariadb_database.ask("SET GLOBAL enforce_storage_engine = InnoDB")
    mariadb_database.ask("SET GLOBAL sql_mode = concat(@@global.sql_mode, ',NO_ENGINE_SUBSTITUTION')")
    try:
        error = refused(shop)
    finally:
        mariadb_database.ask("SET GLOBAL enforce_storage_engine = NULL")
        mariadb_database.ask("SET GLOBAL sql_mode = DEFAULT")
    assert error.reason is RunnerReason.BACKUP_NOT_RESTORABLE
    assert "odd" in error.message
    assert [manifest.is_way_back for manifest in shop.manifests] == [False]
    assert backups.probes(mariadb_database.server) == []


def test_what_a_killed_backup_left_of_a_probe_is_dropped_after_a_day(shop, mariadb_database):
    live = mariadb_database.name
    begins = ("dbmigration_probe_", "dbmigration_restore_probe_", f"{live}_probe-")
    young = {f"{name}{int(time.time()):x}_00000001" for name in begins} | {f"not_{live}_probe-60000000_00000000"}
    for name in (*young, *(f"{name}60000000_00000000" for name in begins)):
        mariadb_database.ask(f"CREATE DATABASE `{name}`")
    try:
        shop.take()
        assert {name for (name,) in mariadb_database.ask("SHOW DATABASES") if "probe" in name} == young
    finally:
        for name in young:
            mariadb_database.ask(f"DROP DATABASE `{name}`")


@pytest.fixture
def tried(shop, mariadb_database):
    """A dump, and how a restore of it is tried; what a lock kept from being dropped is dropped at the end."""
    shop.take()
    source = engine_for(mariadb_database.server.url(mariadb_database.name, user="root"))
    series = mysql_tools.series_of(mariadb_database.ask("SELECT VERSION()")[0][0])
    tools = mysql_tools.choose(mysql_tools.installed(), series)
    yield partial(
        mysql_probe.probe,
        source,
        tools,
        shop.directory / "first.sql.tar",
        SimpleNamespace(surroundings=None, catalog=None),
    )
    for name in backups.probes(mariadb_database.server):
        mariadb_database.ask(f"DROP DATABASE {name}")


@pytest.mark.parametrize("is_made", [False, True], ids=["no database can be made", "no table can be made"])
@pytest.mark.parametrize("is_stopped", [False, True], ids=["given up", "stopped"])
def test_a_probe_does_not_wait_for_ever_behind_a_lock_on_all_tables(
    tried, mariadb_database, monkeypatch, is_made, is_stopped
):
    """The server alone would have it wait for a day."""
    for module in (mysql_patience, mysql_probe):
        monkeypatch.setattr(module, "PATIENCE_SECONDS", 2)
    with mariadb_database.server.superuser() as somebody:
        stages = ["START", "FLUSH", "BLOCK_DDL"]

        def alive() -> None:
            if is_stopped and not stages:
                raise Stopped(RunnerReason.CANCELLED, "told to")
            while stages and (not is_made or backups.probes(mariadb_database.server)):
                said(somebody, f"BACKUP STAGE {stages.pop(0)}")

        if is_stopped:
            with pytest.raises(Stopped):
                tried(alive)
        else:
            found = tried(alive)
            assert (found.restorable, "Lock wait timeout exceeded" in found.note) == (None, True), found


def test_events_do_not_run_in_the_probe(shop, mariadb_database):
    """A restored event deletes rows by itself, of whichever database it names."""
    mariadb_database.ask(
        f"CREATE EVENT sweep ON SCHEDULE EVERY 1 SECOND ON COMPLETION PRESERVE DO DELETE FROM {mariadb_database.name}.orders"
    )
    mariadb_database.ask("ALTER EVENT sweep DISABLE")
    seen = []
    probing = threading.Event()

    def look() -> None:
        while not probing.is_set():
            seen.extend(mariadb_database.ask("SELECT EVENT_SCHEMA FROM information_schema.EVENTS"))

    looking = threading.Thread(target=look)
    looking.start()
    try:
        assert shop.take().restorable is True
    finally:
        probing.set()
        looking.join()
    assert {schema for (schema,) in seen} == {mariadb_database.name}
