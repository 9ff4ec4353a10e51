"""The sides of a benchmark: they take turns in one run, and only what they are to each other is worth telling.

It must not know what they do.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Collection, Mapping

Seconds = dict[str, list[float]]
SELDOM = 2  # rounds of a side that takes long, and is known well enough after them


def in_turns(sides: Mapping[str, Callable[[], object]], rounds: int, seldom: Collection[str] = ()) -> Seconds:
    """Seconds of each side in each round; the first round warms the machine's and the server's memory, and does not count."""
    seconds: Seconds = {side: [] for side in sides}
    for number in range(rounds + 1):
        for side, act in sides.items():
            if side in seldom and number > SELDOM:
                continue
            started = time.perf_counter()
            act()
            if number > 0:
                seconds[side].append(time.perf_counter() - started)
    return seconds


def tell(seconds: Seconds, *ratios: tuple[str, str, Callable[[float], str]]) -> None:
    """Medians and their spread, and what one side is to another, with its goal."""
    medians = {side: statistics.median(times) for side, times in seconds.items()}
    best = {side: min(times) for side, times in seconds.items()}  # where others use the machine, the least disturbed
    for side, times in seconds.items():
        print(f"{side:8} median {medians[side]:6.2f} s   from {min(times):.2f} to {max(times):.2f}")
    for one, other, goal in ratios:
        ratio = medians[one] / medians[other]
        print(f"{one:>8} / {other:8} {ratio:6.3f}   of the best {best[one] / best[other]:6.3f}   {goal(ratio)}")
