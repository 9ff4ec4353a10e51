"""Which of many cases a usual run plays: all of them in a soak, else some, and others in the next run.

All workers of a run choose the same, for they inherit DBMIGRATION_SEED; a run that failed tells it, and with it the same
cases are played again.
"""

from __future__ import annotations

import os
import random
import uuid
from collections.abc import Sequence
from typing import TypeVar

Case = TypeVar("Case")

IS_SOAK = os.environ.get("DBMIGRATION_SOAK") == "1"
SEEDS = range(1, 21 if IS_SOAK else 4)  # of applications that write during a restore
SEED = os.environ.setdefault("DBMIGRATION_SEED", uuid.uuid4().hex[:8])


def some(cases: Sequence[Case], count: int) -> list[Case]:
    """So many of the cases, in their order; all of them in a soak."""
    if IS_SOAK or count >= len(cases):
        return list(cases)
    chosen = random.Random(SEED).sample(range(len(cases)), count)
    return [cases[index] for index in sorted(chosen)]
