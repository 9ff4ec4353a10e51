"""Asks every few seconds whether the lock is still held, on a thread of its own: the server may take long to answer."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.errors import Stopped

if TYPE_CHECKING:
    from dbmigration_runner.engines.interface import Lock

PERIOD_SECONDS = 2.0
SILENCE_SECONDS = 60.0  # a server this busy is not told from one that is gone


class Heartbeat:
    """Within the `with`, the lock's session belongs to this thread alone."""

    def __init__(self, lock: Lock) -> None:
        self._lock = lock
        self._last = time.monotonic()
        self._lost: Stopped | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> Heartbeat:  # noqa: PYI034  # typing.Self is of Python 3.11
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._over.set()
        self._thread.join(2 * PERIOD_SECONDS)

    def check(self) -> None:
        """Raises Stopped (LockLost)."""
        if self._lost is not None:
            raise self._lost
        if time.monotonic() - self._last > SILENCE_SECONDS:
            raise Stopped(
                RunnerReason.LOCK_LOST, f"The session that holds the lock had no answer for {SILENCE_SECONDS:.0f} s."
            )

    def _beat(self) -> None:
        while not self._over.wait(PERIOD_SECONDS):
            try:
                self._lock.check()
            except Stopped as error:
                self._lost = error
                return
            self._last = time.monotonic()
