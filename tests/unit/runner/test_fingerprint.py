"""What two moments of one schema share, although Alembic's own table was made or widened in between."""

from __future__ import annotations

import pytest

from dbmigration_runner.engines.catalog import Catalog, has_readable_lines

POSTGRESQL = (
    "column public.alembic_version.version_num character varying(32) not null",
    "constraint public.alembic_version.alembic_version_pkc := PRIMARY KEY (version_num)",
    "index alembic_version_pkc := CREATE UNIQUE INDEX alembic_version_pkc ON public.alembic_version USING btree (version_num)",
    "table public.alembic_version",
)
MARIADB = (
    "table `alembic_version` ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci",
    "table `alembic_version` PRIMARY KEY (`version_num`)",
    "table `alembic_version` `version_num` varchar(32) NOT NULL",
)
SQLITE = (
    "column alembic_version.version_num varchar(32) not null key 1",
    "primary key on alembic_version (version_num BINARY) unique",
    "table alembic_version",
)


@pytest.mark.parametrize(
    ("lines", "orders"),
    [
        pytest.param(POSTGRESQL, "table public.orders", id="PostgreSQL"),
        pytest.param(MARIADB, "table `orders` `id` int(11) NOT NULL", id="MariaDB"),
        pytest.param(SQLITE, "table orders", id="SQLite"),
    ],
)
@pytest.mark.parametrize("version_table", ["alembic_version", "public.alembic_version"])
def test_a_schema_before_and_after_the_version_table_was_made_is_one_schema(lines, orders, version_table):
    before, after = Catalog((orders,)), Catalog(tuple(sorted((orders, *lines))))
    assert after.fingerprint(version_table) == before.fingerprint(version_table)
    assert after.fingerprint("elsewhere.versions") != before.fingerprint("elsewhere.versions")


@pytest.mark.parametrize(
    "line",
    [
        "column public.alembic_version_old.version_num text",
        "column public.orders.alembic_version text",
        "table public.alembic_version_old",
        "table shop.alembic_version",
        "column shop.alembic_version.version_num text",
        "index by_version := CREATE INDEX by_version ON shop.alembic_version USING btree (version_num)",
        "view public.state := SELECT alembic_version.version_num FROM public.alembic_version",
        "trigger public.alembic_version.watch := CREATE TRIGGER watch AFTER UPDATE ON public.alembic_version EXECUTE FUNCTION f()",
    ],
)
def test_what_only_looks_like_the_version_table_or_was_hung_on_it_counts(line):
    plain = Catalog(POSTGRESQL)
    more = Catalog((*POSTGRESQL, line))
    for version_table in ("alembic_version", "public.alembic_version"):
        assert more.fingerprint(version_table) != plain.fingerprint(version_table)


def test_names_in_quotes_are_found_as_they_are_written():
    lines = ('table "user"."Shop ""Versions"""', 'column "user"."Shop ""Versions""".version_num text')
    assert Catalog(lines).without('user.Shop "Versions"').items == ()


def test_without_a_table_of_that_name_nothing_is_left_out():
    assert Catalog(POSTGRESQL).without("bookkeeping.versions").items == POSTGRESQL


def test_a_fingerprint_says_by_its_form_what_it_was_made_of():
    made = Catalog(SQLITE).fingerprint("alembic_version")
    assert made.startswith("3:")
    assert has_readable_lines(made)
    assert not has_readable_lines("2:0123"), "its lines told of fewer kinds of objects"
    assert not has_readable_lines("4:0123")
    assert not has_readable_lines("")


def test_what_is_there_on_both_sides_and_reads_differently_is_not_told_as_missing():
    one = Catalog(("table orders := CREATE TABLE orders(id INT CHECK(id>0))", "index gone := CREATE INDEX gone"))
    other = Catalog(("table orders := CREATE TABLE orders(id INT CHECK(id>1))", "table log"))
    assert str(one.difference(other)) == (
        "-index gone := CREATE INDEX gone; "
        "table orders differs (-CREATE TABLE orders(id INT CHECK(id>0)) +CREATE TABLE orders(id INT CHECK(id>1))); +table log"
    )
    bare = Catalog(("table orders", "index gone := CREATE INDEX gone"))
    assert str(bare.difference(Catalog(("table orders := X", *bare.items[1:])))) == "table orders differs (-no SQL +X)"


def test_names_come_before_texts_that_leave_no_room_for_them():
    long = ", ".join(f"column_{number} INTEGER" for number in range(20))
    one = Catalog((f"table orders := CREATE TABLE orders({long})", f"view all_of_it on orders := {long}"))
    other = Catalog((f"table orders := CREATE TABLE orders({long}, x)", f"trigger late on orders := {long}"))
    assert str(one.difference(other)) == "table orders differs; -view all_of_it on orders; +trigger late on orders"
