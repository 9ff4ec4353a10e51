"""The scenarios, played on a cluster with the installed operator: what users see, whoever sends them."""

from __future__ import annotations

import pytest

from tests.cluster.operator.player import Player
from tests.scenarios.loader import Scenario, differences, scenarios

ON_EVERY_ENGINE = {"third-revision-fails-and-the-run-is-undone"}  # the way back that nobody is woken for
CASES = [
    pytest.param(scenario, engine, id=f"{scenario.name}-{engine}")
    for scenario in scenarios("cluster")
    for engine in (scenario.engines if scenario.name in ON_EVERY_ENGINE else scenario.engines[:1])
]
STAGES = {"postgresql": "stage", "mariadb": "mariadb_stage", "sqlite": "stage"}


@pytest.mark.parametrize(("scenario", "engine"), CASES)
def test_what_a_scenario_tells_is_seen_on_a_cluster(scenario: Scenario, engine: str, request: pytest.FixtureRequest):
    stage = request.getfixturevalue(STAGES[engine])
    player = Player(stage, scenario, engine)
    player.play_what_is_before()
    is_undone = scenario.expected.outcome == "RolledBack"
    before = player.schema() if is_undone else ()
    seen = player.play_the_last()
    assert differences(scenario.expected, seen) == [], stage.evidence()
    assert not is_undone or player.schema() == before
