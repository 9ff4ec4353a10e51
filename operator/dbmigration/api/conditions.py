"""The three conditions that kstatus, kubectl wait, Flux, Helm and Argo CD read, always set together.

One table, one function. It must not know why a resource is where it is, only say it.
"""

from __future__ import annotations

from datetime import datetime
from enum import Enum

from dbmigration.api.reasons import Reason
from dbmigration.api.status import Condition, ConditionStatus

MESSAGE_CHARACTERS = 1024


class Standing(Enum):
    """How a resource stands, as its three conditions say it: Ready, Reconciling, Stalled."""

    READY = (ConditionStatus.TRUE, ConditionStatus.FALSE, ConditionStatus.FALSE)
    WORKING = (ConditionStatus.UNKNOWN, ConditionStatus.TRUE, ConditionStatus.FALSE)
    RETRYING = (ConditionStatus.FALSE, ConditionStatus.TRUE, ConditionStatus.FALSE)
    # Only the end is Stalled: Flux and Helm fail a whole rollout at the first sight of it.
    STALLED = (ConditionStatus.FALSE, ConditionStatus.FALSE, ConditionStatus.TRUE)


_TYPES = ("Ready", "Reconciling", "Stalled")


def conditions(
    before: tuple[Condition, ...],
    standing: Standing,
    reason: Reason,
    message: str,
    *,
    generation: int,
    now: datetime,
    besides: tuple[str, ...] = (),
) -> tuple[Condition, ...]:
    """Make the next conditions; a transition time moves only where the status does.

    `besides` are further ones, which are True where they are there at all: Drained, RolledBack.
    """
    text = cut(message)
    told = list(zip(_TYPES, standing.value, strict=True))
    told += [(kind, ConditionStatus.TRUE) for kind in besides]
    previous = {condition.type: condition for condition in before}
    return tuple(
        Condition(
            type=kind,
            status=status,
            reason=reason.value,
            message=text,
            last_transition_time=previous[kind].last_transition_time
            if kind in previous and previous[kind].status is status
            else now,
            observed_generation=generation,
        )
        for kind, status in told
    )


def cut(message: str, characters: int = MESSAGE_CHARACTERS) -> str:
    """A message no longer than that; than a condition's, where nothing is said."""
    return message if len(message) <= characters else message[: characters - 1] + "…"
