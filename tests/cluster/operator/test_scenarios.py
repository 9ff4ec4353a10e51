"""The scenarios, played on a cluster with the installed operator: what users see, whoever sends them."""

from __future__ import annotations

import pytest

from tests.cluster.operator.player import Player
from tests.scenarios.loader import Scenario, differences, scenarios

CASES = [pytest.param(scenario, id=f"{scenario.name}-{scenario.engines[0]}") for scenario in scenarios("cluster")]
STAGES = {"postgresql": "stage", "mariadb": "mariadb_stage", "sqlite": "stage"}


@pytest.mark.parametrize("scenario", CASES)
def test_what_a_scenario_tells_is_seen_on_a_cluster(scenario: Scenario, request: pytest.FixtureRequest):
    stage = request.getfixturevalue(STAGES[scenario.engines[0]])
    seen = Player(stage, scenario).play()
    assert differences(scenario.expected, seen) == [], stage.evidence()
