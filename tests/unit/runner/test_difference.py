"""What two schemas differ in, told in sentences."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbmigration_runner.checks.difference import difference, rewordings
from dbmigration_runner.checks.wording import is_reworded
from dbmigration_runner.engines.catalog import Catalog

ORDERS = (
    "table shop.orders",
    "column shop.orders.id bigint not null",
    "column shop.orders.total numeric(10,2) not null",
    "column shop.orders.note text",
    "constraint shop.orders.orders_pkey := PRIMARY KEY (id)",
    "constraint shop.orders.sane := CHECK ((total > (0)::numeric))",
    "index ix_orders_note := CREATE INDEX ix_orders_note ON shop.orders USING btree (note)",
    "sequence shop.orders_id_seq as bigint start 1 owned by shop.orders.id",
    "trigger shop.orders.touch := CREATE TRIGGER touch …",
    "function shop.f(integer, text) " + "a" * 64,
    "enum shop.mood 'sad','ok'",
)


def with_change(gone: str = "", *new: str) -> Catalog:
    kept = [line for line in ORDERS if not gone or not line.startswith(gone)]
    assert len(kept) == len(ORDERS) - bool(gone)
    return Catalog(tuple(sorted((*kept, *new))))


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (with_change(), []),
        (with_change("column shop.orders.note"), ["column shop.orders.note is missing"]),
        (with_change("", "column shop.orders.extra text"), ["column shop.orders.extra is left behind"]),
        (with_change("index"), ["index ix_orders_note is missing"]),
        (
            with_change("column shop.orders.total", "column shop.orders.total numeric(12,2)"),
            ["column shop.orders.total: numeric(10,2) not null became numeric(12,2)"],
        ),
        (
            with_change("column shop.orders.note", "column shop.orders.note text default := 'none'::text"),
            ["column shop.orders.note: text became text default 'none'::text"],
        ),
        (
            with_change("constraint shop.orders.sane", "constraint shop.orders.sane := CHECK ((total > (1)::numeric))"),
            ["constraint shop.orders.sane: CHECK ((total > (0)::numeric)) became CHECK ((total > (1)::numeric))"],
        ),
        (
            with_change("function", "function shop.f(integer, text) " + "b" * 64),
            ["function shop.f(integer, text) has another definition"],
        ),
        (with_change("enum", "enum shop.mood 'sad'"), ["enum shop.mood: 'sad','ok' became 'sad'"]),
        (
            with_change(
                "",
                "table shop.left",
                "column shop.left.a text",
                "constraint shop.left.left_pkey := PRIMARY KEY (a)",
                "index ix := CREATE INDEX ix ON shop.left USING btree (a)",
                "sequence shop.s as integer owned by shop.left.a",
                "inherits shop.left from shop.orders",
                "index other := CREATE INDEX other ON shop.left2 USING btree (a)",
            ),
            ["table shop.left is left behind", "index other is left behind"],
        ),
        (
            with_change("", "column shop.orders.n integer not null default := nextval('shop.n')", "sequence shop.n as integer owned by shop.orders.n"),
            ["column shop.orders.n is left behind"],
        ),
        (Catalog(()), ["table shop.orders is missing", "enum shop.mood is missing", "function shop.f(integer, text) is missing"]),
    ],
)  # fmt: skip
def test_each_item_has_its_sentence(after, expected):
    assert difference(with_change(), after) == tuple(expected)


def test_names_that_sqlite_prints_bare_are_told_whole():
    before = Catalog(
        (
            "column my table.a b integer",
            "column my table.c text",
            "index i on my table (c BINARY) := CREATE INDEX i ON…",
            "table my table",
        )
    )
    assert difference(before, Catalog(())) == ("table my table is missing",)
    after = Catalog(tuple(line.replace("text", "text not null") for line in before.items))
    assert difference(before, after) == ("column my table.c: text became text not null",)


def test_the_parts_of_a_table_in_mariadb_are_told_one_by_one():
    before = (
        "table `orders` `id` int(11) NOT NULL AUTO_INCREMENT",
        "table `orders` `note` text DEFAULT NULL",
        "table `orders` PRIMARY KEY (`id`)",
        "table `orders` UNIQUE KEY `ix` (`note`)",
        "table `orders` CONSTRAINT `fk` FOREIGN KEY (`id`) REFERENCES `o` (`id`)",
        "table `orders` ) ENGINE=InnoDB",
        "trigger `touch` on `orders` BEFORE INSERT - " + "a" * 64,
    )
    after = (
        "table `orders` `id` bigint(20) NOT NULL AUTO_INCREMENT",
        "table `orders` `extra` text DEFAULT NULL",
        "table `orders` PRIMARY KEY (`id`,`extra`)",
        "table `orders` KEY `ix` (`note`)",
        "table `orders` ) ENGINE=Aria",
        "trigger `touch` on `orders` BEFORE INSERT - " + "b" * 64,
    )
    assert difference(Catalog(before), Catalog(after)) == (
        "column `orders`.`extra` is left behind",
        "column `orders`.`id`: int(11) NOT NULL AUTO_INCREMENT became bigint(20) NOT NULL AUTO_INCREMENT",
        "column `orders`.`note` is missing",
        "primary key of `orders`: (`id`) became (`id`,`extra`)",
        "constraint `orders`.`fk` is missing",
        "index `orders`.`ix`: UNIQUE KEY (`note`) became KEY (`note`)",
        "trigger `touch` has another definition",
        "options of `orders`: ) ENGINE=InnoDB became ) ENGINE=Aria",
    )
    assert difference(Catalog(before), Catalog(())) == ("table `orders` is missing",)


def test_a_long_definition_is_shown_where_it_parts():
    start = "SELECT " + ", ".join(f"column_{number}" for number in range(40))
    before, after = (Catalog((f"view v := {start} FROM a WHERE {end}",)) for end in ("x > 1", "x > 2"))
    (sentence,) = difference(before, after)
    assert sentence == "view v: …umn_39 FROM a WHERE x > 1 became …umn_39 FROM a WHERE x > 2"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("CHECK (((a > 1) AND (b < 2)))", "CHECK ((a > 1 AND b < 2))", True),
        ("CHECK (((a > 1) AND (b > 2)) AND (c > 3))", "CHECK ((a > 1) AND (b > 2) AND (c > 3))", True),
        ("CHECK ((a = 'x'::text))", "CHECK ((a = 'x'::character varying))", True),
        ("'new'::character varying(10)", "'new'::text", True),
        ('CREATE TABLE "t" ("a" INT, CHECK (a>0))', "CREATE TABLE t(CHECK(a > 0), a int)", True),
        ("CREATE VIEW v AS select a from t", "CREATE VIEW v AS SELECT a FROM t", True),
        ("CHECK ((a OR b) AND c)", "CHECK (a OR (b AND c))", False),
        ("CHECK ((a AND b) OR c)", "CHECK (a AND (b OR c))", False),
        ("CHECK ((a + b) * c > 0)", "CHECK (a + b * c > 0)", False),
        ("CHECK (a BETWEEN 1 AND 2)", "CHECK (a BETWEEN 2 AND 1)", False),
        ("CHECK (a = 'X')", "CHECK (a = 'x')", False),
        ("CHECK (a > 1)", "CHECK (a >= 1)", False),
        ("CHECK (a = 'it''s')", "CHECK (a = 'its')", False),
        ("CREATE VIEW v AS SELECT a, b FROM t", "CREATE VIEW v AS SELECT b, a FROM t", False),
        ("CHECK (x IN ('a', 'b'))", "CHECK (x IN ('a', 'c'))", False),
        ('"A b"', "a b", False),
        ("(" * 5000, "(" * 5000 + "x", False),
    ],
)
def test_another_wording_is_told_from_another_meaning(one, other, same):
    assert is_reworded(one, other) is same
    before, after = Catalog((f"constraint t.c := {one}",)), Catalog((f"constraint t.c := {other}",))
    assert (len(rewordings(before, after)), len(difference(before, after))) == ((1, 0) if same else (0, 1))


LINES = st.sampled_from(
    [
        *ORDERS,
        "column shop.orders.total numeric(12,2)",
        "table x y",
        "column x y.z int",
        'table "A ""b"".c"',
        "view v := SELECT 1",
        "view v := SELECT 2",
        "foreign key t a>b of c on update no action",
        "cast from a to b c",
        "",
        "table",
        "strange",
    ]
)


@given(one=st.frozensets(LINES), other=st.frozensets(LINES))
def test_two_catalogs_differ_exactly_where_they_are_not_the_same(one, other):
    before, after = (Catalog(tuple(sorted(lines))) for lines in (one, other))
    told = (*difference(before, after), *rewordings(before, after))
    assert bool(told) is (one != other)
    assert len(set(told)) == len(told)
