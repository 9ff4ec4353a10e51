"""A scenario that does not hold is told apart from one that does."""

from __future__ import annotations

import pytest

from tests.scenarios.loader import WORLDS, Expectation, Query, Seen, differences, scenarios

EXPECTED = Expectation(
    "Succeeded",
    {"phase": "Succeeded", "currentRevisions": ["a1"], "progress": None, "conditions": {"Ready": {"status": "True"}}},
    ("at a1",),
    ("Planning", "Succeeded"),
    (Query("SELECT 1", ((1,),)),),
)
STATUS = {
    "phase": "Succeeded",
    "currentRevisions": ["a1"],
    "run": {"outcome": "Succeeded"},
    "conditions": [{"type": "Ready", "status": "True", "reason": "Succeeded", "message": "It is at a1."}],
}
UNTOLD = [{**STATUS["conditions"][0], "message": "It is well."}]
SEEN = Seen(STATUS, ("Planning", "Migrating", "Succeeded"), (((1,),),))


def test_what_was_expected_has_no_differences():
    assert differences(EXPECTED, SEEN) == []


@pytest.mark.parametrize(
    ("seen", "difference"),
    [
        (Seen({**STATUS, "run": {}}, SEEN.events, SEEN.answers), "outcome: None"),
        (Seen({**STATUS, "currentRevisions": ["a1", "b1"]}, SEEN.events, SEEN.answers), "status.currentRevisions"),
        (Seen({**STATUS, "progress": "1 of 3"}, SEEN.events, SEEN.answers), "status.progress"),
        (Seen({**STATUS, "conditions": UNTOLD}, SEEN.events, SEEN.answers), "message: 'at a1'"),
        (Seen(STATUS, ("Succeeded", "Planning"), SEEN.answers), "events"),
        (Seen(STATUS, SEEN.events, (((2,),),)), "SELECT 1"),
    ],
)
def test_each_difference_is_told(seen, difference):
    (line,) = differences(EXPECTED, seen)
    assert line.startswith(difference)


def test_a_condition_that_is_not_there_is_told():
    told = differences(EXPECTED, Seen({**STATUS, "conditions": []}, SEEN.events, SEEN.answers))
    assert [line.partition(":")[0] for line in told] == ["status.conditions.Ready", "message"]


def test_every_scenario_can_be_read_and_says_what_it_is_for():
    for scenario in scenarios():
        assert scenario.manifests
        assert set(scenario.worlds) <= set(WORLDS)
        assert "alembic.ini" in scenario.application
        assert len((scenario.folder / "README.md").read_text(encoding="utf-8").split(".")) >= 3, scenario.name
