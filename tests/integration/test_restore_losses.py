"""What a restore would lose is counted, refused without leave, and listed row by row with it; the writers are never between."""

from __future__ import annotations

import contextlib
import json
import random
import threading
import time
from typing import Any, Self

import psycopg
import pytest

from dbmigration_runner.contract.result import Outcome, RestoreStage, TableLoss
from tests.integration import restores
from tests.integration.postgresql_server import CANARY
from tests.sampling import SEEDS


@pytest.fixture
def shop(database, tmp_path):
    yield restores.shop(database, tmp_path)
    restores.forget(database)


def listed(shop, report):
    if not report.list_file:
        return []
    path = shop.backups.directory / report.list_file
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write(database):
    """Each kind of loss."""
    database.ask(
        "INSERT INTO sales.orders VALUES (6000, 'new', 1), (6001, NULL, NULL); DELETE FROM sales.orders WHERE id = 17;"
        "UPDATE sales.orders SET note = NULL WHERE id IN (3, 4, 5);"
        'INSERT INTO "Odd: (name%" VALUES (\'it\'\'s "new"\', 2); UPDATE "Odd: (name%" SET "a:b" = \'moved\' WHERE "x""y" = 1;'
        "INSERT INTO log VALUES ('closed')"
    )


LOSSES = (
    TableLoss('public."Odd: (name%"', inserted=2, deleted=1),
    TableLoss("public.log", inserted=1, untold="it has no key, so its rows were only counted, and they differ"),
    TableLoss("sales.orders", inserted=2, updated=3, deleted=1),
)


def test_without_leave_nothing_is_lost_and_everything_is_counted(shop, database):
    restores.migrate(database)
    write(database)
    before = restores.databases(database)
    ran = shop.run()
    result = ran.result
    assert (result.outcome, result.reason) == (Outcome.FAILED, "RestoreNeedsAcknowledgement"), ran
    assert (result.changed, result.heads) == (False, ("a2",))
    assert result.restore is not None
    assert result.restore.lost == LOSSES
    assert (result.restore.inserted, result.restore.updated, result.restore.deleted) == (5, 3, 2)
    assert (
        "5 rows inserted since (they go), 3 changed since (they go back to their old values), 2 deleted since (they come back)"
        in (result.message)
    )
    assert (
        'By table: public."Odd: (name%" 2 inserted, 1 deleted; public.log 1 inserted; sales.orders 2 inserted, 3 changed, 1'
        in (result.message)
    )
    (told,) = ran.events_called("restore-estimate")
    assert told["written"].startswith("An estimate: since the backup about ")
    assert "sales.orders" in told["written"]
    assert (result.restore.lost_rows, result.restore.swapped) == (10, False)
    assert restores.databases(database) == before
    database.ask("SET ROLE shop; INSERT INTO sales.orders VALUES (7000)")
    assert not any("lost" in name for name in shop.backups.files)


def test_with_leave_every_lost_row_is_listed_by_its_key(shop, database):
    restores.migrate(database)
    write(database)
    result = shop.run(accept_data_loss=True).result
    assert result.outcome is Outcome.SUCCEEDED, result
    assert result.restore is not None
    found = {(row["table"], row["kind"], *sorted(row["key"].items())) for row in listed(shop, result.restore)}
    odd = 'public."Odd: (name%"'
    assert found == {
        *(("sales.orders", "inserted", ("id", str(number))) for number in (6000, 6001)),
        *(("sales.orders", "updated", ("id", str(number))) for number in (3, 4, 5)),
        ("sales.orders", "deleted", ("id", "17")),
        (odd, "inserted", ("a:b", 'it\'s "new"'), ('x"y', "2")),
        (odd, "inserted", ("a:b", "moved"), ('x"y', "1")),
        (odd, "deleted", ("a:b", "\\."), ('x"y', "1")),
    }
    path = shop.backups.directory / result.restore.list_file
    assert path.stat().st_mode & 0o777 == 0o600


def test_rows_of_the_list_are_in_no_result_and_no_log(shop, database):
    database.ask("INSERT INTO \"Odd: (name%\" VALUES ('a canary', 7)")
    ran = shop.run(accept_data_loss=True)
    assert "a canary" in json.dumps(listed(shop, ran.result.restore))
    assert "a canary" not in ran.text + ran.stdout + ran.stderr


def test_where_nobody_wrote_a_half_done_migration_needs_no_leave(shop, database):
    """An added column with one value for all, an empty table, the version table: none of it is a write of anybody's."""
    restores.migrate(database)
    result = shop.run().result
    assert result.outcome is Outcome.SUCCEEDED, result
    assert result.restore is not None
    assert (result.restore.compared, result.restore.lost, result.restore.list_file) == (True, (), "")


