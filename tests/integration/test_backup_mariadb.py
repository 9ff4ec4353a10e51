"""A MariaDB backup: what is in it is what was in the database at one instant, and plain tools bring it back."""

from __future__ import annotations

import contextlib
import json
import threading

import pytest

from dbmigration_runner.engines import mysql_tables
from tests.integration import mariadb_backups as backups
from tests.integration.backups import Backups
from tests.integration.mariadb_server import CANARY, fresh_database, running_mariadb, said

SMALL = 1 << 20
READS = "SELECT, SHOW VIEW, TRIGGER, EVENT, EXECUTE"  # and no LOCK TABLES


@pytest.fixture
def shop(mariadb_database, tmp_path):
    """A small shop at revision a1."""
    for statement in (
        "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)",
        "INSERT INTO alembic_version VALUES ('a1')",
        "CREATE TABLE orders (id int PRIMARY KEY, note text, total decimal(10,2))",
        "INSERT INTO orders SELECT seq, IF(seq % 3, concat('line\\nbreak\\\\.\\ttab ', seq), NULL), seq / 7 FROM seq_1_to_5000",
        "CREATE TABLE empty (id int)",
    ):
        mariadb_database.ask(statement)
    return backups.of(mariadb_database, tmp_path / "backups")


@pytest.fixture
def rich(mariadb_database, tmp_path):
    """A database with everything in it."""
    backups.load(mariadb_database, backups.RICH.read_bytes())
    return backups.of(mariadb_database, tmp_path / "backups")


@pytest.fixture
def divided(monkeypatch):
    """Small tables are divided as large ones would be."""
    monkeypatch.setattr(mysql_tables, "SMALLEST_SPLIT_BYTES", SMALL)


def test_what_is_restored_elsewhere_by_plain_tools_is_what_was_backed_up(rich, mariadb_database):
    server = mariadb_database.server
    report = rich.take()
    with backups.copy_of(mariadb_database) as copy:
        backups.restore(server, rich.directory / "first.sql.tar", copy)
        assert backups.contents(server, copy) == backups.contents(server, mariadb_database.name)
        assert backups.schema(server, copy) == backups.schema(server, mariadb_database.name)
        assert backups.written(server, copy) == backups.written(server, mariadb_database.name)
        with server.superuser(copy) as connection:
            next_of_the_copy = said(connection, "SELECT NEXTVAL(numbers)")
    assert next_of_the_copy > mariadb_database.ask("SELECT max(id) FROM numbered")
    assert (report.restorable, report.restorable_note) == (True, "")
    assert backups.probes(server) == []


@pytest.mark.usefixtures("divided")
def test_the_pieces_of_a_large_table_may_be_loaded_at_the_same_time(rich, mariadb_database, tmp_path, monkeypatch):
    monkeypatch.setattr("dbmigration_runner.engines.mysql_sql.PIECE_BYTES", SMALL)
    mariadb_database.ask("CREATE TABLE large (id bigint PRIMARY KEY, note text, f float, KEY by_note (note(10)))")
    mariadb_database.ask("INSERT INTO large SELECT seq * 1000000007, md5(seq), seq / 7 FROM seq_1_to_90000")
    mariadb_database.ask("ANALYZE TABLE large")
    rich.take()
    (manifest,) = rich.manifests
    assert manifest.rows["large"] == 90000
    server = mariadb_database.server
    with backups.copy_of(mariadb_database) as copy:
        backups.restore_in_parallel(server, rich.directory / "first.sql.tar", copy, tmp_path / "taken apart")
        assert len(list((tmp_path / "taken apart" / "2-rows").iterdir())) > 4
        assert backups.contents(server, copy) == backups.contents(server, mariadb_database.name)
        assert backups.schema(server, copy) == backups.schema(server, mariadb_database.name)


def test_the_manifest_tells_what_was_found_in_the_dump(shop, mariadb_database):
    mariadb_database.ask("CREATE DEFINER = root@localhost VIEW seen AS SELECT 1 AS one")
    mariadb_database.ask(f"ALTER DATABASE {mariadb_database.name} COMMENT 'the shop'")
    report = shop.take(start=("a1",))
    (manifest,) = shop.manifests
    assert manifest.rows == {"orders": 5000, "alembic_version": 1, "empty": 0}
    assert (manifest.engine, manifest.revisions, manifest.sha256) == ("mysql", ("a1",), report.sha256)
    assert manifest.tool.startswith("mariadb-dump 1")
    there = manifest.surroundings
    assert there is not None
    assert (there.encoding, there.collate, there.comment) == ("utf8mb4", "utf8mb4_general_ci", "the shop")
    assert there.definers == ("root@localhost",)
    assert any("'shop'@'%'" in grant for grant in there.grants)
    assert "lower_case_table_names=0" in [setting.setting for setting in there.settings]
    assert manifest.restorable is True


def test_neither_a_manifest_nor_a_dump_holds_the_password(shop):
    shop.take()
    manifest = (shop.directory / "first.manifest.json").read_text(encoding="utf-8")
    assert CANARY not in manifest
    assert "127.0.0.1" not in json.dumps({**json.loads(manifest), "surroundings": None})


