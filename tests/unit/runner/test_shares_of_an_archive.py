"""How the entries of a PostgreSQL archive are divided between several pg_restore."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbmigration_runner.engines.catalog import Catalog
from dbmigration_runner.engines.postgresql_catalog import plain_indexes
from dbmigration_runner.engines.postgresql_copy import qualified
from dbmigration_runner.engines.postgresql_shares import (
    LEAST_BYTES,
    Share,
    early_indexes,
    lines,
    numbers,
    rights,
    shares,
)

LISTED = """;
; Archive created at 2026-11-26 04:12:00 UTC
;     TOC Entries: 40
;
3344; 0 16390 TABLE DATA public orders shop
3345; 0 16401 TABLE DATA public TABLE DATA shop
3346; 0 16412 TABLE DATA sales Odd (name shop owner
3350; 0 0 SEQUENCE SET public orders_id_seq shop
3347; 0 16420 TABLE DATA sales unknown shop
3341; 0 0 BLOB METADATA - 16433 shop
3342; 0 0 BLOBS - BLOBS
3343; 0 0 COMMENT - LARGE OBJECT 16433 shop
""".splitlines()
SIZES = {"public.orders": 10, qualified("public", "TABLE DATA"): 4, qualified("sales", "Odd (name"): 5}


def test_each_takes_as_much_and_what_is_no_rows_stays_together_in_its_order():
    assert shares(LISTED, SIZES, 2) == [
        Share(
            ("3345", "3346", "3350", "3347", "3341", "3342", "3343"),
            {qualified("public", "TABLE DATA"): 4, qualified("sales", "Odd (name"): 5},
        ),
        Share(("3344",), {"public.orders": 10}),
    ]


def test_there_are_no_empty_shares():
    assert shares(LISTED[:5], SIZES, 4) == [Share(("3344",), {"public.orders": 10})]
    assert shares([], SIZES, 4) == []


@given(
    st.dictionaries(st.text("ab c.;(\"'ü", min_size=1), st.integers(0, 100), max_size=20),
    st.integers(1, 5),
    st.sampled_from(["shop", "an owner"]),
)
def test_every_entry_is_in_one_share_and_none_has_more_than_one_table_too_much(tables, workers, owner):
    listed = [f"{number}; 0 1 TABLE DATA s {name} {owner}" for number, name in enumerate(tables)]
    sizes = {qualified("s", name): size for name, size in tables.items()}
    found = [share.entries for share in shares(listed, sizes, workers)]
    assert sorted(int(number) for share in found for number in share) == list(range(len(tables)))
    assert all(list(share) == sorted(share, key=int) for share in found)
    if owner == "shop":
        weights = [sum(list(tables.values())[int(number)] for number in share) for share in found]
        assert max(weights, default=0) <= sum(weights) / workers + max(tables.values(), default=0)


AFTER = """;
3200; 2606 16500 CONSTRAINT public small small_pkey shop
3201; 2606 16501 CONSTRAINT public orders orders_pkey shop
3202; 2606 16502 CONSTRAINT public events events_pkey shop
3203; 1259 16503 INDEX public orders_note shop
3204; 1259 16504 INDEX public orders_lower shop
3205; 1259 16505 INDEX public two words shop
3206; 2606 16506 FK CONSTRAINT public orders orders_event_fkey shop
3207; 0 0 INDEX ATTACH public orders_2026_pkey shop
3208; 0 0 COMMENT public INDEX orders_note shop
3209; 1259 16507 INDEX sales orders_note shop
3210; 2620 16508 TRIGGER public orders orders_note shop
3211; 0 16509 MATERIALIZED VIEW DATA public orders_note shop
3212; 2606 16510 CONSTRAINT public people orders_note shop
""".splitlines()
INDEXED = {
    "public.small_pkey": "public.small",
    "public.orders_pkey": "public.orders",
    "public.events_pkey": "public.events",
    "public.orders_note": "public.orders",
    "sales.orders_note": "sales.orders",
}
OTHER = Share(("9",), {"public.other": 10 * LEAST_BYTES})


def early(tables, indexed=INDEXED, other=OTHER):
    return early_indexes(AFTER, [Share(("1",), tables), other], indexed)


def test_indexes_of_what_was_restored_are_built_where_its_table_is_large_and_its_largest_first():
    tables = {"public.small": LEAST_BYTES - 1, "public.orders": LEAST_BYTES, "public.events": LEAST_BYTES + 1}
    assert early(tables) == [["3202", "3201", "3203"], []]
    assert early({"public.orders": LEAST_BYTES}) == [["3201", "3203"], []]
    assert early({"public.orders": LEAST_BYTES}, indexed={}) == [[], []]
    assert early({}) == [[], []]
    assert early_indexes(AFTER, [], INDEXED) == []


def test_as_many_are_built_as_the_largest_share_leaves_time_for():
    assert early({"public.orders": 6 * LEAST_BYTES}) == [[], []]
    assert early({"public.orders": 4 * LEAST_BYTES}) == [["3201"], []]
    assert early({"public.orders": 3 * LEAST_BYTES}) == [["3201", "3203"], []]
    assert early({"public.orders": 4 * LEAST_BYTES, "public.events": LEAST_BYTES}) == [["3201", "3202"], []]
    assert early({"public.orders": 3 * LEAST_BYTES}, other=Share(("9",), {"public.other": 4 * LEAST_BYTES})) == [[], []]


def test_entries_are_told_by_their_numbers():
    assert numbers(AFTER) == [str(number) for number in range(3200, 3213)]
    assert rights([*AFTER, "7; 0 0 ACL public TABLE orders shop", "8; 826 1 DEFAULT ACL public DEFAULT x shop"]) == [
        "7",
        "8",
    ]


def test_a_name_makes_no_entries_of_its_own():
    listed = "7; 1259 16503 INDEX public x\u2028219; y\x0b9; z shop\n8; 1259 16504 INDEX public other shop\n"
    assert numbers(lines(listed.encode())) == ["7", "8"]


@pytest.mark.parametrize(
    ("line", "table"),
    [
        ("index orders_pkey := CREATE UNIQUE INDEX orders_pkey ON public.orders USING btree (id)", "public.orders"),
        (
            "index i clustered := CREATE INDEX i ON sales.orders USING btree (tag, note) WITH (fillfactor='70')",
            "sales.orders",
        ),
        ("index i := CREATE INDEX i ON sales.orders USING gin (tags)", None),
        (
            'index "An index" := CREATE UNIQUE INDEX "An index" ON public."Order s" USING btree (a DESC, "B c") INCLUDE (d) NULLS NOT DISTINCT',
            'public."Order s"',
        ),
        ("index i := CREATE INDEX i ON public.orders USING btree (lower(note))", None),
        ("index i := CREATE INDEX i ON public.orders USING btree (note) WHERE public.is_open(note)", None),
        ("index i := CREATE INDEX i ON ONLY public.orders USING btree (note)", None),
        ("index i := CREATE INDEX i ON public.orders USING btree (note public.odd_ops (size='32'))", None),
        ("table public.orders", None),
    ],
)
def test_an_index_is_plain_where_it_is_on_columns_and_rows_as_they_are(line, table):
    assert list(plain_indexes(Catalog((line,))).values()) == ([table] if table else [])
