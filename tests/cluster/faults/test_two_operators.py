"""Two operators act on one namespace at once, each sure that it leads: what a split network or a stopped clock makes of a Lease.

A Lease is no fence. Without Jobs that are named by what they do, statuses that are written on top of what was seen, and the
lock in the database, one of these runs would migrate twice or end with an error.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.cluster.faults.conftest import OpenOperator, Rig
from tests.cluster.faults.histories import BROKEN, GOOD, SLOW
from tests.cluster.faults.runs import Run
from tests.cluster.operator.stage import Stage


def test_two_leaders_at_once_do_everything_once(rig: Rig, open_operator: OpenOperator):
    other = open_operator("other", rig.stage)
    runs = [Run(rig.stage, f"run-{number}", history) for number, history in enumerate((GOOD, BROKEN, GOOD), 1)]
    for run in runs:
        run.start()
    for run in runs:
        run.wait_for_end()
    rig.rested()
    other.rested()
    assert rig.proxy.writes
    assert other.proxy.writes
    for run in runs:
        run.check()


def test_two_leaders_and_two_resources_on_one_database_apply_each_revision_once(rig: Rig, open_operator: OpenOperator):
    other = open_operator("other", rig.stage)
    first = Run(rig.stage, "first", GOOD)
    second = Run(rig.stage, "second", GOOD, first.stage.database)
    for run in (first, second):
        run.start()
    for run in (first, second):
        run.wait_for_end(180)
    rig.rested()
    other.rested()
    assert first.ledger() == list(GOOD.applied)
    statuses = [run.status() for run in (first, second)]
    assert [status["phase"] for status in statuses] == ["Succeeded", "Succeeded"]
    assert [status["currentRevisions"] for status in statuses] == [["r3"], ["r3"]]
    applied = [revision for status in statuses for revision in status["run"].get("appliedRevisions", ())]
    assert sorted(applied) == list(GOOD.applied)


def test_after_a_killed_leader_the_one_that_stands_by_goes_on(
    new_stage: Callable[[str], Stage], open_operator: OpenOperator
):
    stage = new_stage("standby")
    leader = open_operator("leader", stage, lease="shared")
    run = Run(stage, "run", SLOW)
    run.start()
    run.wait_until_asleep()
    standby = open_operator("standby", stage, lease="shared")
    leader.operator.end()
    assert standby.proxy.writes == 0
    run.wait_for_end()
    standby.rested()
    assert standby.proxy.writes
    run.check()
