"""Works that wait for a server, each on a thread of its own: what they give, and how they are made to end."""

from __future__ import annotations

import threading

import pytest

from dbmigration_runner.engines import long_work
from dbmigration_runner.engines.long_work import patiently


class Server:
    """Runs statements that end only when they are cancelled; one that is not at work then begins the next."""

    def __init__(self, statements: int) -> None:
        self.left = statements
        self.between = threading.Event()
        self.at_work = threading.Event()
        self.cancelled = threading.Event()

    def work(self) -> None:
        self.between.wait(5)
        while self.left:
            self.left -= 1
            self.at_work.set()
            if self.cancelled.wait(5):
                raise ValueError("cancelled")
        raise AssertionError("nobody cancelled it")

    def cancel(self) -> None:
        if self.at_work.is_set():
            self.cancelled.set()
        self.between.set()  # the first order comes while nothing runs, and hits nothing


def refuse() -> None:
    raise LookupError("one of them failed")


def test_what_they_gave_comes_in_their_order():
    second = threading.Event()
    assert patiently(lambda: second.wait(5) and 1, lambda: second.set() or 2, alive=lambda: None, cancel=refuse) == [
        1,
        2,
    ]


def test_an_order_to_cancel_that_hits_no_statement_is_given_again(monkeypatch):
    """Else the work would go on with its next statement, for as long as that takes, and everybody waits for it."""
    monkeypatch.setattr(long_work, "POLL_SECONDS", 0.01)
    server = Server(statements=3)
    with pytest.raises(LookupError):
        patiently(server.work, refuse, alive=lambda: None, cancel=server.cancel)
    assert server.left == 2


def test_an_order_to_stop_ends_the_work(monkeypatch):
    monkeypatch.setattr(long_work, "POLL_SECONDS", 0.01)
    server, calls = Server(statements=1), iter([None, None, RuntimeError("stop")])

    def alive() -> None:
        if error := next(calls):
            raise error

    with pytest.raises(RuntimeError, match="stop"):
        patiently(server.work, alive=alive, cancel=server.cancel)
    assert server.cancelled.is_set()
