"""What MariaDB does with a transaction at a statement, told by its text; and what of its errors may be said."""

from __future__ import annotations

import pymysql
import pytest

from dbmigration_runner.engines.messages import describe, sql_error
from dbmigration_runner.engines.mysql_guest import GUESTS
from dbmigration_runner.engines.mysql_names import (
    LONGEST_LOCK_NAME,
    guest_locks,
    owner_lock,
    reader_locks,
    run_lock,
    text_literal,
)

HARMLESS = [
    "SELECT 1",
    "  -- a comment; with a semicolon\n SELECT 1;",
    "(SELECT 1)",
    "# a comment\nINSERT INTO t VALUES (1)",
    "/* COMMIT */ UPDATE t SET a = 1",
    "with x as (select 1) select * from x",
    "SET @a = 1",
    "SET SESSION sql_mode = ''",
    "SHOW TABLES",
    "SAVEPOINT a",
    "ROLLBACK TO a",
]
MAY_COMMIT = [
    "COMMIT",
    "ALTER TABLE t ADD a int",
    "/* x */ CREATE TABLE t (a int)",
    "/*! COMMIT */",
    "/*M!100100 DROP TABLE t */",
    "SELECT 1; COMMIT",
    "CALL p()",
    "BEGIN",
    "BEGIN NOT ATOMIC COMMIT; END",
    "START TRANSACTION",
    "SET autocommit = 1",
    "SET @a = 1, autocommit = 1",
    "SET STATEMENT lock_wait_timeout = 1 FOR ALTER TABLE t ADD a int",
    "EXECUTE s",
    "EXECUTE IMMEDIATE 'COMMIT'",
    "LOCK TABLES t WRITE",
    "ANALYZE TABLE t",
    "GRANT SELECT ON t TO a",
]


@pytest.mark.parametrize("statement", HARMLESS)
def test_a_statement_that_cannot_end_a_transaction_is_not_asked_about(statement):
    assert not GUESTS.may_commit(statement)


@pytest.mark.parametrize("statement", MAY_COMMIT)
def test_a_statement_that_may_end_its_transaction_is_seen(statement):
    assert GUESTS.may_commit(statement)


@pytest.mark.parametrize(
    "statement", ["SELECT a FROM t", "SHOW CREATE TABLE t", "DESC t", "SET @a = 1", "/* x */ BEGIN"]
)
def test_a_statement_that_leaves_nothing_is_not_taken_for_a_write(statement):
    assert not GUESTS.may_write(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT f(1)",
        "SELECT a FROM t INTO OUTFILE 'x'",
        "SELECT NEXT VALUE FOR s",
        "INSERT INTO t VALUES (1)",
        "SELECT 1; DROP TABLE t",
    ],
)
def test_a_statement_that_may_leave_something_is(statement):
    assert GUESTS.may_write(statement)


VALUES = [
    (1062, "Duplicate entry 'Grace' for key 'people_name'", "1062 Duplicate entry '…' for key 'people_name'"),
    (1062, "Duplicate entry 'Gr' for key 'Grace' for key 'k'", "1062 Duplicate entry '…' for key 'k'"),
    (
        1366,
        "Incorrect integer value: 'Grace' for column `shop`.`t`.`a` at row 1",
        "1366 Incorrect integer value: '…' for column `shop`.`t`.`a` at row 1",
    ),
    (1064, "You have an error near ''Grace', \"Hopper\"' at line 1", "1064 You have an error near '…' at line 1"),
    (1292, "Truncated incorrect DOUBLE value: 'Grace", "1292 Truncated incorrect DOUBLE value: '…'"),
]
NAMES = [
    (1146, "Table 'shop.nosuch' doesn't exist"),
    (1091, "Can't DROP COLUMN `nosuch`; check that it exists"),
    (1406, "Data too long for column 'name' at row 1"),
    (2003, "Can't connect to MySQL server on '127.0.0.1' (timed out)"),
    (1044, "Access denied for user 'shop'@'%' to database 'mysql'"),
]


@pytest.mark.parametrize(("number", "message", "said"), VALUES, ids=lambda value: str(value)[:20])
def test_a_value_in_an_error_is_not_said(number, message, said):
    assert describe(pymysql.err.OperationalError(number, message)) == said


@pytest.mark.parametrize(("number", "message"), NAMES)
def test_a_name_in_an_error_is_said(number, message):
    assert describe(pymysql.err.OperationalError(number, message)) == f"{number} {message}"


def test_a_lock_timeout_and_a_refused_write_are_told_apart():
    waited = sql_error(pymysql.err.OperationalError(1205, "Lock wait timeout exceeded; try restarting transaction"))
    refused = sql_error(pymysql.err.OperationalError(1792, "Cannot execute statement in a READ ONLY transaction"))
    assert waited is not None
    assert refused is not None
    assert (waited.is_lock_timeout, waited.is_write_refused) == (True, False)
    assert (refused.is_lock_timeout, refused.is_write_refused) == (False, True)


def test_a_lock_has_a_name_that_every_server_takes_and_no_other_schema():
    schema, name = "x" * 64, "dbmigration/1be2e452/7/shops/shop"
    for lock in (run_lock(schema), owner_lock(schema, name), *guest_locks(schema), *reader_locks(schema)):
        assert len(lock) <= LONGEST_LOCK_NAME
    assert run_lock("a") != run_lock("b")


def test_a_literal_means_the_same_in_every_sql_mode():
    assert text_literal("it's \\ \"") == "_utf8mb4 X'69742773205c2022'"
