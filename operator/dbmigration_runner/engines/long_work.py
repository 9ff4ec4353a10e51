"""Waiting for a server without being deaf: the statement runs on another thread, and an order to stop is heard meanwhile.

A driver blocks in C for as long as a statement takes; what ends it is another session.
"""

from __future__ import annotations

from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
POLL_SECONDS = 0.5


def patiently(*works: Callable[[], T], alive: Callable[[], None], cancel: Callable[[], None]) -> list[T]:
    """Do all of it at once, each on a thread of its own, and give what they gave, in order.

    `alive` is called first, and then twice a second; where it raises, or one of the works does, `cancel` makes the others end.
    """
    alive()  # many short works shall hear it too
    with ThreadPoolExecutor(len(works)) as threads:
        futures = [threads.submit(work) for work in works]
        try:
            while (state := wait(futures, POLL_SECONDS, FIRST_EXCEPTION)).not_done:
                for future in state.done:
                    future.result()
                alive()
        except BaseException:
            cancel()
            while wait(futures, POLL_SECONDS).not_done:  # it came between two statements
                cancel()
            raise
    return [future.result() for future in futures]
