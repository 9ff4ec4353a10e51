"""A MariaDB database goes back to its backup as a whole: tables, programs and schema; what it replaced is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from dbmigration_runner.contract.result import Outcome
from dbmigration_runner.engines import engine_for
from dbmigration_runner.engines.restore import drop_replaced
from tests.integration import mariadb_backups, mariadb_restores
from tests.integration.mariadb_server import said


@pytest.fixture
def shop(mariadb_database, tmp_path):
    yield mariadb_restores.shop(mariadb_database, tmp_path)
    mariadb_restores.forget(mariadb_database)


def said_grants(database):
    """On single routines of this database and of the one that a restore keeps."""
    return database.ask(
        "SELECT Db, Routine_name, Routine_type, User FROM mysql.procs_priv WHERE User = 'shop' AND Db LIKE concat(DATABASE(), '%')"
    )


def test_everything_of_the_backup_is_there_again_and_what_it_replaced_is_kept(shop, mariadb_database):
    server, name, kept = mariadb_database.server, mariadb_database.name, mariadb_restores.kept(mariadb_database)
    before = mariadb_backups.schema(server, name), mariadb_backups.contents(server, name)
    assert shop.report.restorable is True
    with server.superuser(name) as connection:
        for routine in ("FUNCTION one", "PROCEDURE tidy"):
            said(connection, f"GRANT EXECUTE ON {routine} TO shop")
    mariadb_restores.migrate(mariadb_database)
    replaced = mariadb_backups.schema(server, name), mariadb_backups.contents(server, name)

    ran = shop.run(accept_data_loss=True)

    assert (ran.result.outcome, ran.result.heads) == (Outcome.SUCCEEDED, ("a1",)), ran.result
    told = "Events of the replaced database that the backup has not, or has otherwise: bygone, hourly. They stand in"
    granted_again = (
        "Routines that were gone and are made anew: procedure tidy. What was granted on one of them by itself,"
    )
    assert ran.result.warnings == (
        f"{told} {kept}, disabled.",
        f"{granted_again} as EXECUTE, must be granted again.",
    )
    # The others keep what is granted on them, also one whose text is the backup's again.
    assert said_grants(mariadb_database) == [(name, "one", "FUNCTION", "shop")]
    assert (mariadb_backups.schema(server, name), mariadb_backups.contents(server, name)) == before
    # Code that was made since the backup is nowhere else; the server runs none of it.
    disabled = [
        item.replace(" ENABLED ", " DISABLED ").replace(" NOT PRESERVE ", " PRESERVE ")
        if item.startswith("event ")
        else item
        for item in replaced[0]
    ]
    assert disabled == list(mariadb_backups.schema(server, kept))
    assert mariadb_backups.contents(server, kept) == replaced[1]
    assert mariadb_restores.databases(mariadb_database) == {name, kept}
    # The optimizer knows the tables before anybody is let in again; by itself the server does not look at so few rows.
    known = dict(
        mariadb_database.ask("SELECT table_name, n_rows FROM mysql.innodb_table_stats WHERE database_name = DATABASE()")
    )
    assert (known["customers"], known["alembic_version"]) == (1, 1)
    # The restored objects are of this schema: the trigger fires, the sequence counts on, the key holds.
    with server.session(name) as connection, connection.cursor() as cursor:
        cursor.execute("INSERT INTO orders (id, customer, note) VALUES (9001, 1, 'new')")
        cursor.execute("SELECT note FROM orders WHERE id = 9001")
        assert cursor.fetchall() == (("stamped new",),)
        cursor.execute("INSERT INTO numbered (note) VALUES ('next')")
    assert mariadb_database.ask("SELECT count(*) FROM numbered WHERE id > 1000") == [(1,)]
    assert mariadb_database.ask("SELECT one(), (SELECT count(*) FROM again)") == [(1, 5001)]


def test_what_was_written_since_is_told_by_key_and_exactly(shop, mariadb_database):
    mariadb_database.ask("UPDATE orders SET note = 'NOTE 7' WHERE id = 7")
    mariadb_database.ask("DELETE FROM orders WHERE id = 8")
    mariadb_database.ask("INSERT INTO `odd: ``(name%` VALUES ('ü', 3)")
    mariadb_database.ask("INSERT INTO log VALUES ('closed')")
    refused = shop.run()
    assert (refused.result.reason, refused.result.changed) == ("RestoreNeedsAcknowledgement", False), refused
    assert not mariadb_restores.is_fenced(mariadb_database)
    assert mariadb_restores.databases(mariadb_database) == {mariadb_database.name}
    ran = shop.run(accept_data_loss=True)
    report = ran.result.restore
    assert report is not None, ran
    assert report.compared
    lost = {loss.table: (loss.inserted, loss.updated, loss.deleted, loss.untold) for loss in report.lost}
    assert lost.pop("log") == (1, 0, 0, "it has no key, so its rows were only counted, and they differ")
    assert lost == {"orders": (0, 1, 1, ""), "odd: `(name%": (1, 0, 0, "")}
    listed = Path(shop.backups.directory, report.list_file).read_text(encoding="utf-8").splitlines()
    assert sorted(listed) == sorted(
        (
            '{"table": "odd: `(name%", "kind": "inserted", "key": {"x`y": "3", "a:b": "ü"}}',
            '{"table": "orders", "kind": "updated", "key": {"id": "7"}}',
            '{"table": "orders", "kind": "deleted", "key": {"id": "8"}}',
        )
    )


def test_text_that_its_collation_takes_for_equal_is_told_as_changed(shop, mariadb_database):
    mariadb_database.ask("UPDATE customers SET name = 'ZOE'")
    report = shop.run(accept_data_loss=True).result.restore
    assert report is not None
    assert [(loss.table, loss.updated) for loss in report.lost] == [("customers", 1)]


def test_every_kind_of_object_and_value_comes_back(mariadb_database, tmp_path):
    server, name = mariadb_database.server, mariadb_database.name
    mariadb_backups.load(mariadb_database, mariadb_backups.RICH.read_bytes())
    mariadb_database.ask("CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)")
    # A table and an alias that are called like their schema: `name`.`id` is a column, and `name`.`orders` a table.
    mariadb_database.ask(f"CREATE TABLE `{name}` (id int PRIMARY KEY)")
    mariadb_database.ask(
        f"CREATE VIEW named_so AS SELECT `{name}`.id FROM `{name}` JOIN alembic_version v ON v.version_num = `{name}`.id"
    )
    mariadb_database.ask(
        f"CREATE VIEW called_so AS SELECT `{name}`.id, v.version_num FROM named_so `{name}` JOIN alembic_version v"
    )
    backups = mariadb_backups.of(mariadb_database, tmp_path / "backups")
    restores = mariadb_restores.Restores(backups, backups.take())
    before = mariadb_backups.schema(server, name), mariadb_backups.contents(server, name)
    try:
        ran = restores.run()  # nothing was written, so nothing needs to be accepted
        assert (ran.result.outcome, ran.result.warnings, restores.report.restorable_note) == (
            Outcome.SUCCEEDED,
            (),
            "",
        ), ran
        assert ran.result.restore is not None
        assert ran.result.restore.lost_rows == 0
        assert mariadb_backups.schema(server, name) == before[0]
        assert mariadb_backups.contents(server, name) == before[1]
    finally:
        mariadb_restores.forget(mariadb_database)


@pytest.fixture
def ordinary(mariadb_database, tmp_path):
    """No administrator: the user `shop` may make databases of the names that a restore gives, and nothing else."""
    patterns = [rf"`{mariadb_database.name}\_%`".replace("test_", r"test\_"), r"`dbmigration\_%`"]
    with mariadb_database.server.superuser() as connection:
        for pattern in patterns:
            said(connection, f"GRANT ALL ON {pattern}.* TO shop")
    with mariadb_database.server.session(mariadb_database.name) as connection:
        said(connection, "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)")
        said(connection, "INSERT INTO alembic_version VALUES ('a1')")
        said(connection, "CREATE TABLE t (id int AUTO_INCREMENT PRIMARY KEY, n int)")
        said(connection, "INSERT INTO t (n) VALUES (1)")
        said(connection, "CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW SET NEW.n = NEW.n + 1")
        said(connection, "CREATE VIEW v AS SELECT n FROM t")
    backups = mariadb_backups.of(mariadb_database, tmp_path / "backups", admin=False)
    yield mariadb_restores.Restores(backups, backups.take())
    mariadb_restores.forget(mariadb_database)
    with mariadb_database.server.superuser() as connection:
        for pattern in patterns:
            said(connection, f"REVOKE ALL ON {pattern}.* FROM shop")


def test_a_role_with_rights_on_the_names_alone_restores_without_an_administrator(ordinary, mariadb_database):
    assert ordinary.report.restorable is True, ordinary.report
    mariadb_database.ask("INSERT INTO t (n) VALUES (7)")
    mariadb_database.ask(f"ALTER DATABASE {mariadb_database.name} COMMENT 'changed since'")
    mariadb_database.ask("CREATE EVENT cleanup ON SCHEDULE EVERY 1 DAY DO DELETE FROM t")  # its definer is root
    ran = ordinary.run(accept_data_loss=True)
    assert ran.result.outcome is Outcome.SUCCEEDED, ran
    (told,) = ran.result.warnings
    assert "has otherwise: cleanup." in told
    assert mariadb_database.ask("SELECT EVENT_SCHEMA, DEFINER, STATUS FROM information_schema.EVENTS") == [
        (mariadb_restores.kept(mariadb_database), "shop@%", "DISABLED")
    ]
    assert mariadb_database.ask("SELECT n FROM v") == [(1,)]
    mariadb_database.ask("INSERT INTO t (n) VALUES (1)")
    assert mariadb_database.ask("SELECT n FROM v ORDER BY n") == [(1,), (2,)]
    assert mariadb_database.ask(
        "SELECT SCHEMA_COMMENT FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = DATABASE()"
    ) == [("",)]


def test_a_role_that_may_not_keep_what_is_replaced_is_told_at_the_backup(ordinary, mariadb_database):
    """A probe in a database of its own name would have told nothing of the two others that a restore makes."""
    pattern = rf"`{mariadb_database.name}\_%`".replace("test_", r"test\_")
    with mariadb_database.server.superuser() as connection:
        said(connection, f"REVOKE ALL ON {pattern}.* FROM shop")
    try:
        report = ordinary.backups.take("second")
        assert (report.restorable, "adminUrlFrom" in report.restorable_note) == (None, True), report
    finally:
        with mariadb_database.server.superuser() as connection:
            said(connection, f"GRANT ALL ON {pattern}.* TO shop")


def test_only_what_a_restore_of_this_database_kept_is_dropped(shop, mariadb_database):
    server, kept = mariadb_database.server, mariadb_restores.kept(mariadb_database)
    foreign = f"{mariadb_database.name}_foreign"
    assert shop.run().result.outcome is Outcome.SUCCEEDED
    mariadb_database.ask(f"CREATE DATABASE {foreign} COMMENT 'nobody of ours'")
    engine, admin = engine_for(mariadb_database.url), engine_for(server.url(mariadb_database.name, user="root"))
    assert [drop_replaced(engine, admin, name) for name in (kept, foreign, "mysql", "nowhere")] == [True, *[False] * 3]
    assert mariadb_restores.databases(mariadb_database) == {mariadb_database.name, foreign}
