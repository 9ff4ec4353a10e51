"""How the entries of a PostgreSQL archive are divided between several pg_restore."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dbmigration_runner.engines.postgresql_copy import qualified
from dbmigration_runner.engines.postgresql_loading import shares

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
    assert shares(LISTED, SIZES, 2) == [["3345", "3346", "3350", "3347", "3341", "3342", "3343"], ["3344"]]


def test_there_are_no_empty_shares():
    assert shares(LISTED[:5], SIZES, 4) == [["3344"]]
    assert shares([], SIZES, 4) == []


@given(
    st.dictionaries(st.text("ab c.;(\"'ü", min_size=1), st.integers(0, 100), max_size=20),
    st.integers(1, 5),
    st.sampled_from(["shop", "an owner"]),
)
def test_every_entry_is_in_one_share_and_none_has_more_than_one_table_too_much(tables, workers, owner):
    listed = [f"{number}; 0 1 TABLE DATA s {name} {owner}" for number, name in enumerate(tables)]
    sizes = {qualified("s", name): size for name, size in tables.items()}
    found = shares(listed, sizes, workers)
    assert sorted(int(number) for share in found for number in share) == list(range(len(tables)))
    assert all(share == sorted(share, key=int) for share in found)
    if owner == "shop":
        weights = [sum(list(tables.values())[int(number)] for number in share) for share in found]
        assert max(weights, default=0) <= sum(weights) / workers + max(tables.values(), default=0)
