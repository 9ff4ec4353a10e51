"""When to try again: exponential, capped, and jittered by a hash, so that equal snapshots give equal times.

It must not know what is tried.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta

from dbmigration.lifecycle.observed import Pace

_JITTER = 0.2
_DOUBLINGS = 16  # beyond every cap


def delay(pace: Pace, failures: int, seed: str) -> timedelta:
    """How long to wait after the n-th failure in a row (n >= 1): whole seconds, at least one."""
    plain = min(pace.first_retry * 2 ** min(failures - 1, _DOUBLINGS), pace.longest_retry)
    fraction = int.from_bytes(hashlib.sha256(f"{seed}/{failures}".encode()).digest()[:4]) / 2**32
    jittered = plain.total_seconds() * (1 + _JITTER * (2 * fraction - 1))
    return timedelta(seconds=max(1, round(jittered)))
