"""Counting rows in what pg_restore prints, wherever the pieces of it are cut."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbmigration_runner.engines.postgresql_copy import CopyCounter, qualified

TEXT = (
    b"--\n-- PostgreSQL database dump\n--\n\nSET statement_timeout = 0;\n\n"
    b"COPY public.orders (id, note) FROM stdin;\n1\tone\n2\tCOPY public.no (a) FROM stdin;\n3\t\\\\.\n4\t\\N\n\\.\n\n\n"
    b"--\n-- Data for Name: empty\n--\n\nCOPY public.empty (id) FROM stdin;\n\\.\n\n"
    b'COPY shop."Odd (""x"").y" ("a) FROM stdin;", b) FROM stdin;\n\n\n\\.\n'
    b"COPY public.nothing  FROM stdin;\n\n\\.\n"
    b"SELECT pg_catalog.setval('public.orders_id_seq', 4, true);\n"
)
ROWS = {"public.orders": 4, "public.empty": 0, 'shop."Odd (""x"").y"': 2, "public.nothing": 1}


@given(st.lists(st.integers(0, len(TEXT)), max_size=12))
def test_the_number_of_rows_does_not_depend_on_the_pieces(cuts):
    counter = CopyCounter()
    edges = [0, *sorted(cuts), len(TEXT)]
    for start, end in itertools.pairwise(edges):
        counter.feed(TEXT[start:end])
    assert counter.rows == ROWS
    assert counter.is_complete
    assert counter.size_bytes == len(TEXT)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7])
def test_it_does_not_depend_on_very_small_pieces_either(size):
    counter = CopyCounter()
    for start in range(0, len(TEXT), size):
        counter.feed(TEXT[start : start + size])
    assert counter.rows == ROWS


def test_rows_that_never_end_are_noticed():
    counter = CopyCounter()
    counter.feed(TEXT[: TEXT.index(b"4\t")])
    assert not counter.is_complete
    assert counter.rows["public.orders"] == 3


def test_names_in_another_encoding_are_read():
    counter = CopyCounter("iso8859-1")
    counter.feed('COPY public."stra\xdfe" (a) FROM stdin;\n1\n\\.\n'.encode("latin-1"))
    assert counter.rows == {'public."straße"': 1}


def test_two_tables_never_have_one_name():
    assert qualified("a", "b.c") != qualified("a.b", "c")
    assert qualified("a", 'b"."c') != qualified('a"."b', "c")
