"""The scenarios, played without a cluster."""

from __future__ import annotations

import pytest

from tests.integration.local_program import Program
from tests.integration.projects import Project
from tests.sampling import some
from tests.scenarios.loader import Scenario, Seen, differences, scenarios

CASES = [
    pytest.param(scenario, engine, id=f"{scenario.name}-{engine}")
    for scenario in scenarios("local")
    for engine in some(scenario.engines, 1)
]
DATABASES = {"postgresql": "database", "mariadb": "mariadb_database"}  # the fixtures of those that have a server
EXITS = {"Succeeded": 0, "Failed": 3, "Cancelled": 4, "RolledBack": 8}


@pytest.mark.parametrize(("scenario", "engine"), CASES)
def test_what_a_scenario_tells_is_seen(scenario: Scenario, engine, tmp_path, request):
    file = f"sqlite:///{tmp_path / 'library.db'}"
    url = file if engine == "sqlite" else request.getfixturevalue(DATABASES[engine]).url
    application = scenario.lay_out(tmp_path / "application")
    program = Program(Project(application, url), tmp_path)
    *before, last = scenario.manifests
    try:
        for program.given in before:
            said = program.run()
            assert said.code == EXITS["Succeeded"], said.err
        program.given = last
        said = program.run()
    finally:
        program.end()
    assert differences(scenario.expected, seen(program, scenario)) == [], said.err
    assert said.code == EXITS[scenario.expected.outcome]


def seen(program: Program, scenario: Scenario) -> Seen:
    """What the store holds, and what the database answers by itself."""
    events = tuple(event["reason"] for event in program.resource()["events"])
    answers = tuple(tuple(program.ask(query.sql)) for query in scenario.expected.queries)
    return Seen(program.status(), events, answers)
