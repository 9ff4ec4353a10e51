"""What a text of SQL would take away."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbmigration_runner.checks.drops import Ledger
from dbmigration_runner.checks.sql_text import read_sql

SQL_WORDS = st.sampled_from(
    "DROP TABLE ALTER UPDATE SET DELETE FROM TYPE COLUMN RENAME TO WITH DO TRUNCATE a \"b\" 'c ' . , ; ( ) $$ $x$ /* */ -- ` \ue000".split()  # noqa: SIM905  # it reads as SQL
)


@pytest.mark.parametrize(
    ("sql", "drops", "unclear"),
    [
        ("DROP TABLE IF EXISTS a, s.b CASCADE", ["a", "s.b"], []),
        ('drop table "A b", "s""x"."y"', ["A b", 's"x.y'], []),
        ("DROP TABLE `a`; drop /* x */ table -- y\n b", ["a", "b"], []),
        ("ALTER TABLE ONLY t DROP COLUMN IF EXISTS a CASCADE, DROP b, ADD COLUMN c int", ["t.a", "t.b"], []),
        ("ALTER TABLE t DROP CONSTRAINT a, DROP PRIMARY KEY, ALTER COLUMN b DROP NOT NULL, DROP INDEX i", [], []),
        ('ALTER TABLE t DROP "constraint"', ["t.constraint"], []),
        ("ALTER TABLE t ALTER COLUMN a TYPE int USING a::int", [], ["changes the type of t.a, which may cut values"]),
        ("ALTER TABLE t MODIFY COLUMN a VARCHAR(10)", [], ["changes the type of t.a, which may cut values"]),
        ("ALTER TABLE t DROP PARTITION p", [], ["drops a partition of t"]),
        ("ALTER TABLE t RENAME TO u; DROP TABLE u", ["t"], []),
        ("ALTER TABLE t RENAME COLUMN a TO b; ALTER TABLE t DROP b", ["t.a"], []),
        ("RENAME TABLE a TO b, s.c TO d; DROP TABLE d, b", ["s.c", "a"], []),
        ("ALTER TABLE a SET SCHEMA attic; DROP TABLE attic.a", ["a"], []),
        ("ALTER SCHEMA s RENAME TO attic; DROP TABLE attic.a", ["attic.a"], ["renames the schema s: what is dropped from it afterwards is not known"]),
        ("ALTER TABLE a TRUNCATE PARTITION p", [], ["empties a partition of a, or takes it away"]),
        ("ALTER TABLE a CONVERT PARTITION p TO TABLE t; DROP TABLE t", ["t"], ["empties a partition of a, or takes it away"]),
        ("/*!40000 DROP TABLE a */; /*M!100100 DROP TABLE b */", ["a", "b"], []),
        ("TRUNCATE TABLE a, b RESTART IDENTITY", ["a", "b"], []),
        ("CREATE OR REPLACE TABLE s.a (id int); CREATE OR REPLACE VIEW v AS SELECT 1; CREATE TABLE b (id int)", ["s.a"], []),
        ("DELETE FROM a", ["a"], []),
        ("DELETE FROM a WHERE b", [], ["deletes rows of a"]),
        ("UPDATE a SET x = (SELECT y FROM b), z = 1 WHERE c", [], ["overwrites values of a.x", "overwrites values of a.z"]),
        ("UPDATE a AS t SET (x, y) = (1, 2)", [], ["overwrites values of a.…"]),
        ("ALTER TABLE a ADD COLUMN n int; UPDATE a SET n = 1", [], []),
        ("INSERT INTO a VALUES (1) ON CONFLICT (id) DO UPDATE SET b = 1", [], ["overwrites values of a"]),
        ("WITH gone AS (DELETE FROM a RETURNING *) SELECT * FROM gone", [], ["deletes or overwrites rows by a statement that begins with WITH"]),
        ("DO $$ BEGIN DROP TABLE a; END $$", [], ["runs a DO block that may destroy something"]),
        ("DO $x$ BEGIN PERFORM 1; END $x$", [], []),
        ("CREATE FUNCTION f() RETURNS void LANGUAGE sql AS $$ DELETE FROM a $$", [], []),
        (r"SELECT 'a\'; DROP TABLE a; SELECT 'b'", ["a"], []),
        (r"SELECT 'it\'s'; DROP TABLE a", ["a"], []),
        (r"SELECT E'it\'s; DROP TABLE b'; DROP TABLE a", ["a"], []),
        ("DROP TYPE mood CASCADE", [], ["drops the type mood with the columns that use it"]),
        ("DROP VIEW v; DROP FUNCTION f; DROP TRIGGER g ON t; DROP SEQUENCE s; DROP MATERIALIZED VIEW m", [], []),
        ("CALL clean()", [], ["calls the procedure clean"]),
        ("SELECT 'DROP TABLE a', \"drop table b\"", [], []),
        ("", [], []),
        (";;; '", [], []),
    ],
)  # fmt: skip
def test_sql_is_read_statement_by_statement(sql, drops, unclear):
    ledger = Ledger()
    read_sql(sql, ledger)
    ledger.close()
    assert ([str(drop) for drop in ledger.drops], ledger.unclear) == (drops, unclear)


@settings(deadline=None)
@given(sql=st.lists(SQL_WORDS).map(" ".join))
def test_no_text_of_sql_is_too_strange(sql):
    ledger = Ledger()
    read_sql(sql, ledger)
    ledger.close()
    assert all(drop.table for drop in ledger.drops)
