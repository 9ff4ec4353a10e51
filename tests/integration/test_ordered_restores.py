"""Restores that a person orders by name: the backup is found before anything is drained, and nothing is done twice.

Whoever asks again has lost everything but the storage and the database: statuses, uids, run numbers and times are others.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3

import pytest

from dbmigration_runner.contract.result import Outcome
from dbmigration_runner.contract.task import OrderedBy
from tests.integration import restores
from tests.integration.backups import Backups
from tests.integration.restores import Restores

BACK = OrderedBy("back", "1:abc", ("a2",))
# The next attempt of a run that is not the one before: another object, another time.
ANEW = {"uid": "4567", "run": 1, "keep_as": "before-1"}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "shop.db"
    say(path, "CREATE TABLE alembic_version (version_num TEXT); INSERT INTO alembic_version VALUES ('a1')")
    say(path, "CREATE TABLE orders (id INTEGER PRIMARY KEY, note TEXT); INSERT INTO orders VALUES (1, 'first')")
    return path


@pytest.fixture
def shop(file, tmp_path):
    backups = Backups(f"sqlite:///{file}", tmp_path / "backups")
    return Restores(backups, backups.take("shop-1-20261123T120000Z"))


@pytest.fixture
def on_postgresql(database, tmp_path):
    yield restores.shop(database, tmp_path)
    restores.forget(database)


def say(path, script):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)


def notes(path):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return [note for (note,) in connection.execute("SELECT note FROM orders ORDER BY id")]


def test_the_backup_is_found_with_all_that_a_restore_must_know_of_it(shop, file):
    say(file, "UPDATE alembic_version SET version_num = 'a2'")
    result = shop.find("back").result
    assert (result.outcome, result.changed, result.heads) == (Outcome.SUCCEEDED, False, ("a2",))
    assert result.find.before is None
    assert (result.find.backup.sha256, result.find.backup.revisions) == (shop.report.sha256, ("a1",))
    assert result.find.version_table == "alembic_version"
    assert result.database.fingerprint
    assert result.storage.found == (), "the one that is ordered is told of already"


def test_a_name_that_is_not_there_is_answered_by_those_that_are(shop):
    result = shop.find("back", "shop-7-20261124T120000Z").result
    assert (result.outcome, result.reason, result.changed) == (Outcome.FAILED, "BackupNotFound", False)
    assert f"{shop.report.name} (at a1)" in result.message


def test_a_backup_whose_dump_is_cut_is_not_there(shop):
    dump = next(shop.backups.directory.glob("*.sqlite"))
    dump.write_bytes(dump.read_bytes()[:-1])
    assert shop.find("back").result.reason == "BackupNotFound"


def test_what_lies_on_the_storage_is_told_by_an_order_and_by_a_backup(shop):
    two, three, four = (shop.backups.take(f"shop-{number}-20261123T13000{number}Z").name for number in (2, 3, 4))
    (shop.backups.directory / f"{three}.sqlite").write_bytes(b"cut")
    missing = "shop-9-20261123T190000Z"
    refused = shop.find("back", missing, known=(missing, two)).result
    assert (refused.reason, refused.storage.gone) == ("BackupNotFound", (missing,))
    assert [told.name for told in refused.storage.found] == [four, shop.report.name]
    assert vars(refused.storage.found[1]).items() <= vars(shop.report).items()

    made = shop.backups.start("shop-5-20261123T140000Z", keep_last=2, known=(shop.report.name,)).wait().result
    assert made.backup.pruned == (shop.report.name, two)
    assert made.storage.gone == (shop.report.name,)
    assert [told.name for told in made.storage.found] == [four]


def test_a_backup_of_another_object_is_refused(shop):
    result = shop.find("back", name="billing").result
    assert result.reason == "BackupOfAnother"
    assert "is of shops/shop" in result.message


def test_a_backup_of_another_database_is_refused(shop, file):
    other = file.with_name("billing.db")
    other.write_bytes(file.read_bytes())
    elsewhere = Restores(Backups(f"sqlite:///{other}", shop.backups.directory), shop.report)
    result = elsewhere.find("back").result
    assert result.reason == "BackupOfAnother"
    assert "shop.db" in result.message
    assert "billing.db" in result.message


def test_what_was_carried_out_is_found_with_what_the_spec_asked_for_then(shop, file):
    say(file, "INSERT INTO orders VALUES (2, 'late')")
    assert shop.run(by=BACK, accept_data_loss=True).result.outcome is Outcome.SUCCEEDED
    assert notes(file) == ["first"]
    found = shop.find("back").result
    before = found.find.before
    assert [told.name for told in found.storage.found] == [shop.report.name]
    assert (before.backup, before.identity, before.target) == (shop.report.name, "1:abc", ("a2",))
    assert before.restore.lost_rows == 1
    assert shop.find("another").result.find.before is None


def test_an_order_that_was_carried_out_is_refused_by_the_restore_itself(shop, file):
    """Without the record a cluster that is restored would throw away what was written since."""
    shop.run(by=BACK, accept_data_loss=True)
    say(file, "INSERT INTO orders VALUES (2, 'after the emergency')")
    result = shop.run(by=BACK, accept_data_loss=True, **ANEW).result
    assert (result.outcome, result.reason) == (Outcome.FAILED, "AlreadyRestored")
    assert notes(file) == ["first", "after the emergency"]


def test_a_name_that_stands_for_another_backup_is_taken(shop):
    shop.run(by=BACK, accept_data_loss=True)
    other = shop.backups.take("shop-2-20261123T130000Z")
    assert shop.find("back", other.name).result.reason == "OrderNameTaken"
    assert Restores(shop.backups, other).run(by=BACK, **ANEW).result.reason == "OrderNameTaken"


@pytest.mark.parametrize("text", ["", "{", '{"backup": 1}'])
def test_a_record_that_cannot_be_read_is_not_taken_for_none(shop, file, text):
    shop.run(by=BACK, accept_data_loss=True)
    (record,) = shop.backups.directory.glob("order-*.json")
    record.write_text(text, encoding="utf-8")
    say(file, "INSERT INTO orders VALUES (2, 'after')")
    assert shop.find("back").result.reason == "OrderNameTaken"
    assert shop.run(by=BACK, accept_data_loss=True, **ANEW).result.reason == "OrderNameTaken"
    assert notes(file) == ["first", "after"]


def test_an_order_that_was_refused_is_not_recorded_as_carried_out(shop, file):
    say(file, "INSERT INTO orders VALUES (2, 'late')")
    assert shop.run(by=BACK).result.reason == "RestoreNeedsAcknowledgement"
    assert shop.find("back").result.find.before is None
    assert shop.run(by=BACK, accept_data_loss=True, **ANEW).result.outcome is Outcome.SUCCEEDED
    assert notes(file) == ["first"]


def test_the_record_tells_no_row_and_is_for_our_eyes_only(shop, file):
    say(file, "INSERT INTO orders VALUES (2, 'secret')")
    shop.run(by=BACK, accept_data_loss=True)
    (record,) = shop.backups.directory.glob("order-*.json")
    assert record.stat().st_mode & 0o777 == 0o600
    assert "secret" not in record.read_text(encoding="utf-8")
    assert json.loads(record.read_text(encoding="utf-8"))["by"]["name"] == "back"


def test_killed_right_after_the_exchange_it_is_not_made_again_though_all_else_is_lost(on_postgresql, database):
    """Another uid, another run, another time: only the order's name leads to what was done."""
    shop = on_postgresql
    restores.migrate(database)
    shop.lose("stage:swapped", by=BACK, accept_data_loss=True)
    database.ask("SET ROLE shop; INSERT INTO sales.orders VALUES (9000, 'after the emergency', 1)")
    result = shop.run(by=BACK, accept_data_loss=True, **ANEW).result
    assert (result.outcome, result.heads) == (Outcome.SUCCEEDED, ("a1",))
    assert result.restore.kept_as == restores.kept(database)
    assert database.ask("SELECT note FROM sales.orders WHERE id = 9000") == [("after the emergency",)]
    assert shop.find("back").result.find.before is not None


