"""What a restore of MariaDB would lose is told before it is lost, and nothing that was acknowledged is lost untold."""

from __future__ import annotations

import contextlib
import json
import random
import threading
import time
from typing import Self

import pymysql
import pytest

from dbmigration_runner.contract.result import Outcome
from tests.integration import mariadb_backups, mariadb_restores
from tests.integration.mariadb_server import said
from tests.integration.restores import Restores
from tests.sampling import SEEDS

RARE = b"""
CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY); INSERT INTO alembic_version VALUES ('a1');
CREATE TABLE pairs (a int, b varchar(9), note text, PRIMARY KEY (a, b)); INSERT INTO pairs VALUES (1, 'x', 'n'), (1, 'y', 'n');
CREATE TABLE parted (id int PRIMARY KEY, v int) PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN MAXVALUE);
INSERT INTO parted VALUES (1, 1), (20, 2);
CREATE TABLE my (id int PRIMARY KEY, v float) ENGINE=MyISAM; INSERT INTO my VALUES (1, 16777217), (2, 0.1);
CREATE TABLE past (id int PRIMARY KEY, v int) WITH SYSTEM VERSIONING; INSERT INTO past VALUES (1, 1);
CREATE TABLE counted (id int AUTO_INCREMENT PRIMARY KEY); INSERT INTO counted VALUES (1);
CREATE SEQUENCE tickets;
"""


@pytest.fixture
def rare(mariadb_database, tmp_path):
    mariadb_backups.load(mariadb_database, RARE)
    backups = mariadb_backups.of(mariadb_database, tmp_path / "backups")
    yield Restores(backups, backups.take())
    mariadb_restores.forget(mariadb_database)


@pytest.fixture
def shop(mariadb_database, tmp_path):
    yield mariadb_restores.shop(mariadb_database, tmp_path)
    mariadb_restores.forget(mariadb_database)


def losses(ran):
    assert ran.result.restore is not None, ran
    return {loss.table: (loss.inserted, loss.updated, loss.deleted, loss.untold) for loss in ran.result.restore.lost}


def test_rare_tables_come_back_and_what_was_not_touched_is_not_told(rare, mariadb_database):
    server, name = mariadb_database.server, mariadb_database.name
    before = mariadb_backups.schema(server, name), mariadb_backups.contents(server, name)
    ran = rare.run()
    assert ran.result.outcome is Outcome.SUCCEEDED, ran
    assert (mariadb_backups.schema(server, name), mariadb_backups.contents(server, name)) == before


def test_each_kind_of_loss_is_told_for_each_kind_of_table(rare, mariadb_database):
    for statement in (
        "INSERT INTO pairs VALUES (2, 'x', 'new')", "UPDATE pairs SET note = 'N' WHERE b = 'x' AND a = 1",
        "DELETE FROM parted WHERE id = 20", "UPDATE my SET v = 0.10000001 WHERE id = 2",
        "UPDATE past SET v = 2", "UPDATE past SET v = 1",
        "INSERT INTO counted VALUES (NULL)", "DELETE FROM counted WHERE id > 1", "SELECT NEXTVAL(tickets)",
    ):  # fmt: skip
        mariadb_database.ask(statement)
    told = losses(rare.run(accept_data_loss=True))
    again = "it has given numbers since, and will give them again"
    assert told.pop("past of past")[3].startswith("rows that are no longer current")
    assert told == {
        "pairs": (1, 1, 0, ""),
        "parted": (0, 0, 1, ""),
        "my": (0, 1, 0, ""),
        "sequence of counted": (0, 0, 0, again),
        "sequence tickets": (0, 0, 0, again),
    }


def test_a_new_column_counts_only_where_something_was_written_to_it(rare, mariadb_database):
    mariadb_database.ask(
        "ALTER TABLE pairs ADD COLUMN paid int NOT NULL, ADD COLUMN word varchar(9) DEFAULT 'it''s', ADD COLUMN seen int"
    )
    assert rare.run(run=8, keep_as="one").result.outcome is Outcome.SUCCEEDED
    mariadb_database.ask("ALTER TABLE pairs ADD COLUMN paid int NOT NULL, ADD COLUMN word varchar(9) DEFAULT 'w'")
    mariadb_database.ask("UPDATE pairs SET word = 'W' WHERE b = 'x'")
    ran = rare.run(run=9, keep_as="two")
    assert ran.result.reason == "RestoreNeedsAcknowledgement", ran
    assert losses(ran) == {"pairs": (0, 0, 0, "columns that the backup has not hold values: word")}


class Writers:
    """Two applications that know what the server has acknowledged, and come again whenever they are put out."""

    def __init__(self, database, seed) -> None:
        self.ledger: dict[int, str | None] = {}
        self.doubtful: set[int] = set()
        self._database = database
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._work, args=(number, seed)) for number in range(2)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _work(self, number, seed):
        chance = random.Random(seed * 10 + number)
        while not self._over.is_set():
            with contextlib.suppress(pymysql.Error), self._database.server.session(self._database.name) as connection:
                while not self._over.is_set():
                    self._write(connection, chance.randrange(1, 9000) * 3 + number, chance)
            time.sleep(0.02)

    def _write(self, connection, row, chance):
        note = None if chance.random() < 0.2 else f"written {chance.random()}"
        self.doubtful.add(row)
        if note is None:
            said(connection, f"DELETE FROM orders WHERE id = {row}")
        else:
            said(connection, f"REPLACE INTO orders (id, note) VALUES ({row}, '{note}')")
        self.ledger[row] = note
        self.doubtful.discard(row)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_acknowledged_write_is_in_the_database_or_in_the_list(shop, mariadb_database, seed):
    """Without the fence, rows that are written between the comparison and the exchange are in neither."""
    mariadb_database.ask("DROP TRIGGER stamped")
    backed_up = dict(mariadb_database.ask("SELECT id, note FROM orders"))
    with Writers(mariadb_database, seed) as writers:
        time.sleep(0.3)
        ran = shop.run(accept_data_loss=True)
    assert ran.result.outcome is Outcome.SUCCEEDED, ran
    listed = (shop.backups.directory / ran.result.restore.list_file).read_text(encoding="utf-8").splitlines()
    lost = {int(row["key"]["id"]) for row in map(json.loads, listed) if row["table"] == "orders"}
    assert writers.ledger
    assert lost
    now = dict(mariadb_database.ask("SELECT id, note FROM orders"))
    with mariadb_database.server.superuser(mariadb_restores.kept(mariadb_database)) as connection:
        replaced = dict(said(connection, "SELECT id, note FROM orders"))
    for row, note in writers.ledger.items():
        if row in writers.doubtful:
            continue
        # In the restored database the backup's trigger is at work again.
        stands = now.get(row) in {note, f"stamped {note}"}
        assert stands or (row in lost and replaced.get(row) == note), (row, note)
    assert lost == {row for row in {*backed_up, *replaced} if backed_up.get(row) != replaced.get(row)}
