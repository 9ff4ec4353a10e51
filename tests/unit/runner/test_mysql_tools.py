"""What MariaDB's programs are told, which of them serve a server, and what their words and rights mean."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.engines.mysql_probe import verdict
from dbmigration_runner.engines.mysql_streams import failed
from dbmigration_runner.engines.mysql_surroundings import rights
from dbmigration_runner.engines.mysql_tools import Tools, choose, options, series_of
from dbmigration_runner.errors import Refusal


def tools(*series):
    return Tools(Path("/nowhere"), ".".join(map(str, series)), series)


@pytest.mark.parametrize(
    ("version", "series"),
    [("10.11.19-MariaDB-0+deb12u1", (10, 11)), ("5.5.5-10.6.2-MariaDB", (10, 6)), ("11.8.9-MariaDB-log", (11, 8))],
)
def test_a_server_tells_its_series(version, series):
    assert series_of(version) == series


@pytest.mark.parametrize("version", ["8.0.36", "8.4.0-commercial", "nonsense"])
def test_another_server_is_not_dumped_by_mariadbs_programs(version):
    with pytest.raises(Refusal) as caught:
        series_of(version)
    assert caught.value.reason is RunnerReason.ENGINE_NOT_SUPPORTED
    assert "backup.skip" in caught.value.message


def test_the_programs_are_never_older_than_the_server():
    found = [tools(11, 8), tools(10, 11), tools(10, 6)]
    assert choose(found, (10, 11)).series == (10, 11)
    assert choose(found, (11, 4)).series == (11, 8)
    with pytest.raises(Refusal) as caught:
        choose(found, (12, 0))
    assert caught.value.reason is RunnerReason.CLIENT_TOOLS_TOO_OLD


def option_lines(url):
    return options(make_url(url)).splitlines()


def test_nothing_is_left_to_a_programs_own_defaults():
    lines = option_lines("mysql+pymysql://shop:secret@db.example:3307/shop")
    assert lines == [
        "[client]",
        'host="db.example"',
        'port="3307"',
        'user="shop"',
        'password="secret"',
        'protocol="tcp"',
        "skip-ssl",
    ]


def test_a_socket_is_a_socket():
    lines = option_lines("mysql://shop@localhost/shop?unix_socket=/run/db.sock")
    assert 'socket="/run/db.sock"' in lines
    assert 'protocol="socket"' in lines


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("ssl_ca=/ca", ["ssl", "ssl-verify-server-cert"]),
        ("ssl_ca=/ca&ssl_check_hostname=false", ["ssl", "skip-ssl-verify-server-cert"]),
        ("ssl_cert=/c&ssl_key=/k", ["ssl", "skip-ssl-verify-server-cert"]),
        ("ssl_verify_identity=true", ["ssl", "ssl-verify-server-cert"]),
        ("charset=utf8mb4", ["skip-ssl"]),
    ],
)
def test_tls_is_what_the_driver_makes_of_the_url(query, expected):
    assert option_lines(f"mysql+pymysql://shop@db/shop?{query}")[-len(expected) :] == expected


@pytest.mark.parametrize("query", ["read_default_file=/x", "init_command=SET x", "sql_mode=ANSI"])
def test_what_a_backup_cannot_honour_is_refused(query):
    with pytest.raises(Refusal) as caught:
        option_lines(f"mysql://shop@db/shop?{query}")
    assert caught.value.reason is RunnerReason.URL_INVALID


def test_a_line_break_is_refused():
    with pytest.raises(Refusal) as caught:
        option_lines("mysql://shop:a%0Ab@db/shop")
    assert caught.value.reason is RunnerReason.URL_INVALID


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (
            "Couldn't execute 'SHOW…': SELECT command denied to user 'shop'@'%' for table `t` (1142)",
            "InsufficientPrivilege",
        ),
        ("shop has insufficient privileges to SHOW CREATE FUNCTION `one`!", "InsufficientPrivilege"),
        ('Got error: 1045: "Access denied" when trying to connect', "AuthenticationFailed"),
        ('Got error: 2002: "Can\'t connect" when trying to connect', "DatabaseUnreachable"),
        ("Error 2013: Lost connection to server during query when dumping table `t` at row: 7", "ConnectionLost"),
        (
            "Error 1412: Table definition has changed, please retry transaction when dumping table `t` at row: 0",
            "BackupFailed",
        ),
    ],
)
def test_the_programs_words_are_told_as_a_reason(words, reason):
    error = failed(f"mariadb-dump: {words}\n", 2)
    assert error.reason == reason
    assert words[:20] in error.message


def test_a_table_that_changed_under_the_dump_is_told_with_what_was_missing():
    assert "without the run's lock" in failed("mariadb-dump: Error 1412: Table definition has changed\n", 2).message


def test_a_program_that_was_killed_is_told_with_what_kills_it():
    assert "raise podTemplate.resources" in failed("", -9).message


@pytest.mark.parametrize(
    ("complaint", "restorable"),
    [
        (
            "ERROR 1227 (42000) at line 117: Access denied; you need (at least one of) the SUPER, SET USER privilege(s)",
            None,
        ),
        ("ERROR 1305 (42000) at line 20: FUNCTION shop.gone does not exist", False),
        ("ERROR 2013 (HY000) at line 2: Lost connection to server during query", None),
        ("ERROR 1114 (HY000) at line 2: The table 't' is full", None),
        ("mariadb ended with -9", None),
    ],
)
def test_only_what_is_wrong_with_an_object_is_a_failed_restore(complaint, restorable):
    found = verdict(complaint + "\n")
    assert found is not None
    assert found.restorable is restorable


def test_a_restore_without_a_complaint_is_compared():
    assert verdict("") is None


@pytest.mark.parametrize(
    ("grant", "held"),
    [
        ("GRANT ALL PRIVILEGES ON `shop`.* TO `shop`@`%`", True),
        ("GRANT ALL PRIVILEGES ON *.* TO `root`@`localhost` WITH GRANT OPTION", True),
        ("GRANT ALL PRIVILEGES ON `sh\\_op`.* TO `shop`@`%`", False),
        ("GRANT ALL PRIVILEGES ON `sh%`.* TO `shop`@`%`", True),
        ("GRANT ALL PRIVILEGES ON `shop`.`orders` TO `shop`@`%`", False),
        ("GRANT USAGE ON *.* TO `shop`@`%` IDENTIFIED BY PASSWORD '*AB'", False),
        ("GRANT SELECT, SHOW VIEW ON `shop`.* TO `shop`@`%`", False),
    ],
)
def test_rights_on_the_whole_database_are_read_from_its_grants(grant, held):
    assert ({"SELECT", "TRIGGER", "EVENT", "SHOW VIEW"} <= rights("shop", [grant])) is held


def test_an_underscore_of_a_grant_is_any_character():
    assert "SELECT" in rights("my_shop", ["GRANT SELECT ON `my_shop`.* TO `shop`@`%`"])
    assert "SELECT" in rights("myXshop", ["GRANT SELECT ON `my_shop`.* TO `shop`@`%`"])
    assert "SELECT" not in rights("myXshop", ["GRANT SELECT ON `my\\_shop`.* TO `shop`@`%`"])
