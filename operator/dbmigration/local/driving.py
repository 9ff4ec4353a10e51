"""Drives one resource until its run is over, somebody interrupts, or what is outside is not mended in time.

It must not decide what happens to the database: it looks at the clock and at the terminal's signals, nothing else.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from typing import Protocol

from dbmigration.api.reasons import Reason
from dbmigration.api.status import Condition, ConditionStatus, Outcome, Status, StepState
from dbmigration.lifecycle.world import drive
from dbmigration.local.world import LocalWorld

_PERIOD_SECONDS = 0.2
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Exit(IntEnum):
    """What this program's exit code says."""

    SUCCEEDED = 0
    INVALID = 2
    FAILED = 3
    CANCELLED = 4
    INTERRUPTED = 5
    WAITING = 6
    HELD = 7
    ROLLED_BACK = 8


class Audience(Protocol):
    """Whoever watches a run."""

    def show(self, world: LocalWorld) -> None:
        """Look at where it stands; called often."""
        ...

    def say(self, message: str) -> None:
        """One line."""
        ...


class Interrupts:
    """Ctrl-C and SIGTERM, counted: the first one stops the step, the second one leaves it to itself."""

    def __init__(self) -> None:
        self.count = 0
        self._changed = asyncio.Event()

    @contextmanager
    def caught(self) -> Iterator[Interrupts]:
        """Take the signals while a run is driven."""
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self._caught)
        try:
            yield self
        finally:
            for number in _SIGNALS:
                loop.remove_signal_handler(number)

    async def pause(self) -> None:
        """Wait a moment, or until the next signal."""
        try:
            async with asyncio.timeout(_PERIOD_SECONDS):
                await self._changed.wait()
        except TimeoutError:
            return
        self._changed.clear()

    def _caught(self) -> None:
        self.count += 1
        self._changed.set()


async def drive_to_its_end(world: LocalWorld, audience: Audience, max_wait: timedelta) -> Exit:
    """Go on until the run is over; the answer is what the exit code says.

    `max_wait` is how long something outside may stay unmended before this program ends; the run stays open.
    """
    began = datetime.now(UTC)
    with Interrupts().caught() as interrupts:
        while True:
            began_open = world.resource.run_is_open
            await drive(world)
            audience.show(world)
            status = world.resource.parsed_status
            if interrupts.count:
                return await _leave(world, audience, interrupts)
            if not world.resource.run_is_open and not began_open:
                return _verdict(status)
            if _is_suspended(status) or _waits_for(status, began) > max_wait:
                return Exit.WAITING
            await interrupts.pause()


async def _leave(world: LocalWorld, audience: Audience, interrupts: Interrupts) -> Exit:
    """Stop the step and wait for it; its answer is read by the next start."""
    ref = world.running()
    if ref is not None and world.steps.is_at_work(ref):
        audience.say(
            f"Stopping the {ref.kind.value} step; it cancels what it does on the server. Once more leaves it to itself."
        )
        world.steps.stop(ref)
        before = interrupts.count
        while interrupts.count == before and world.steps.is_at_work(ref):
            await interrupts.pause()
            await world.observe()  # sees to the grace period
            audience.show(world)
    return Exit.INTERRUPTED


def _verdict(status: Status) -> Exit:
    if status.run is None:
        return Exit.WAITING  # suspended before anything began
    match status.run.outcome:
        case Outcome.SUCCEEDED:
            return Exit.SUCCEEDED
        case Outcome.CANCELLED:
            return Exit.CANCELLED
        case Outcome.ROLLED_BACK:
            return Exit.ROLLED_BACK
        case _:
            return Exit.FAILED


def ready(status: Status) -> Condition | None:
    """The condition that says how things stand."""
    return next((condition for condition in status.conditions if condition.type == "Ready"), None)


def _is_suspended(status: Status) -> bool:
    condition = ready(status)
    return condition is not None and condition.reason == Reason.SUSPENDED.value


def _waits_for(status: Status, began: datetime) -> timedelta:
    """How long it was tried in vain: since the first of the attempts that failed in a row, or since this program began.

    Ready's own transition is no measure: it is Unknown during each attempt, so the time would begin anew with every one.
    """
    condition = ready(status)
    if condition is None or condition.status is not ConditionStatus.FALSE:
        return timedelta(0)
    since = condition.last_transition_time
    for step in reversed(status.steps):
        if step.state is StepState.SUCCEEDED:
            break
        since = min(since, step.finished_at or since)
    return datetime.now(UTC) - max(since, began)
