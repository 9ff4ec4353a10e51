"""A MariaDB database goes back to its backup as a whole: tables, programs and schema; what it replaced is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from dbmigration_runner.contract.result import Outcome
from tests.integration import mariadb_backups, mariadb_restores


@pytest.fixture
def shop(mariadb_database, tmp_path):
    yield mariadb_restores.shop(mariadb_database, tmp_path)
    mariadb_restores.forget(mariadb_database)


def test_everything_of_the_backup_is_there_again_and_what_it_replaced_is_kept(shop, mariadb_database):
    server, name, kept = mariadb_database.server, mariadb_database.name, mariadb_restores.kept(mariadb_database)
    before = mariadb_backups.schema(server, name), mariadb_backups.contents(server, name)
    assert shop.report.restorable is True
    mariadb_restores.migrate(mariadb_database)
    replaced = mariadb_backups.schema(server, name), mariadb_backups.contents(server, name)

    ran = shop.run(accept_data_loss=True)

    assert (ran.result.outcome, ran.result.heads) == (Outcome.SUCCEEDED, ("a1",)), ran.result
    assert ran.result.warnings == ()
    assert (mariadb_backups.schema(server, name), mariadb_backups.contents(server, name)) == before
    kept_schema = mariadb_backups.schema(server, kept)
    assert [item for item in replaced[0] if not item.startswith("event ")] == list(kept_schema)
    assert mariadb_backups.contents(server, kept) == replaced[1]
    assert mariadb_restores.databases(mariadb_database) == {name, kept}
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
    backups = mariadb_backups.of(mariadb_database, tmp_path / "backups")
    restores = mariadb_restores.Restores(backups, backups.take())
    before = mariadb_backups.schema(server, name), mariadb_backups.contents(server, name)
    try:
        ran = restores.run()  # nothing was written, so nothing needs to be accepted
        assert ran.result.outcome is Outcome.SUCCEEDED, ran
        assert ran.result.restore is not None
        assert ran.result.restore.lost_rows == 0
        assert mariadb_backups.schema(server, name) == before[0]
        assert mariadb_backups.contents(server, name) == before[1]
    finally:
        mariadb_restores.forget(mariadb_database)