@pytest.mark.parametrize(
    ("change", "table", "told"),
    [
        (
            "ALTER TABLE sales.orders ADD COLUMN at int DEFAULT 0; UPDATE sales.orders SET at = id",
            "sales.orders",
            "hold values: at",
        ),
        ("ALTER TABLE sales.orders DROP COLUMN total", "sales.orders", "cannot be compared: total"),
        ("ALTER TABLE sales.orders ALTER COLUMN id TYPE bigint", "sales.orders", "cannot be compared: id"),
        ("ALTER TABLE sales.orders RENAME TO bills", "sales.orders", "it is gone"),
        ("CREATE TABLE bills AS SELECT 1 AS id", "public.bills", "the backup has no such table"),
        ("UPDATE log SET line = 'opened!'", "public.log", "only counted"),
        ("SELECT lo_from_bytea(0, 'x')", "large objects", "only counted"),
    ],
)
def test_what_cannot_be_told_apart_from_a_write_is_no_proof(shop, database, change, table, told):
    """Said to be nothing, each of these would throw away an application's write without leave."""
    database.ask(f"SET ROLE shop; {change}")
    result = shop.run().result
    assert result.reason == "RestoreNeedsAcknowledgement", result
    assert result.restore is not None
    assert told in next(loss.untold for loss in result.restore.lost if loss.table == table)


def test_a_row_that_the_migration_rewrote_counts_as_written(shop, database):
    database.ask("UPDATE sales.orders SET note = upper(note)")
    result = shop.run().result
    assert result.restore is not None
    assert result.restore.lost == (TableLoss("sales.orders", updated=5000),)


def test_columns_that_are_computed_are_not_compared(database, tmp_path):
    database.ask("CREATE TABLE boxes (id int PRIMARY KEY, a int, b int GENERATED ALWAYS AS (a * 2) STORED)")
    database.ask("INSERT INTO boxes VALUES (1, 2); ALTER TABLE boxes OWNER TO shop")
    shop = restores.shop(database, tmp_path)
    try:
        assert shop.run().result.outcome is Outcome.SUCCEEDED
    finally:
        restores.forget(database)


def untold(database, shop):
    """What was only told, of a restore without leave; it changed nothing."""
    result = shop.run().result
    assert (result.reason, result.changed, result.restore.lost_rows) == ("RestoreNeedsAcknowledgement", False, 0), (
        result
    )
    return {loss.table: loss.untold for loss in result.restore.lost}


def test_numbers_that_were_given_since_are_not_given_again_unasked(shop, database):
    database.ask("SET ROLE shop; CREATE SEQUENCE invoice_number; CREATE SEQUENCE idle")
    shop = restores.Restores(shop.backups, shop.backups.take("second"))
    database.ask("SELECT nextval('invoice_number')")
    assert set(untold(database, shop)) == {"sequence public.invoice_number"}


@pytest.mark.parametrize(
    ("made", "written", "is_told"),
    [
        ("text", "", False),
        ("text", "UPDATE settings SET licence = 'paid'", True),
        ("text NOT NULL DEFAULT 'none'", "", False),
        ("text NOT NULL DEFAULT 'none'", "UPDATE settings SET licence = 'paid'", True),
    ],
)
def test_what_stands_in_a_new_column_is_not_thrown_away_unasked(shop, database, made, written, is_told):
    """Of a table with one row too, where one value is no proof that nobody wrote it."""
    database.ask("SET ROLE shop; CREATE TABLE settings (id int PRIMARY KEY); INSERT INTO settings VALUES (1)")
    shop = restores.Restores(shop.backups, shop.backups.take("second"))
    database.ask(f"SET ROLE shop; ALTER TABLE settings ADD COLUMN licence {made}; {written}")
    if not is_told:
        assert shop.run().result.outcome is Outcome.SUCCEEDED
        return
    assert untold(database, shop) == {"public.settings": "columns that the backup has not hold values: licence"}


def test_rows_of_an_extension_are_not_thrown_away_unasked(shop, database):
    """Those of its configuration are in the dump as they were; others are in none, also where everybody was drained."""
    share = next((database.server.binaries.parent / "share").rglob("plpgsql.control")).parent
    (share / "partlike.control").write_text("default_version = '1'\n")
    (share / "partlike--1.sql").write_text(
        "CREATE TABLE part_config (id int PRIMARY KEY, v text); CREATE TABLE part_cache (id int PRIMARY KEY);"
        "SELECT pg_catalog.pg_extension_config_dump('part_config', '')"
    )
    database.ask(
        "CREATE EXTENSION partlike; INSERT INTO part_config VALUES (1, 'old'); GRANT ALL ON part_config, part_cache TO shop;"
        'CREATE TABLE "Odd: %queue" (id int PRIMARY KEY); ALTER EXTENSION partlike ADD TABLE "Odd: %queue";'
        'INSERT INTO "Odd: %queue" VALUES (1), (2)'
    )
    backup = shop.backups.start("second").wait().result
    (told,) = [warning for warning in backup.warnings if "extensions" in warning]
    assert 'the rows of tables that belong to extensions: public."Odd: %queue". Its restore compares' in told
    manifest = shop.backups.manifests[0]
    assert (manifest.name, manifest.left_out, manifest.notes) == ("second", ('public."Odd: %queue"',), (told,))
    shop = restores.Restores(shop.backups, backup.backup)
    database.ask("UPDATE part_config SET v = 'new'; INSERT INTO part_cache VALUES (1)")
    result = shop.run(nothing_written=True).result
    assert (result.reason, result.changed) == ("RestoreNeedsAcknowledgement", False), result
    assert result.restore.lost == (
        TableLoss(
            'public."Odd: %queue"',
            inserted=2,
            untold="the backup has no such table: its rows may be the migration's own",
        ),
        TableLoss("public.part_cache", inserted=1),
        TableLoss("public.part_config", updated=1),
    )


