"""Servers of MariaDB's kind on which no migration may begin; those that a test cannot have are played by their answers."""

from __future__ import annotations

import contextlib

import pytest

from dbmigration_runner.engines import mysql_checks
from dbmigration_runner.errors import Refusal


class Answers:
    """A session that answers as a server with these settings would."""

    def __init__(self, settings, *, number=1, holder=1) -> None:
        self._settings = {"version": "10.11.19-MariaDB", "wsrep_on": "OFF", **settings}
        self._number, self._holder = number, holder

    def rows(self, statement, **_):
        if "GLOBAL VARIABLES" in statement:
            return list(self._settings.items())
        if "GLOBAL STATUS" in statement:
            return [("Slaves_running", "0")]
        return [(self._number, self._holder)]

    def value(self, statement, **_):
        return self._number if "CONNECTION_ID" in statement else 1


def asked(session, other):
    return mysql_checks.refuse_unsuitable(session, lambda: contextlib.nullcontext(other))


def test_a_node_of_a_cluster_where_a_named_lock_holds_nobody_off_is_refused():
    with pytest.raises(Refusal, match="Galera") as refused:
        asked(Answers({"wsrep_on": "ON"}), Answers({}, number=2))
    assert refused.value.reason.value == "EngineNotSupported"


@pytest.mark.parametrize("name", ["read_only", "super_read_only", "innodb_read_only", "tx_read_only"])
@pytest.mark.parametrize("value", ["ON", "1", "NO_LOCK"])
def test_a_server_that_only_reads_is_refused(name, value):
    with pytest.raises(Refusal, match=name):
        asked(Answers({name: value}), Answers({}, number=2))


def test_a_proxy_that_gives_two_of_us_one_session_is_refused():
    with pytest.raises(Refusal, match="proxy"):
        asked(Answers({}), Answers({}, number=1))


def test_a_proxy_that_leads_to_several_servers_is_refused():
    """The lock of the one session is not seen through the other."""
    with pytest.raises(Refusal, match="proxy"):
        asked(Answers({}), Answers({}, number=2, holder=None))


def test_a_server_of_its_own_is_taken_and_mysql_is_said_to_be_untested():
    assert asked(Answers({}), Answers({}, number=2)) == ()
    (warning,) = asked(Answers({"version": "8.4.3"}), Answers({}, number=2))
    assert "never on MySQL" in warning
