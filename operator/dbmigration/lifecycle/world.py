"""The one seam between deciding and doing, and the lines that drive it.

It must not know what a world is made of.
"""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from dbmigration.lifecycle.decide import decide
from dbmigration.lifecycle.decision import Decision
from dbmigration.lifecycle.observed import Observed


class World(Protocol):
    """One resource's surroundings: a cluster, a laptop, a test.

    `observe` tells the truth or raises: a step is Absent only when a fresh look found nothing of it. `apply` writes the
    status on top of the one that was observed or raises, and does the actions only after that.
    """

    async def observe(self) -> Observed | None:
        """Look; None when the resource is no more."""

    async def apply(self, seen: Observed, decision: Decision) -> None:
        """Write, then act."""


async def drive(world: World) -> datetime | None:
    """Look, decide and act, once; returns when to do it again if nothing happens before."""
    seen = await world.observe()
    if seen is None:
        return None
    decision = decide(seen)
    await world.apply(seen, decision)
    return decision.wake_at
