"""The operator is killed at each of its writes, just before the server gets it and just after; the next one goes on from there.

If one act were not idempotent by its name, or one thing remembered in the process alone, some row of this table would
migrate twice, wait for ever, or end with another status than the run that nobody disturbed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from queue import SimpleQueue
from typing import Any

from tests.cluster.faults.conftest import OpenRig, Rig
from tests.cluster.faults.proxy import Exchange, Kill, Moment
from tests.cluster.faults.runs import BROKEN, EMERGENCY, GOOD, History, Run, masked
from tests.sampling import some

# Three runs at once keep two processors busy; a fourth would only make the others slower.
_RIGS = 3
_SAMPLE = 5


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
        return f"{self.history.name}-{kill.phase[:5]}-{kill.write}-{kill.moment.name[0]}".lower()

    @property
    def is_feared(self) -> bool:
        """The application stands still, and what was done is not known to have been; a lost Event is nothing to fear."""
        is_down = self.kill.phase in {"Draining", "Restoring", "Resuming", "RolledBack"}
        return is_down and self.kill.moment is Moment.AFTER and not self.write.path.endswith("/events")


def test_killed_at_any_write_a_run_ends_as_if_nothing_had_happened(open_rig: OpenRig):
    rigs = [open_rig(f"lane-{number}") for number in range(1, _RIGS + 1)]
    with ThreadPoolExecutor(_RIGS) as pool:
        references = {found.history.name: found for found in pool.map(_undisturbed, rigs, (GOOD, BROKEN, EMERGENCY))}
    cases = list(_cases(references.values()))
    free: SimpleQueue[Rig] = SimpleQueue()
    missed: list[Case] = []
    for rig in rigs:
        free.put(rig)

    def play(case: Case) -> str | None:
        rig = free.get()
        began = time.monotonic()
        try:
            failure = _disturbed(rig, case, references[case.history.name])
            print(f"{case.name}: {'went wrong' if failure else 'well'} after {time.monotonic() - began:.1f} s")
        finally:
            if not rig.proxy.struck:
                missed.append(case)
            free.put(rig)
        return failure

    with ThreadPoolExecutor(_RIGS) as pool:
        failures = [failure for failure in pool.map(play, cases) if failure is not None]
    assert not failures, f"{len(failures)} of {len(cases)} runs:\n\n" + "\n\n".join(failures)
    # A Pod that waits is told in one run and not in another; a phase is always entered.
    assert len(missed) <= len(cases) // 8, missed
    assert not [case for case in missed if case.kill.write == 1], missed
    for rig in rigs:
        _finds_nothing_to_do(rig)


def _cases(references: Iterable[Reference]) -> Iterator[Case]:
    """Every one of them in a soak; else those that are most to be feared, and some of the others."""
    every = [
        Case(reference.history, Kill(write.phase, write.number, moment), write)
        for reference, moment in product(references, Moment)
        for write in reference.trace
    ]
    always = [case for case in every if case.is_feared]
    assert {case.kill.phase for case in always} == {"Draining", "Restoring", "Resuming", "RolledBack"}
    yield from [*always, *some([case for case in every if case not in always], _SAMPLE)]


def _undisturbed(rig: Rig, history: History) -> Reference:
    rig.proxy.begin()
    run = Run(rig.stage, f"{history.name}-reference", history)
    run.start()
    run.wait_for_end(180)
    rig.rested()
    print(f"{run.name}: {rig.proxy.writes} writes\n{rig.proxy.told()}")
    run.check()
    return Reference(history, tuple(rig.proxy.trace), masked(run))


def _disturbed(rig: Rig, case: Case, reference: Reference) -> str | None:
    """Play a case; what went wrong, or None."""
    run = Run(rig.stage, case.name, case.history)
    rig.proxy.begin(case.kill, rig.operator.kill)
    try:
        run.start()
        run.wait_for_end(180)
        rig.rested()
        run.check()
        assert masked(run) == reference.status
        writes = rig.proxy.writes
        time.sleep(1)
        assert rig.proxy.writes == writes, "The operator goes on writing."
    except Exception as error:  # noqa: BLE001  # every case is played, and all that failed are told together
        told = (rig.proxy.told(), rig.operator.last_words(), json.dumps(run.status(), indent=1))
        return "\n".join((f"{case.name}, {case.kill}: {error}", *told))
    return None


def _finds_nothing_to_do(rig: Rig) -> None:
    """A fresh operator looks at all the runs that ended, and writes nothing."""
    rig.operator.kill()
    rig.proxy.begin()
    rig.rested(3)
    assert not rig.proxy.trace, rig.proxy.told()
