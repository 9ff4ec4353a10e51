"""Restores of real MariaDB databases, by a runner started as a Job would start it."""

from __future__ import annotations

from pathlib import Path

from tests.integration import mariadb_backups
from tests.integration.mariadb_server import MariaDatabase, quoted, said
from tests.integration.restores import KEPT, Restores

SHOP = b"""
CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY); INSERT INTO alembic_version VALUES ('a1');
CREATE TABLE customers (id int PRIMARY KEY, name varchar(40)); INSERT INTO customers VALUES (1, 'Zoe');
CREATE TABLE orders (
  id int AUTO_INCREMENT PRIMARY KEY, customer int, note text, total decimal(10, 2), twice decimal(10, 2) AS (total * 2) STORED,
  KEY by_customer (customer), FOREIGN KEY (customer) REFERENCES customers (id), CONSTRAINT named FOREIGN KEY (customer) REFERENCES customers (id)
);
INSERT INTO orders (customer, note, total) SELECT 1, concat('note ', seq), seq / 7 FROM seq_1_to_5000;
CREATE TABLE log (line text); INSERT INTO log VALUES ('opened'), ('opened');
CREATE TABLE `a_name_of_sixty_four_characters_is_as_long_as_a_name_may_be_here` (id int PRIMARY KEY);
CREATE TABLE aria (id int PRIMARY KEY, at datetime) ENGINE=Aria; INSERT INTO aria VALUES (1, now());
CREATE TABLE `odd: ``(name%` (`a:b` varchar(20) CHARACTER SET latin1, `x``y` int, PRIMARY KEY (`x``y`, `a:b`));
INSERT INTO `odd: ``(name%` VALUES ('%s :x', 2);
CREATE SEQUENCE numbers START WITH 5; CREATE TABLE numbered (id int PRIMARY KEY DEFAULT NEXTVAL(numbers), note text);
INSERT INTO numbered (note) VALUES ('one'), ('two');
CREATE VIEW open_orders AS SELECT id, total FROM orders; CREATE VIEW again AS SELECT id FROM open_orders;
CREATE FUNCTION one() RETURNS int DETERMINISTIC RETURN 1; CREATE PROCEDURE tidy() DELETE FROM log;
DELIMITER //
CREATE TRIGGER stamped BEFORE INSERT ON orders FOR EACH ROW BEGIN SET NEW.note = concat('stamped ', NEW.note); END//
CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY DISABLE DO DELETE FROM log//
DELIMITER ;
"""
# What a migration that failed half-way leaves, and one row of the application's.
MIGRATED = b"""
UPDATE alembic_version SET version_num = 'a2'; CREATE TABLE invoices (id int PRIMARY KEY);
ALTER TABLE orders ADD COLUMN paid boolean DEFAULT false; DROP TRIGGER stamped; DROP VIEW again;
CREATE OR REPLACE VIEW open_orders AS SELECT id FROM orders WHERE NOT paid; CREATE VIEW paid_orders AS SELECT 1 AS one;
CREATE OR REPLACE FUNCTION one() RETURNS int DETERMINISTIC RETURN 2; CREATE SEQUENCE others; DROP PROCEDURE tidy;
DELIMITER //
CREATE TRIGGER marked BEFORE UPDATE ON orders FOR EACH ROW BEGIN SET NEW.note = 'marked'; END//
CREATE EVENT hourly ON SCHEDULE EVERY 1 HOUR DO DELETE FROM log//
SET time_zone = '+05:00', timestamp = 1000000000//
CREATE EVENT bygone ON SCHEDULE AT '2001-09-10' COMMENT 'ON COMPLETION PRESERVE ENABLE' DO DELETE FROM log//
DELIMITER ;
SET timestamp = DEFAULT; INSERT INTO orders (id, customer, note) VALUES (9000, 1, 'late');
"""


def shop(database: MariaDatabase, directory: Path) -> Restores:
    """A small shop at revision a1 and a backup of it; restored by root."""
    mariadb_backups.load(database, SHOP)
    backups = mariadb_backups.of(database, directory / "backups")
    return Restores(backups, backups.take())


def migrate(database: MariaDatabase) -> None:
    """See MIGRATED."""
    mariadb_backups.load(database, MIGRATED)


def kept(database: MariaDatabase) -> str:
    """What a replaced database is called."""
    return f"{database.name}_{KEPT}"


def databases(database: MariaDatabase) -> set[str]:
    """Every database that has to do with a test's."""
    with database.server.superuser() as connection:
        names = [str(name) for (name,) in said(connection, "SHOW DATABASES")]
    return {name for name in names if name.startswith((f"{database.name}_", "dbmigration_")) or name == database.name}


def forget(database: MariaDatabase) -> None:
    """Drop what restores left on the server, but for the test's own database."""
    with database.server.superuser() as connection:
        for name in databases(database) - {database.name}:
            said(connection, f"DROP DATABASE {quoted(name)}")


def is_fenced(database: MariaDatabase) -> bool:
    return any(name.startswith("dbmigration/") for name in database.tables())
