"""How far a backup is, said in the log now and then: bytes while it is written, a share while it is read back.

For humans only: nothing is concluded from it. It must not slow a backup down, so sizes are asked for only when it is time.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

# Each line may become a write of the operator's to its resource's status: a backup of four hours must not make thousands.
PERIOD_SECONDS = 10.0


class BackupProgress:
    """Called as often as one likes, it speaks once in a period; the first time after one, so a short backup says nothing."""

    def __init__(self, say: Callable[..., Any] = lambda *_, **__: None, period_seconds: float = PERIOD_SECONDS) -> None:
        self._say = say
        self._period = period_seconds
        self._last = time.monotonic()

    def __call__(self, doing: str, count: Callable[[], int], of: int | None = None) -> None:
        """`count` gives the bytes that are done, `of` is their end where it is known."""
        now = time.monotonic()
        if now - self._last >= self._period:
            self._last = now
            self._say("backup-progress", doing=doing, bytes=count(), of=of)
