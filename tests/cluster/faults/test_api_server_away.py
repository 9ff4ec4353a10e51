"""The API server goes away in the middle of a run, and comes back.

While it is away the migration goes on in its Pod, the Lease runs out and the operator's process ends. A guess about what
happened meanwhile would be a second migration, or a success that nobody read from the database.
"""

from __future__ import annotations

import time

import pytest

from tests.cluster.access import eventually
from tests.cluster.faults.conftest import Rig
from tests.cluster.faults.histories import GOOD, SLOW
from tests.cluster.faults.runs import Run

_AWAY_SECONDS = 30


@pytest.mark.parametrize("how", ["answering_503", "refusing_connections"])
def test_away_for_half_a_minute_in_mid_migration_the_run_ends_well(rig: Rig, how: str):
    run = Run(rig.stage, "run", SLOW)
    run.start()
    run.wait_until_asleep()
    starts = rig.operator.starts
    with getattr(rig.proxy, how)():
        time.sleep(_AWAY_SECONDS)
        assert run.status()["phase"] == "Migrating"
    assert rig.operator.starts > starts, "It held on to a Lease that it could not renew."
    run.wait_for_end()
    rig.rested()
    run.check()
    assert run.steps() == ["plan", "backup", "migrate"]


def test_with_every_second_answer_lost_nothing_is_done_twice(rig: Rig):
    run = Run(rig.stage, "run", GOOD)
    with rig.proxy.losing_every_second_answer():
        run.start()
        run.wait_for_end()
    rig.rested()
    run.check()


def test_watches_that_break_again_and_again_make_nobody_deaf(rig: Rig):
    eventually(lambda: rig.proxy.has_rested(0), "Three watches")
    run = Run(rig.stage, "run", GOOD)
    run.start()
    deadline, cuts = time.monotonic() + 90, 0
    while run.is_open and time.monotonic() < deadline:
        cuts += rig.proxy.cut_watches()
        time.sleep(0.5)
    rig.rested()
    assert cuts
    run.check()
    assert run.steps() == ["plan", "backup", "migrate"]
