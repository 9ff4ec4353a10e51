"""How the tables of a MariaDB database are divided into streams: each row is in exactly one of them."""

from __future__ import annotations

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbmigration_runner.engines.mysql_tables import (
    MOST_EXACT,
    SMALLEST_SPLIT_BYTES,
    Column,
    Stream,
    Table,
    divide,
    ranges,
    shortened,
    together,
)

PLAIN = (Column("id", "int"), Column("note", "varchar", "utf8mb4"))
FLOAT = (*PLAIN, Column("f", "float"))
LARGE = SMALLEST_SPLIT_BYTES * 10


def table(name, size=100, columns=PLAIN, **more):
    return Table(name, size_bytes=size, columns=columns, **more)


def names(streams):
    return sorted(sorted(table.name for table in stream.tables) for stream in streams)


def test_small_tables_are_dumped_by_one_program_and_need_no_lock():
    assert names(divide([table("a"), table("b"), table("c", columns=(Column("u", "uuid"),))], 2)) == [["a", "b", "c"]]


def test_large_tables_are_spread_and_the_largest_stands_alone():
    tables = [table("huge", LARGE * 8), table("a", LARGE), table("b", LARGE), table("c", 5), table("d", 5)]
    assert names(divide(tables, 2)) == [["a", "c"], ["b", "d"], ["huge"]]


def test_what_is_in_no_snapshot_is_read_by_a_program_of_its_own():
    tables = [table("a"), table("old", engine="MyISAM", is_transactional=False), table("b")]
    streams = divide(tables, 2)
    assert names(streams) == [["a", "b"], ["old"]]
    assert [stream.is_snapshot for stream in streams if stream.tables[0].name == "old"] == [False]


def test_types_that_must_not_go_as_they_lie_keep_no_others_from_it():
    tables = [table("a", LARGE), table("u", LARGE, (Column("u", "uuid"),)), table("b", LARGE)]
    plain = {stream.tables[0].name: stream.is_plain for stream in divide(tables, 2)}
    assert plain == {"a": True, "b": True, "u": False}


@pytest.mark.parametrize(
    "column",
    [Column("a", "uuid"), Column("a", "inet6"), Column("a", "point"), Column("a", "char", "utf16"), Column("a", "new")],
)
def test_only_well_known_types_go_as_they_lie(column):
    assert not Stream((table("a", columns=(column,)),)).is_plain


def test_a_table_with_floats_is_asked_for_doubles():
    (stream,) = divide([table("a`b", columns=FLOAT)], 2)
    assert stream.where == "1 = 0 UNION ALL SELECT `id`, `note`, CAST(`f` AS DOUBLE) FROM `a``b`"
    part = Stream(stream.tables, "`id` < 7")
    assert part.where.endswith(" FROM `a``b` WHERE `id` < 7")


def test_the_past_of_a_versioned_table_with_floats_is_dumped_too():
    assert Stream((table("a", columns=FLOAT, is_versioned=True),)).where.endswith(" FROM `a` FOR SYSTEM_TIME ALL")


def test_more_tables_with_floats_than_connections_are_told_of():
    tables = [table(f"t{number:02}", number, FLOAT) for number in range(MOST_EXACT + 2)]
    assert shortened(divide(tables, 2)) == ["t01", "t00"]
    assert shortened([together(tables)]) == [each.name for each in tables]


@given(st.lists(st.tuples(st.integers(0, LARGE), st.booleans(), st.booleans()), max_size=30), st.integers(2, 4))
def test_every_table_is_in_exactly_one_stream(drawn, workers):
    tables = [
        table(f"t{number}", size, FLOAT if has_float else PLAIN, is_transactional=is_transactional)
        for number, (size, has_float, is_transactional) in enumerate(drawn)
    ]
    found = [each.name for stream in divide(tables, workers) for each in stream.tables]
    assert sorted(found) == sorted(each.name for each in tables)


@given(
    st.integers(-(2**63), 2**63 - 1),
    st.integers(0, 2**20),
    st.integers(2, 9),
    st.lists(st.integers(-(2**63), 2**63 - 1)),
)
def test_every_key_meets_exactly_one_range_also_those_that_come_later(least, width, pieces, keys):
    conditions = ranges("id", least, min(least + width, 2**63 - 1), pieces)
    assert len(conditions) <= pieces
    with sqlite3.connect(":memory:") as connection:
        for key in (*keys, least, least + width // 2 if least < 0 else least):
            met = [
                connection.execute(f"SELECT {c or '1'} FROM (SELECT ? AS `id`)", (key,)).fetchone()[0]
                for c in conditions
            ]
            assert sum(met) == 1
