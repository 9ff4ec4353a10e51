"""Two spellings of one expression become one; two expressions stay two."""

from __future__ import annotations

import pytest

from dbmigration_runner.engines.postgresql_expressions import canonical


# As PostgreSQL 18 printed them for a table, and for the table restored from its dump.
@pytest.mark.parametrize(
    ("printed", "restored"),
    [
        (
            "CHECK (((s)::text = ANY ((ARRAY['new'::character varying, 'it''s (gone)'::character varying])::text[])))",
            "CHECK (((s)::text = ANY (ARRAY[('new'::character varying)::text, ('it''s (gone)'::character varying)::text])))",
        ),
        (
            "CHECK ((((qty >= 1) AND (qty <= 10)) AND (price >= (0)::numeric)))",
            "CHECK (((qty >= 1) AND (qty <= 10) AND (price >= (0)::numeric)))",
        ),
        (
            "CHECK (((((a >= 1) AND (a <= 2)) AND (b > 0)) OR (((b >= 3) AND (b <= 4)) AND ((a = 1) AND (b = 2)))))",
            "CHECK ((((a >= 1) AND (a <= 2) AND (b > 0)) OR ((b >= 3) AND (b <= 4) AND ((a = 1) AND (b = 2)))))",
        ),
        ("SELECT a\n   FROM  t\n  WHERE (b)", "SELECT a FROM t WHERE (b)"),
    ],
)
def test_what_a_restore_spells_differently_is_one_expression(printed, restored):
    assert canonical(printed) == canonical(restored) == restored


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("((a OR b) AND c)", "(a OR b AND c)"),
        ("(a AND (b AND c))", "((a AND b) OR c)"),
        ("((a + b) * c)", "(a + (b * c))"),
        ("(x = 'a  b')", "(x = 'a b')"),
        ('("a  b" = 1)', '("a b" = 1)'),
        ("(ARRAY['1'::text])::integer[]", "(ARRAY['1'::text])::text[]"),
        ("x = E'\\n'", "x = '\n'"),
        ("(a BETWEEN (b AND c) AND d)", "(a BETWEEN b AND c AND d)"),
    ],
)
def test_different_expressions_stay_different(one, other):
    assert canonical(one) != canonical(other)


def test_an_expression_is_nested_as_deeply_as_it_likes():
    deep = "(" * 20_000 + "a" + ")" * 20_000
    assert canonical(deep) == deep


@pytest.mark.parametrize("broken", ["a ((b", "a)) b", "'open", '"open', "(]"])
def test_what_is_no_expression_is_no_error(broken):
    assert canonical(broken)
