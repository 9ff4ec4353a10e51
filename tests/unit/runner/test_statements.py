"""What is shown of a statement: what it does, and no value of a row."""

from __future__ import annotations

import pytest

from dbmigration_runner.checks.statements import SHOWN_CHARACTERS, shown

WITHOUT_VALUES = [
    ("INSERT INTO t VALUES (1, 'Grace')", "INSERT INTO t VALUES (?, ?)"),
    ("INSERT INTO t VALUES ('it''s Grace', 0x47, -1.5e3)", "INSERT INTO t VALUES (?, ?, -?)"),
    ("UPDATE t1 SET a2 = 4111111111111111 WHERE id = 7", "UPDATE t1 SET a2 = ? WHERE id = ?"),
    (
        "CREATE TABLE t (a VARCHAR(20) DEFAULT 'Grace', b DECIMAL(10,2))",
        "CREATE TABLE t (a VARCHAR(20) DEFAULT ?, b DECIMAL(10,2))",
    ),
    ("CREATE TABLE t AS SELECT 4111 AS card", "CREATE TABLE t AS SELECT ? AS card"),
    ("ALTER TABLE t ADD CHECK (a <> E'it''s Grace')", "ALTER TABLE t ADD CHECK (a <> ?)"),
    ("SELECT N'Grace', _utf8mb4 'Grace', x'4772'", "SELECT ?, ?, ?"),
    ("INSERT INTO t VALUES ($$Grace's$$, $tag$ $$ Grace $tag$)", "INSERT INTO t VALUES (?, ?)"),
    ("INSERT INTO t -- Grace's\nVALUES (1) /* 'Grace */ # Grace", "INSERT INTO t VALUES (?)"),
    ("INSERT INTO t VALUES ('Grace", "INSERT INTO t VALUES (?"),
    # With or without backslashes as an escape: one of the two readings would show what follows.
    (r"INSERT INTO t VALUES ('C:\', 'Grace')", "INSERT INTO t VALUES (?)"),
    (r"INSERT INTO t VALUES ('it\'s Grace', 'Hopper')", "INSERT INTO t VALUES (?)"),
    ("INSERT INTO t VALUES (%(name)s, :name, $1)", "INSERT INTO t VALUES (%(name)s, :name, $1)"),
]


@pytest.mark.parametrize(("statement", "line"), WITHOUT_VALUES)
@pytest.mark.parametrize("name_quote", ['"', "`"])
def test_values_are_not_shown(statement, line, name_quote):
    found = shown(statement, name_quote=name_quote)
    assert found == line
    assert "Grace" not in found


def test_a_double_quote_begins_a_name_or_a_value_as_the_dialect_says():
    statement = 'INSERT INTO `t 1` ("name") VALUES ("Grace""s")'
    assert shown(statement, name_quote="`") == "INSERT INTO `t 1` (?) VALUES (?)"
    assert shown(statement, name_quote='"') == 'INSERT INTO `t 1` ("name") VALUES ("Grace""s")'


def test_a_long_statement_is_cut_to_one_line():
    line = shown(
        "CREATE TABLE t (\n" + ",\n".join(f"  column_{n} INTEGER" for n in range(5000)) + "\n)", name_quote='"'
    )
    assert len(line) == SHOWN_CHARACTERS
    assert line.startswith("CREATE TABLE t ( column_0 INTEGER, column_1")
    assert line.endswith("…")


def test_a_value_that_is_longer_than_what_is_read_stays_hidden():
    assert shown("INSERT INTO t VALUES ('" + "Grace " * 5000 + "')", name_quote='"') == "INSERT INTO t VALUES (?"
    escaped = r"INSERT INTO t VALUES ('\'', '" + "Grace " * 5000 + "')"
    assert shown(escaped, name_quote="`") == "INSERT INTO t VALUES (?"
