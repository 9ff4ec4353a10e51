"""Small pure checks: one fact each, and its remedy. A chain of them reads as the specification.

No policy looks at another; the first refusal wins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from dbmigration.api.reasons import Reason
from dbmigration.lifecycle.observed import Observed


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why not, and what to do about it."""

    reason: Reason
    message: str


Policy = Callable[[Observed], Refusal | None]


def first_refusal(chain: Iterable[Policy], seen: Observed) -> Refusal | None:
    """Ask each policy in turn."""
    return next((refusal for policy in chain if (refusal := policy(seen)) is not None), None)