def test_killed_before_the_exchange_it_is_carried_out_by_whoever_asks_again(on_postgresql, database):
    shop = on_postgresql
    restores.migrate(database)
    shop.lose("stage:compared", by=BACK, accept_data_loss=True)
    assert shop.find("back").result.find.before is None
    result = shop.run(by=BACK, accept_data_loss=True, **ANEW).result
    assert (result.outcome, result.heads) == (Outcome.SUCCEEDED, ("a1",))
    assert len(restores.databases(database)) == 2


def test_a_database_of_the_same_name_on_another_server_is_told_and_not_refused(on_postgresql, database):
    shop = on_postgresql
    assert shop.backups.start("second").wait().result.outcome is Outcome.SUCCEEDED
    found = shop.find("back", "second").result
    assert (found.outcome, found.warnings) == (Outcome.SUCCEEDED, ()), found
    path = shop.backups.directory / "second.manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    assert manifest["server"] == found.database.server != ""
    path.write_text(json.dumps({**manifest, "server": "of production"}), encoding="utf-8")
    elsewhere = shop.find("back", "second").result
    assert elsewhere.outcome is Outcome.SUCCEEDED
    (warning,) = elsewhere.warnings
    assert "on another server" in warning


def test_a_database_that_was_dropped_comes_back_where_an_empty_one_of_its_name_is_made(on_postgresql, database):
    """A restore takes the place of a database: the message must say so, for at that hour nobody reads a manual."""
    shop = on_postgresql
    with database.server.superuser() as connection:
        connection.execute(f"DROP DATABASE {database.name} WITH (FORCE)")
    found = shop.find("back").result
    assert found.reason == "DatabaseNotFound"
    assert "create an empty one of that name, with the same owner" in found.message
    with database.server.superuser() as connection:
        connection.execute(f"CREATE DATABASE {database.name} OWNER shop")
    assert shop.find("back").result.outcome is Outcome.SUCCEEDED
    assert shop.run(by=BACK).result.reason == "RestoreNeedsAcknowledgement"
    result = shop.run(by=BACK, accept_data_loss=True).result
    assert (result.outcome, result.heads) == (Outcome.SUCCEEDED, ("a1",)), result
    assert database.ask("SELECT count(*) FROM sales.orders") == [(5000,)]
