"""The operator is killed at each of its writes, just before the server gets it and just after; the next one goes on from there.

If one act were not idempotent by its name, or one thing remembered in the process alone, some row of this table would
migrate twice, wait for ever, or end with another status than the run that nobody disturbed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from queue import SimpleQueue
from typing import Any

from tests.cluster.access import KubectlError
from tests.cluster.faults.conftest import OpenRig, Rig
from tests.cluster.faults.histories import BROKEN, EMERGENCY, GOOD, ORDERED, STILL, UNDONE, History
from tests.cluster.faults.proxy import Exchange, Kill, Moment
from tests.cluster.faults.runs import Run, masked
from tests.sampling import some

# Three runs at once keep two processors busy; a fourth would only make the others slower.
_RIGS = 3
_SAMPLE = 5
# The longest first.
_HISTORIES = (ORDERED, EMERGENCY, STILL, UNDONE, BROKEN, GOOD)
_DOWN = {"Draining", "Restoring", "Resuming", "RolledBack"}
# What these write that the emergency does not, and what would be done twice: phase, what is written, moment. A usual run
# plays all that is feared of an emergency, and of these so many.
_FEARED_PLAYED = {STILL.name: 2, UNDONE.name: 2, ORDERED.name: 2}
_FEARED = {
    STILL.name: {
        ("Draining", "scale", Moment.BEFORE),  # it is written down that the backup comes behind it
        ("Draining", "scale", Moment.AFTER),
        ("BackingUp", "jobs", Moment.BEFORE),  # and since when nobody writes
        ("BackingUp", "jobs", Moment.AFTER),
        ("Restoring", "jobs", Moment.BEFORE),
        ("Restoring", "jobs", Moment.AFTER),
        ("Resuming", "scale", Moment.AFTER),
    },
    UNDONE.name: {
        ("RollingBack", "jobs", Moment.BEFORE),
        ("RollingBack", "jobs", Moment.AFTER),
        ("RolledBack", "status", Moment.AFTER),
    },
    ORDERED.name: {
        ("Draining", "scale", Moment.BEFORE),  # the replicas are written down
        ("Draining", "scale", Moment.AFTER),
        ("Restoring", "jobs", Moment.AFTER),
        ("Resuming", "scale", Moment.AFTER),
        ("Restored", "status", Moment.AFTER),  # the order has not been told
        ("Succeeded", "status", Moment.AFTER),  # it has
    },
}


@dataclass(frozen=True, slots=True)
class Reference:
    """What an undisturbed run of a history came to."""

    history: History
    trace: tuple[Exchange, ...]
    status: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Case:
    """One history with one kill, and what was written there when nobody was killed."""

    history: History
    kill: Kill
    write: Exchange

    @property
    def name(self) -> str:
        kill = self.kill  # short: a database is named after it, and the one that is kept of it
        phase = f"{kill.phase[:5]}{kill.phase[-1]}"  # of Restoring and Restored the last letters differ
        return f"{self.history.name}-{phase}-{kill.write}-{kill.moment.name[0]}".lower()

    @property
    def is_feared(self) -> bool:
        """The application stands still, and what was done is not known to have been; a lost Event is nothing to fear."""
        if self.history == EMERGENCY:
            is_lost = self.kill.moment is Moment.AFTER and not self.write.path.endswith("/events")
            return is_lost and self.kill.phase in _DOWN
        return self.place in _FEARED.get(self.history.name, ())

    @property
    def place(self) -> tuple[str, str, Moment]:
        """The phase, what is written, and the moment."""
        return self.kill.phase, self.write.path.rpartition("/")[2], self.kill.moment


def test_killed_at_any_write_a_run_ends_as_if_nothing_had_happened(open_rig: OpenRig):
    rigs = [open_rig(f"lane-{number}") for number in range(1, _RIGS + 1)]
    free: SimpleQueue[Rig] = SimpleQueue()
    for rig in rigs:
        free.put(rig)

    def undisturbed(history: History) -> Reference:
        with _taken(free) as rig:
            return _undisturbed(rig, history)

    with ThreadPoolExecutor(_RIGS) as pool:
        references = {found.history.name: found for found in pool.map(undisturbed, _HISTORIES)}
    cases = list(_cases(references.values()))
    missed: list[Case] = []

    def play(case: Case) -> str | None:
        with _taken(free) as rig:
            began = time.monotonic()
            failure = _disturbed(rig, case, references[case.history.name])
            print(f"{case.name}: {'went wrong' if failure else 'well'} after {time.monotonic() - began:.1f} s")
            if not rig.proxy.struck:
                missed.append(case)
        return failure

    with ThreadPoolExecutor(_RIGS) as pool:
        failures = [failure for failure in pool.map(play, cases) if failure is not None]
    assert not failures, f"{len(failures)} of {len(cases)} runs:\n\n" + "\n\n".join(failures)
    # A Pod that waits is told in one run and not in another; a phase is always entered.
    assert len(missed) <= len(cases) // 8, missed
    assert not [case for case in missed if case.kill.write == 1], missed
    for rig in rigs:
        _finds_nothing_to_do(rig)


@contextmanager
def _taken(free: SimpleQueue[Rig]) -> Iterator[Rig]:
    rig = free.get()
    try:
        yield rig
    finally:
        free.put(rig)


def _cases(references: Iterable[Reference]) -> Iterator[Case]:
    """Every one of them in a soak; else those that are most to be feared, or some of them, and some of the others."""
    every = [
        Case(reference.history, Kill(write.phase, write.number, moment), write)
        for reference, moment in product(references, Moment)
        for write in reference.trace
    ]
    for history in (ORDERED, EMERGENCY, STILL, UNDONE):
        feared = [case for case in every if case.is_feared and case.history == history]
        if history == EMERGENCY:
            assert {case.kill.phase for case in feared} == _DOWN
        else:
            assert {case.place for case in feared} == _FEARED[history.name]
        yield from some(feared, _FEARED_PLAYED.get(history.name, len(feared)))
    yield from some([case for case in every if not case.is_feared], _SAMPLE)


def _undisturbed(rig: Rig, history: History) -> Reference:
    run = Run(rig.stage, f"{history.name}-reference", history)
    run.prepare()
    rig.rested()
    rig.proxy.begin()
    run.wish()
    run.wait_for_end(180)
    rig.rested()
    print(f"{run.name}: {rig.proxy.writes} writes\n{rig.proxy.told()}")
    run.check()
    return Reference(history, tuple(rig.proxy.trace), masked(run))


def _disturbed(rig: Rig, case: Case, reference: Reference) -> str | None:
    """Play a case; what went wrong, or None."""
    run = Run(rig.stage, case.name, case.history)
    rig.proxy.begin()
    try:
        run.prepare()
        rig.rested()
        rig.proxy.begin(case.kill, rig.operator.kill)
        run.wish()
        run.wait_for_end(180)
        rig.rested()
        run.check()
        made = run.steps()
        assert all(made.count(step) == 1 for step in ("migrate", "downgrade", "restore") if step in made), made
        assert masked(run) == reference.status
        writes = rig.proxy.writes
        time.sleep(1)
        assert rig.proxy.writes == writes, "The operator goes on writing."
        run.leave()
    except Exception as error:  # noqa: BLE001  # every case is played, and all that failed are told together
        told = (rig.proxy.told(), rig.operator.last_words(), _last_status(run))
        return "\n".join((f"{case.name}, {case.kill}: {error}", *told))
    return None


def _last_status(run: Run) -> str:
    try:
        return json.dumps(run.status(), indent=1)
    except KubectlError as error:  # it did not come so far
        return str(error)


def _finds_nothing_to_do(rig: Rig) -> None:
    """A fresh operator looks at all the runs that ended, and writes nothing."""
    rig.operator.kill()
    rig.proxy.begin()
    rig.rested(3)
    assert not rig.proxy.trace, rig.proxy.told()
