"""A restore of MariaDB that waits for somebody's lock on the whole server."""

from __future__ import annotations

import pytest

from dbmigration_runner.engines import mysql_patience
from dbmigration_runner.engines.mysql_patience import PATIENCE_SECONDS, TRY_SECONDS, despite_locks
from dbmigration_runner.errors import RunnerError, StatementRefused


class Desk:
    def __init__(self) -> None:
        self.ran: list[str] = []

    def run(self, statement):
        self.ran.append(statement)


class Locked:
    """Somebody's lock, for so many tries of a second each."""

    def __init__(self, tries, monkeypatch) -> None:
        self.left = tries
        self.now = 0.0
        monkeypatch.setattr(mysql_patience.time, "monotonic", lambda: self.now)

    def work(self):
        if self.left:
            self.left -= 1
            self.now += TRY_SECONDS
            raise StatementRefused("1205", "Lock wait timeout exceeded")


def nothing():
    pass


def test_a_lock_that_goes_in_time_is_waited_for(monkeypatch):
    desk, locked = Desk(), Locked(PATIENCE_SECONDS - 1, monkeypatch)
    despite_locks(desk, locked.work, nothing)
    assert locked.left == 0
    assert desk.ran == [f"SET SESSION lock_wait_timeout = {seconds}" for seconds in (TRY_SECONDS, PATIENCE_SECONDS)]


def test_one_that_stays_is_told_as_what_can_be_mended(monkeypatch):
    with pytest.raises(RunnerError, match="FLUSH TABLES WITH READ LOCK") as refused:
        despite_locks(Desk(), Locked(PATIENCE_SECONDS * 2, monkeypatch).work, nothing)
    assert refused.value.reason == "SessionStays"


def test_a_stop_is_heard_between_two_tries(monkeypatch):
    locked = Locked(PATIENCE_SECONDS * 2, monkeypatch)

    def stop_at_three():
        if locked.now >= 3 * TRY_SECONDS:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        despite_locks(Desk(), locked.work, stop_at_three)
    assert locked.now == 3 * TRY_SECONDS


def test_what_was_refused_otherwise_is_not_tried_again():
    def work():
        raise StatementRefused("1044", "Access denied")

    with pytest.raises(StatementRefused):
        despite_locks(Desk(), work, nothing)
