"""Waiting for a lock in short tries, where only the statement can be tried again and not its revision.

Behind something that is committed a revision cannot be run again; were its next statement's lock timeout its end, it would
be torn for a reader's sake. So that statement is: each try waits no longer than the budget allows, and between two of them
whoever queued behind it gets through. Knows no engine.
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.engines.messages import sql_error
from dbmigration_runner.errors import Stopped
from dbmigration_runner.events import Granted, Waited

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from dbmigration_runner.events import EventWriter

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 5.0


class Patience:
    """`seconds` for each statement; none where there is no lock budget."""

    def __init__(self, seconds: float, tell: EventWriter, stopping: threading.Event) -> None:
        self.seconds = seconds
        self._tell = tell
        self._stopping = stopping

    def run(self, execute: Callable[[], None], may_be_repeated: Callable[[], bool], line: Callable[[], str]) -> None:
        """Execute, again and again while a lock is not to be had. Raises what the last try raised, and Stopped."""
        until: float | None = None
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                execute()
            except Exception as error:
                found = sql_error(error)
                if found is None or not found.is_lock_timeout or not may_be_repeated():
                    raise
                until = until or time.monotonic() + self.seconds
                if time.monotonic() + pause >= until:
                    raise
            else:
                if until is not None:
                    self._tell(Granted())
                return
            self._tell(Waited(line()))
            if self._stopping.wait(random.uniform(0.1, pause)):  # noqa: S311  # no secret
                raise Stopped(RunnerReason.CANCELLED, "The step was told to stop.")
            pause = min(pause * 1.5, LONGEST_PAUSE_SECONDS)
