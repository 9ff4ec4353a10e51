"""What a real schema differs in from the one that a backup's manifest holds, for each kind of object."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from pathlib import Path

import pytest

from dbmigration_runner.checks.difference import difference, rewordings
from dbmigration_runner.engines import engine_for
from dbmigration_runner.engines.catalog import Catalog
from dbmigration_runner.engines.mysql_catalog import catalog as mariadb_catalog
from dbmigration_runner.engines.postgresql_catalog import catalog
from dbmigration_runner.engines.sqlite_catalog import catalog as sqlite_catalog
from tests.integration import backups, mariadb_backups
from tests.integration.backups import Backups
from tests.integration.postgresql_server import CANARY

RICH = Path(__file__).parent / "schemas" / "rich.sql"


@pytest.fixture(scope="module")
def kept(postgres, tmp_path_factory):
    """A schema with one of nearly everything, and what the manifest of its backup says."""
    with postgres.superuser() as connection:
        connection.execute("CREATE DATABASE kept")
    address = {"PGHOST": "127.0.0.1", "PGPORT": str(postgres.port), "PGUSER": "postgres", "PGPASSWORD": CANARY}
    psql = [postgres.binaries / "psql", "-q", "-v", "ON_ERROR_STOP=1", "-d", "kept", "-f", RICH]
    subprocess.run(psql, env={**os.environ, **address}, check=True, capture_output=True)
    url = postgres.url("kept", user="postgres")
    found = Backups(url, tmp_path_factory.mktemp("kept") / "backups")
    found.take()
    yield url, Catalog(found.manifests[0].catalog)
    backups.drop(postgres, "kept")


@pytest.mark.parametrize(
    ("change", "sentences"),
    [
        ("SELECT 1", []),
        ("CREATE SCHEMA attic", ["schema attic is left behind"]),
        ("CREATE TABLE shop.notes (id serial PRIMARY KEY, t text UNIQUE CHECK (t <> ''))", ["table shop.notes is left behind"]),
        ("DROP TABLE shop.usesop", ["table shop.usesop is missing"]),
        ("ALTER TABLE shop.customers ADD COLUMN extra int", ["column shop.customers.extra is left behind"]),
        ("ALTER TABLE shop.derived DROP COLUMN c", ["column shop.derived.c is missing"]),
        (
            "ALTER TABLE shop.mix ALTER t TYPE varchar(81), ALTER t SET NOT NULL",
            ["column shop.mix.t: character varying became character varying(81) not null"],
        ),
        (
            "ALTER TABLE shop.customers ALTER neg SET DEFAULT -2",
            ["column shop.customers.neg: integer default '-1'::integer became integer default '-2'::integer"],
        ),
        (
            'ALTER TABLE "Odd ""Name"."select" ALTER "a.b" SET NOT NULL',
            ['column "Odd ""Name"."select"."a.b": text became text not null'],
        ),
        ("ALTER TABLE shop.customers DROP CONSTRAINT nested", ["constraint shop.customers.nested is missing"]),
        (
            "ALTER TABLE shop.base DROP CONSTRAINT base_b_check, ADD CONSTRAINT base_b_check CHECK (b <> 'x')",
            [
                "constraint shop.base.base_b_check: CHECK ((b <> ''::text)) became CHECK ((b <> 'x'::text))",
                "constraint shop.derived.base_b_check: CHECK ((b <> ''::text)) became CHECK ((b <> 'x'::text))",
            ],
        ),
        ("DROP INDEX shop.customers_lower", ["index customers_lower is missing"]),
        ("CREATE INDEX ix_new ON shop.customers (qty)", ["index ix_new is left behind"]),
        ("ALTER SEQUENCE shop.counter INCREMENT 7", ["sequence shop.counter: as integer start 1 increment 5 "]),
        (
            "CREATE OR REPLACE VIEW shop.recursive_v AS SELECT 1 AS n, 'x'::text AS lit",
            ["view shop.recursive_v: "],
        ),
        ("CREATE OR REPLACE PROCEDURE shop.run() LANGUAGE sql AS 'SELECT 2'", ["procedure shop.run() has another definition"]),
        ("DROP AGGREGATE shop.mysum(integer)", ["aggregate shop.mysum(integer) is missing"]),
        ("ALTER TYPE shop.mood ADD VALUE 'furious'", ["enum shop.mood: 'sad','it''s ok','meh','happy' became "]),
        ("DROP TRIGGER touch2 ON shop.measures", ["trigger shop.measures.touch2 is missing"]),
        ("ALTER TABLE shop.customers ENABLE TRIGGER touch", ["trigger shop.customers.touch: disabled"]),
        ("DROP POLICY own ON shop.customers", ["policy shop.customers.own is missing"]),
        ("DROP RULE no_delete ON shop.base", ["rule shop.base.no_delete is missing"]),
        ("DROP STATISTICS shop.stx", ["statistics stx is missing"]),
        ("DROP CAST (shop.pair AS text)", ["cast from shop.pair to text e is missing"]),
        ("ALTER PUBLICATION pub DROP TABLE shop.customers", ["published pub shop.customers is missing"]),
        ("ALTER TABLE shop.measures DETACH PARTITION shop.measures_old", ["table shop.measures_old: FOR VALUES", "inherits shop.measures_old from shop.measures is missing"]),
    ],
)  # fmt: skip
def test_a_change_of_a_postgresql_schema_is_told_in_a_sentence(kept, change, sentences):
    url, before = kept
    with engine_for(url).connect(read_only=False, pinned=False) as session:
        session.run("BEGIN")
        session.run(change)
        found = difference(before, catalog(session))
        session.run("ROLLBACK")
    assert len(found) >= len(sentences), found
    for sentence, start in zip(found, sentences, strict=False):
        assert sentence.startswith(start), found
    assert len(found) == len(sentences) or "DETACH" in change, found


def test_what_is_only_written_in_another_way_is_no_difference(kept):
    url, before = kept
    with engine_for(url).connect(read_only=False, pinned=False) as session:
        session.run("BEGIN")
        session.run("ALTER TABLE shop.base DROP CONSTRAINT base_b_check CASCADE")
        session.run("ALTER TABLE shop.base ADD CONSTRAINT base_b_check CHECK (b <> ''::varchar)")
        after = catalog(session)
        session.run("ROLLBACK")
    assert after.fingerprint("alembic_version") != before.fingerprint("alembic_version")
    assert difference(before, after) == ()
    assert len(rewordings(before, after)) == 2


SHOP = """
CREATE TABLE customers (id INTEGER PRIMARY KEY AUTOINCREMENT, mail TEXT NOT NULL COLLATE NOCASE, age INT DEFAULT 1 CHECK (age > 0));
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INT REFERENCES customers (id) ON DELETE CASCADE, total NUMERIC);
CREATE TABLE "odd table" ("a b" TEXT, "c.d" TEXT, UNIQUE ("a b"));
CREATE INDEX ix_total ON orders (total);
CREATE VIEW adults AS SELECT * FROM customers WHERE age > 17;
CREATE TRIGGER audit AFTER DELETE ON orders BEGIN SELECT 1; END;
"""


@pytest.mark.parametrize(
    ("change", "sentences"),
    [
        ("SELECT 1", []),
        ("CREATE TABLE notes (id INTEGER PRIMARY KEY, o INT REFERENCES orders (id), t TEXT UNIQUE); CREATE INDEX i ON notes (t)", ["table notes is left behind"]),
        ("DROP TABLE orders", ["table orders is missing"]),
        ('DROP TABLE "odd table"', ["table odd table is missing"]),
        ("ALTER TABLE orders ADD COLUMN extra INT", ["column orders.extra is left behind"]),
        ("ALTER TABLE orders DROP COLUMN customer", ["column orders.customer is missing", "foreign key orders customer>id of customers is missing"]),
        ('ALTER TABLE "odd table" DROP COLUMN "c.d"', ["column odd table.c.d is missing"]),
        ("DROP INDEX ix_total; CREATE INDEX ix_total ON orders (customer)", ["index ix_total: on orders (total BINARY)"]),
        ("DROP INDEX ix_total", ["index ix_total is missing"]),
        ("DROP VIEW adults; CREATE VIEW adults AS SELECT * FROM customers WHERE age > 18", ["view adults: "]),
        ("DROP TRIGGER audit", ["trigger audit is missing"]),
    ],
)  # fmt: skip
def test_a_change_of_an_sqlite_schema_is_told_in_a_sentence(tmp_path, change, sentences):
    def run(script):
        connection = sqlite3.connect(tmp_path / "shop.db")
        connection.executescript(script)
        connection.close()

    run(SHOP)
    url = f"sqlite:///{tmp_path}/shop.db"
    taken = Backups(url, tmp_path / "backups")
    taken.take()
    run(change)
    with engine_for(url).connect() as session:
        found = difference(Catalog(taken.manifests[0].catalog), sqlite_catalog(session))
    assert len(found) == len(sentences), found
    for sentence, start in zip(found, sentences, strict=True):
        assert sentence.startswith(start), found


ON_MARIADB = b"""
CREATE TABLE customers (id int AUTO_INCREMENT PRIMARY KEY, mail varchar(80) NOT NULL UNIQUE, age int DEFAULT 1 CHECK (age > 0));
CREATE TABLE orders (
  id int PRIMARY KEY, customer int, total decimal(10, 2), KEY ix_total (total),
  CONSTRAINT of_customer FOREIGN KEY (customer) REFERENCES customers (id)
);
CREATE TABLE `odd ``table` (`a b` text, `c.d` int);
CREATE VIEW adults AS SELECT id FROM customers WHERE age > 17;
CREATE TRIGGER audit BEFORE DELETE ON orders FOR EACH ROW SET @gone = OLD.id;
CREATE FUNCTION one() RETURNS int DETERMINISTIC RETURN 1;
CREATE SEQUENCE numbers;
CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY DISABLE DO DELETE FROM orders;
"""
# Each on top of those before it: there is no transaction that would undo them.
CHANGES = (
    ("SELECT 1", []),
    ("CREATE TABLE notes (id int PRIMARY KEY, o int, KEY by_o (o), FOREIGN KEY (o) REFERENCES orders (id))", ["table `notes` is left behind"]),
    ("DROP TABLE notes", ["table `notes` is missing"]),
    ("ALTER TABLE orders ADD COLUMN extra int", ["column `orders`.`extra` is left behind"]),
    ("ALTER TABLE orders MODIFY total decimal(12, 2) NOT NULL", ["column `orders`.`total`: decimal(10,2) DEFAULT NULL became decimal(12,2) NOT NULL"]),
    ("ALTER TABLE customers MODIFY age int DEFAULT 1", ["column `customers`.`age`: int(11) DEFAULT 1 CHECK (`age` > 0) became int(11) DEFAULT 1"]),
    ("ALTER TABLE orders DROP KEY ix_total, ADD KEY ix_total (total, id)", ["index `orders`.`ix_total`: KEY (`total`) became KEY (`total`,`id`)"]),
    ("ALTER TABLE orders DROP COLUMN total, DROP KEY ix_total", ["column `orders`.`total` is missing", "index `orders`.`ix_total` is missing"]),
    ("ALTER TABLE orders DROP FOREIGN KEY of_customer", ["constraint `orders`.`of_customer` is missing"]),
    ("ALTER TABLE orders DROP PRIMARY KEY", ["primary key of `orders` is missing"]),
    ("ALTER TABLE customers DROP KEY mail", ["index `customers`.`mail` is missing"]),
    ("ALTER TABLE `odd ``table` DROP COLUMN `c.d`", ["column `odd ``table`.`c.d` is missing"]),
    ("ALTER TABLE `odd ``table` ENGINE = Aria", ["options of `odd ``table`: ) ENGINE=InnoDB "]),
    ("CREATE OR REPLACE VIEW adults AS SELECT id FROM customers WHERE age > 18", ["view `adults`: …"]),
    ("DROP VIEW adults", ["view `adults` is missing"]),
    ("CREATE OR REPLACE TRIGGER audit BEFORE DELETE ON orders FOR EACH ROW SET @gone = 1", ["trigger `audit` has another definition"]),
    ("DROP TABLE orders", ["table `orders` is missing"]),
    ("CREATE OR REPLACE FUNCTION one() RETURNS int DETERMINISTIC RETURN 2", ["function `one` has another definition"]),
    ("CREATE OR REPLACE FUNCTION one(n int) RETURNS int DETERMINISTIC RETURN 2", ["parameter of function `one` 1 IN n int(11) is left behind"]),
    ("ALTER SEQUENCE numbers INCREMENT BY 7", ["sequence `numbers`: …"]),
    ("ALTER EVENT nightly ON SCHEDULE EVERY 2 DAY", ["event `nightly`: RECURRING - 1 DAY "]),
    ("ALTER DATABASE CHARACTER SET latin1", ["database latin1 latin1_swedish_ci is left behind", "database utf8mb4 utf8mb4_general_ci is missing"]),
)  # fmt: skip


def test_a_change_of_a_mariadb_schema_is_told_in_a_sentence(mariadb_database):
    # As root: a routine's text is hidden from who did not define it.
    engine = engine_for(mariadb_database.server.url(mariadb_database.name, user="root"))
    mariadb_backups.load(mariadb_database, ON_MARIADB)
    with engine.connect() as session:
        before = mariadb_catalog(session)
    for change, sentences in CHANGES:
        mariadb_database.ask(change)
        with engine.connect() as session:
            after = mariadb_catalog(session)
        found = difference(before, after)
        assert len(found) == len(sentences), (change, found)
        for sentence, start in zip(found, sentences, strict=True):
            assert sentence.startswith(start), (change, found)
        before = after


def test_a_table_that_a_batch_wrote_anew_is_no_difference(tmp_path):
    """Alembic's batch makes the table again, quotes names in its own way and sorts the constraints behind the columns."""
    connection = sqlite3.connect(tmp_path / "shop.db")
    connection.executescript("CREATE TABLE t (a INT CHECK (a>0), b TEXT)")
    url = f"sqlite:///{tmp_path}/shop.db"
    with engine_for(url).connect() as session:
        before = sqlite_catalog(session)
    connection.executescript('DROP TABLE t; CREATE TABLE "t" ( "b" TEXT, a INT CHECK (a > 0) )')
    connection.close()
    with engine_for(url).connect() as session:
        after = sqlite_catalog(session)
    assert (
        before.fingerprint("alembic_version") != after.fingerprint("alembic_version"),
        difference(before, after),
    ) == (True, ())
    assert len(rewordings(before, after)) == 1
