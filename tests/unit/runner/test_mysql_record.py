"""What a restore of MariaDB writes down of programs, and the words of a client that loads a dump."""

from __future__ import annotations

import pytest

from dbmigration_runner.engines.mysql_loading import failed
from dbmigration_runner.engines.mysql_names import kept_name, plain_literal
from dbmigration_runner.engines.mysql_probe import last_words
from dbmigration_runner.engines.mysql_record import Program


@pytest.mark.parametrize(
    ("text", "moved"),
    [
        (
            "CREATE DEFINER=`root`@`%` TRIGGER t1 BEFORE INSERT ON orders FOR EACH ROW SET NEW.a = 'ON orders FOR EACH ROW'",
            (
                "CREATE OR REPLACE DEFINER=`root`@`%` TRIGGER t1 BEFORE INSERT ON `dbmigration/new/1` FOR EACH ROW"
                " SET NEW.a = 'ON orders FOR EACH ROW'"
            ),
        ),
        (
            "CREATE TRIGGER `on``e` after  update\n on `shop`.`or``ders`\nfor each row BEGIN END",
            "CREATE OR REPLACE TRIGGER `on``e` after  update\n on `dbmigration/new/1`\nfor each row BEGIN END",
        ),
        (
            "CREATE OR REPLACE TRIGGER shop.t AFTER DELETE ON t FOR EACH ROW FOLLOWS other SET @a = 1",
            "CREATE OR REPLACE TRIGGER shop.t AFTER DELETE ON `dbmigration/new/1` FOR EACH ROW FOLLOWS other SET @a = 1",
        ),
    ],
)
def test_a_trigger_is_put_on_another_table_and_nothing_else_of_it_changes(text, moved):
    assert Program("trigger", "t", text, table="orders").statement("dbmigration/new/1") == moved


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("EVERY 1 DAY STARTS '2026-01-01 00:00:00'", "COMMENT 'it''s ON COMPLETION PRESERVE ENABLE' DO DO 1"),
        ("EVERY '1:10' HOUR_MINUTE", "DO SELECT ' ON COMPLETION PRESERVE ENABLE '"),
    ],
)
@pytest.mark.parametrize("status", ["ENABLE", "DISABLE", "DISABLE ON SLAVE"])
@pytest.mark.parametrize("kept", ["", "NOT "])
def test_an_event_is_kept_disabled_and_nothing_else_of_it_changes(before, after, status, kept):
    head = "CREATE DEFINER=`o'n`@`%` EVENT `ON COMPLETION PRESERVE ENABLE ``x` ON SCHEDULE"
    event = Program("event", "e", f"{head} {before} ON COMPLETION {kept}PRESERVE {status} {after}")
    disabled = f"{head} {before} ON COMPLETION PRESERVE DISABLE {after}"
    assert event.disabled().text == disabled
    assert event.without_definer().disabled().text == disabled.replace("DEFINER=`o'n`@`%` ", "")


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("ERROR 1114 (HY000) at line 7: The table 'orders' is full", "DiskSpaceLow"),
        ("ERROR 1021 (HY000) at line 7: Disk full (/tmp/x)", "DiskSpaceLow"),
        ("ERROR 2013 (HY000) at line 7: Lost connection to server during query", "ConnectionLost"),
        ("", "ConnectionLost"),
        ("ERROR 1227 (42000) at line 7: Access denied; you need SET USER", "RestoreNotPossible"),
        ("ERROR 1064 (42000) at line 7: You have an error in your SQL syntax", "RestoreFailed"),
    ],
)
def test_what_a_client_complains_of_is_a_reason(said, reason):
    assert failed(said, 1).reason == reason


def test_no_value_of_a_row_is_told():
    told = failed("ERROR 1062 (23000) at line 7: Duplicate entry 'Grace Hopper' for key 'PRIMARY'", 1).message
    assert "Grace" not in told


def test_the_name_of_a_replaced_database_keeps_what_tells_it_from_others():
    assert kept_name("shop", "before-7") == "shop_before-7"
    assert kept_name("s" * 64, "before-7") == "s" * 55 + "_before-7"


def test_a_plain_string_ends_where_it_should():
    assert plain_literal("it's \\ done: 5 %s") == "'it''s \\\\ done: 5 %s'"


def test_an_error_behind_a_long_statement_is_read(tmp_path):
    """The client prints the statement first, as long as it is; without its end a full disk was a lost connection."""
    said = tmp_path / "said"
    row = "(1,'secret'),\n"
    said.write_text(
        f"--------------\nINSERT INTO `t` VALUES\n{row * 20_000}--------------\n\nERROR 1114 (HY000) at line 9: The table 't' is full\n"
    )
    with said.open("rb") as complaints:
        refused = failed(last_words(complaints), 1)
    assert refused.reason == "DiskSpaceLow"
    assert "1114" in refused.message
    assert "secret" not in refused.message