class Writers:
    """Applications that write as fast as they can, and remember what was acknowledged: a ledger that is the truth."""

    def __init__(self, database, seed: int) -> None:
        server = {"host": "127.0.0.1", "port": database.server.port, "user": "shop", "password": CANARY}
        self._address: dict[str, Any] = {**server, "dbname": database.name, "autocommit": True, "connect_timeout": 3}
        self._seed = seed
        self._over = threading.Event()
        self.ledger: dict[int, str | None] = {}  # the last acknowledged note of each row, None where it was deleted
        self.doubtful: set[int] = set()  # a commit that was never answered may have happened
        self._threads = [threading.Thread(target=self._work, args=(number,)) for number in range(3)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _work(self, number: int) -> None:
        chance = random.Random(self._seed * 10 + number)
        while not self._over.is_set():
            with (
                contextlib.suppress(psycopg.Error),
                psycopg.connect(**self._address) as connection,
            ):
                while not self._over.is_set():
                    row = chance.randrange(1, 9000) * 3 + number  # each writer has rows of its own
                    self._write(connection, row, chance)
            time.sleep(0.02)

    def _write(self, connection, row: int, chance: random.Random) -> None:
        note = None if chance.random() < 0.2 else f"written {chance.random()}"
        self.doubtful.add(row)
        if note is None:
            connection.execute("DELETE FROM sales.orders WHERE id = %s", (row,))
        else:
            connection.execute(
                "INSERT INTO sales.orders (id, note) VALUES (%s, %s) ON CONFLICT (id) DO UPDATE SET note = excluded.note",
                (row, note),
            )
        self.ledger[row] = note
        self.doubtful.discard(row)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_acknowledged_write_is_in_the_database_or_in_the_list(shop, database, seed):
    """Without the fence, rows that are written between the comparison and the exchange are in neither."""
    restores.migrate(database)
    backed_up = {row: f"note {row}" for row in range(1, 5001)}
    with Writers(database, seed) as writers:
        time.sleep(0.3)
        ran = shop.run(accept_data_loss=True)
        time.sleep(0.3)  # and they go on, in the restored database
    assert ran.result.outcome is Outcome.SUCCEEDED, ran
    now = dict(database.ask("SELECT id, note FROM sales.orders"))
    lost = {int(row["key"]["id"]) for row in listed(shop, ran.result.restore)}
    assert writers.ledger
    assert lost
    kept = restores.kept(database)
    with database.server.superuser() as connection:
        connection.execute(f'ALTER DATABASE "{kept}" ALLOW_CONNECTIONS true')
    with database.server.superuser(kept) as connection:
        replaced = dict(connection.execute("SELECT id, note FROM sales.orders").fetchall())
    for row, note in writers.ledger.items():
        if row in writers.doubtful:
            continue
        in_replaced = replaced.get(row) == note
        assert now.get(row) == note or (row in lost and in_replaced), (row, note)
    # And the list is exact: what differs between the backup and the replaced database, no more and no less.
    assert lost == {row for row in {*backed_up, *replaced} if backed_up.get(row) != replaced.get(row)}


def test_writers_go_on_where_no_leave_was_given(shop, database):
    restores.migrate(database)
    with Writers(database, 4) as writers:
        time.sleep(0.3)
        ran = shop.run()
        count = len(writers.ledger)
        time.sleep(0.5)
    assert ran.result.reason == "RestoreNeedsAcknowledgement", ran
    assert ran.result.restore is not None
    assert ran.result.restore.stage is RestoreStage.COMPARED
    assert len(writers.ledger) > count
    now = dict(database.ask("SELECT id, note FROM sales.orders"))
    assert not [row for row, note in writers.ledger.items() if row not in writers.doubtful and now.get(row) != note]


def test_a_change_is_found_in_a_table_of_many_rows(database, tmp_path):
    """More rows than buckets, and more differing ones than are fetched at a time."""
    database.ask(
        "SET ROLE shop; CREATE TABLE many (id bigint PRIMARY KEY, word text); INSERT INTO many SELECT i, 'w' FROM generate_series(1, 200000) i"
    )
    shop = restores.shop(database, tmp_path)
    try:
        database.ask(
            "UPDATE many SET word = 'x' WHERE id % 40 = 0; DELETE FROM many WHERE id % 1000 = 1; INSERT INTO many VALUES (-1, 'y')"
        )
        result = shop.run(accept_data_loss=True).result
        assert result.restore is not None
        assert result.restore.lost == (TableLoss("public.many", inserted=1, updated=5000, deleted=200),)
        assert len({row["key"]["id"] for row in listed(shop, result.restore)}) == 5201
    finally:
        restores.forget(database)
