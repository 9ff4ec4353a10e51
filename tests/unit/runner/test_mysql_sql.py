"""Rows in what mariadb-dump prints: cut into pieces that load each by itself, and counted, wherever the reads are cut."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbmigration_runner.engines import mysql_sql
from dbmigration_runner.engines.mysql_sql import Pieces, StatementCounter, without_name

SETTINGS = b"/*!40101 SET NAMES utf8mb4 */;\n/*!40014 SET FOREIGN_KEY_CHECKS=0 */;\n"
HEAD = b"/*M!999999\\- enable the sandbox mode */ \n-- Host: there\n\n" + SETTINGS
ORDERS = b"\n--\n-- Dumping data for table `orders`\n--\n\n"
TEXT = (
    HEAD + ORDERS + b"INSERT INTO `orders` VALUES\n(1,'one'),\n(2,'; INSERT INTO `no` VALUES'),\n(3,'\\n;\\n');\n"
    b"INSERT INTO `orders` VALUES\n(4,NULL);\n"
    b"\n--\n-- Dumping data for table `empty`\n--\n\n"
    b"\n--\n-- Dumping data for table `odd``name (;`\n--\n\n"
    b"INSERT INTO `odd``name (;` (`a)b`, `c;d`, row_start) VALUES (1,'x'),\n(2,'y');\n"
    b"/*!40103 SET TIME_ZONE=@OLD_TIME_ZONE */;\n\n-- Dump completed\n"
)
ROWS = {"orders": 4, "empty": 0, "odd`name (;": 2}


def counted(parts):
    counter = StatementCounter()
    for part in parts:
        counter.feed(part)
    return counter


@given(st.lists(st.integers(0, len(TEXT)), max_size=12))
def test_the_number_of_rows_does_not_depend_on_the_reads(cuts):
    edges = [0, *sorted(cuts), len(TEXT)]
    counter = counted(TEXT[start:end] for start, end in itertools.pairwise(edges))
    assert counter.rows == ROWS
    assert counter.is_complete
    assert counter.size_bytes == len(TEXT)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7])
def test_it_does_not_depend_on_very_small_reads_either(size):
    assert counted(TEXT[start : start + size] for start in range(0, len(TEXT), size)).rows == ROWS


def test_a_statement_that_does_not_end_is_noticed():
    counter = counted([TEXT[: TEXT.index(b"(3,")]])
    assert not counter.is_complete


def divided(monkeypatch, text, size, piece=60, further=b""):
    """The pieces of a text that is read `size` bytes at a time."""
    monkeypatch.setattr(mysql_sql, "PIECE_BYTES", piece)
    made = [b""]

    def write(part):
        made[-1] += part

    pieces = Pieces(write, lambda: made.append(b""), further)
    for start in range(0, len(text), size):
        pieces.feed(text[start : start + size])
    pieces.finish()
    assert made.pop() == b""
    return made


@pytest.mark.parametrize("size", [1, 7, 64, 1000])
def test_each_piece_begins_with_the_settings_and_ends_with_a_statement(monkeypatch, size):
    first, *others = divided(monkeypatch, TEXT, size, further=b"SET more = 1;\n")
    head = HEAD[: HEAD.index(b"-- Host")] + SETTINGS + b"SET more = 1;\n"
    assert others
    assert first.startswith(HEAD)
    for piece in others:
        assert piece.startswith(head + b"INSERT INTO")
    assert first + b"".join(piece.removeprefix(head) for piece in others) == TEXT


@pytest.mark.parametrize("size", [1, 7, 64, 1000])
def test_the_pieces_have_every_row_once(monkeypatch, size):
    counters = [counted([piece]) for piece in divided(monkeypatch, TEXT, size)]
    assert all(counter.is_complete for counter in counters)
    assert sum(counter.rows.get("orders", 0) for counter in counters) == ROWS["orders"]


def test_many_statements_in_one_read_are_cut_like_those_of_many(monkeypatch):
    many = HEAD + ORDERS + b"".join(b"INSERT INTO `orders` VALUES\n(%d,'x');\n" % number for number in range(200))
    pieces = divided(monkeypatch, many, len(many), piece=500)
    assert len(pieces) > 10
    assert sum(counted([piece]).rows["orders"] for piece in pieces) == 200


def test_a_program_has_begun_when_it_told_of_a_table():
    pieces = Pieces(lambda _: None, lambda: None)
    pieces.feed(HEAD)
    assert not pieces.has_begun
    pieces.feed(ORDERS)
    assert pieces.has_begun


def test_the_databases_own_name_goes_where_it_qualifies_and_nowhere_else():
    text = (
        b"CREATE TABLE `it's` (\n  `id` int DEFAULT nextval(`sh``op`.`numbers`) COMMENT 'of `sh``op`.`x`, it''s \\' `sh``op`.',\n"
        b"  `sh``op` int DEFAULT nextval(`other`.`numbers`)\n) COMMENT='`sh``op`.';\n"
    )
    kept = text.replace(b"nextval(`sh``op`.", b"nextval(")
    assert without_name(text, "sh`op") == kept