@pytest.mark.usefixtures("divided")
def test_a_backup_is_of_one_instant_while_others_write(shop, mariadb_database):
    """Each transaction writes one row into either table; dumps of two instants would hold unequal numbers."""
    for table in ("a", "zz"):
        mariadb_database.ask(f"CREATE TABLE {table} (id int AUTO_INCREMENT PRIMARY KEY, note text)")
        mariadb_database.ask(f"INSERT INTO {table} (note) SELECT md5(seq) FROM seq_1_to_100000")
        mariadb_database.ask(f"ANALYZE TABLE {table}")
    over = threading.Event()

    def write() -> None:
        with mariadb_database.server.superuser(mariadb_database.name) as connection:
            while not over.is_set():
                for statement in (
                    "BEGIN",
                    "INSERT INTO a (note) VALUES ('x')",
                    "INSERT INTO zz (note) VALUES ('x')",
                    "COMMIT",
                ):
                    said(connection, statement)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        shop.take()
    finally:
        over.set()
        writer.join()
    (manifest,) = shop.manifests
    assert not any("one session" in note for note in manifest.notes)
    assert manifest.rows["a"] == manifest.rows["zz"]
    assert 100000 <= manifest.rows["a"] < mariadb_database.ask("SELECT count(*) FROM a")[0][0]


def test_tables_that_are_in_no_snapshot_are_of_its_instant_too_and_are_named(shop, mariadb_database):
    mariadb_database.ask("CREATE TABLE old (id int AUTO_INCREMENT PRIMARY KEY, note text) ENGINE = MyISAM")
    mariadb_database.ask("INSERT INTO old (note) SELECT md5(seq) FROM seq_1_to_300000")
    over, written = threading.Event(), []

    def write() -> None:
        with mariadb_database.server.superuser(mariadb_database.name) as connection:
            while not over.is_set():
                said(connection, "INSERT INTO old (note) VALUES ('x')")
                said(connection, "INSERT INTO empty VALUES (1)")
                written.append(1)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        shop.take()
    finally:
        over.set()
        writer.join()
    (manifest,) = shop.manifests
    assert any("locked while they were read" in note and "old" in note for note in manifest.notes)
    assert manifest.rows["old"] - 300000 - manifest.rows["empty"] in {0, 1}
    assert len(written) > manifest.rows["empty"] + 1


def test_a_role_that_may_not_lock_tables_is_served_by_one_session(shop, mariadb_database, monkeypatch):
    monkeypatch.setattr(mysql_tables, "SMALLEST_SPLIT_BYTES", 1)
    with user(mariadb_database, "reader", READS) as url:
        Backups(url, shop.directory).take()
    (manifest,) = shop.manifests
    assert manifest.rows["orders"] == 5000
    assert any(note.startswith("one session dumped all tables") and "may not lock" in note for note in manifest.notes)


@contextlib.contextmanager
def user(database, name, rights):
    """The URL of another user, who holds these rights on the database."""
    database.ask(f"CREATE USER {name} IDENTIFIED BY 'word'")
    try:
        database.ask(f"GRANT {rights} ON {database.name}.* TO {name}")
        yield database.server.url(database.name, user=name, password="word")
    finally:
        database.ask(f"DROP USER {name}")


def test_where_the_binary_log_is_stands_in_the_manifest_and_not_in_the_dump(tmp_path, monkeypatch):
    """A dump that sets a position does not load into a live server."""
    monkeypatch.setattr(mysql_tables, "SMALLEST_SPLIT_BYTES", 1)
    logging = {"log-bin": "binary", "server-id": "7"}
    with running_mariadb(logging) as server, fresh_database(server, "logged") as database:
        for name in ("a", "b"):
            database.ask(f"CREATE TABLE {name} (id int)")
            database.ask(f"INSERT INTO {name} SELECT seq FROM seq_1_to_1000")
            database.ask(f"ANALYZE TABLE {name}")
        shop = backups.of(database, tmp_path / "backups")
        shop.take()
        with backups.copy_of(database) as copy:
            backups.restore(server, shop.directory / "first.sql.tar", copy)
            assert backups.contents(server, copy) == backups.contents(server, database.name)
    (manifest,) = shop.manifests
    (note,) = [note for note in manifest.notes if note.startswith("binary log at the snapshot: binary.0")]
    assert "GTID 0-7-" in note


def test_an_empty_database_has_no_revision_and_is_backed_up(mariadb_database, tmp_path):
    report = backups.of(mariadb_database, tmp_path / "backups").take(start=())
    assert (report.revisions, report.restorable) == ((), True)


def test_the_step_reports_the_database_and_leaves_it_as_it_was(shop):
    ran = shop.start(start=("a1",)).wait()
    assert (ran.code, ran.result.reason, ran.result.changed) == (0, "Done", False)
    assert ran.result.heads == ("a1",)
    assert ran.result.backup is not None
    assert ran.result.catalog == ran.result.backup.catalog


def test_only_the_newest_backups_are_kept(shop):
    names = [f"shop-{number}-20261123T00000{number}Z" for number in range(1, 4)]
    pruned = [shop.take(name, keep_last=2).pruned for name in names]
    assert pruned == [(), (), (names[0],)]
    assert shop.files == {f"{name}{suffix}" for name in names[1:] for suffix in (".sql.tar", ".manifest.json")}


def test_a_table_that_knows_no_transactions_is_read_long_before_another(mariadb_database, tmp_path):
    """Its lock goes as soon as it was read, and is not asked for again."""
    backups.load(
        mariadb_database,
        b"CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY); INSERT INTO alembic_version VALUES ('a1');"
        b"CREATE TABLE aria (id int PRIMARY KEY) ENGINE=Aria; INSERT INTO aria VALUES (1);"
        b"CREATE TABLE large (id int PRIMARY KEY, note varchar(80));"
        b"INSERT INTO large SELECT seq, md5(seq) FROM seq_1_to_1500000;\n",
    )
    taken = backups.of(mariadb_database, tmp_path / "backups").take()
    assert taken.revisions == ("a1",)
