"""How Argo CD understands a DatabaseMigration, state by state.

The states in statuses/recorded/ are what the operator said on a real cluster (`make statuses` renews them); those beside
them are what no test of this release brings it to say, or what it must never say.
"""

import re
from pathlib import Path
from typing import Any

import lupa.lua51
import pytest
import yaml

from dbmigration.api.conditions import Standing
from dbmigration.api.explanations import EXPLANATIONS, ReasonClass
from dbmigration.api.reasons import Reason
from dbmigration.api.status import Phase
from tests.packaging.conftest import CHART
from tests.scenarios.loader import scenarios

STATUSES = Path(__file__).with_name("statuses")
RECORDED = sorted(path.stem for path in (STATUSES / "recorded").glob("*.yaml"))

EXPECTED = {
    "without-status": "Progressing",
    "edited-and-not-yet-seen": "Progressing",
    "failed-and-suspended": "Degraded",
    # What the operator never writes, and what must not look healthy if it did.
    "without-conditions": "Progressing",
    "reconciling-and-stalled-at-once": "Degraded",
}
OF_A_PHASE = {
    Phase.PENDING: "Progressing",
    Phase.PLANNING: "Progressing",
    Phase.BACKING_UP: "Progressing",
    Phase.MIGRATING: "Progressing",
    Phase.ROLLING_BACK: "Progressing",
    Phase.DRAINING: "Progressing",
    Phase.RESTORING: "Progressing",
    Phase.RESUMING: "Progressing",
    Phase.SUCCEEDED: "Healthy",
    Phase.ROLLED_BACK: "Degraded",
    Phase.RESTORED: "Degraded",
    Phase.FAILED: "Degraded",
    Phase.CANCELLED: "Degraded",
}


def _resource(name: str) -> dict[str, Any]:
    resource: dict[str, Any] = yaml.safe_load((STATUSES / f"{name}.yaml").read_text(encoding="utf-8"))
    return resource


def _recorded(name: str) -> dict[str, Any]:
    return _resource(f"recorded/{name}")


def _health(resource: dict[str, Any]) -> tuple[str, str]:
    """Run the script as Argo CD does, whose Lua is of version 5.1: the resource is the global `obj`."""
    lua = lupa.lua51.LuaRuntime()
    lua.globals().obj = lua.table_from(resource, recursive=True)
    answer = lua.execute((CHART / "files" / "argocd" / "health.lua").read_text())
    return answer["status"], answer["message"]


@pytest.mark.parametrize(("name", "expected"), EXPECTED.items())
def test_argo_cd_sees_each_state_as_what_it_means_for_a_sync(name: str, expected: str) -> None:
    assert _health(_resource(name))[0] == expected


@pytest.mark.parametrize("name", RECORDED)
def test_argo_cd_sees_what_the_operator_said_as_its_phase_means_it(name: str) -> None:
    resource = _recorded(name)
    expected = OF_A_PHASE[Phase(resource["status"]["phase"])]
    was_seen = resource["status"]["observedGeneration"] == resource["metadata"]["generation"]
    waits = was_seen and resource["spec"].get("suspend") and expected == "Progressing"
    assert _health(resource)[0] == ("Suspended" if waits else expected)


def test_every_phase_was_recorded() -> None:
    assert {_recorded(name)["status"]["phase"] for name in RECORDED} == {phase.value for phase in Phase}


def test_every_standing_was_recorded() -> None:
    assert {_trio(_recorded(name)) for name in RECORDED} == {
        tuple(status.value for status in standing.value) for standing in Standing
    } | {(None, None, None)}


def test_every_class_of_reason_was_recorded() -> None:
    said = {Reason(item["reason"]) for name in RECORDED for item in _recorded(name)["status"].get("conditions", ())}
    assert {EXPLANATIONS[reason].kind for reason in said} == set(ReasonClass)


@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_state_names_no_machine(name: str) -> None:
    text = (STATUSES / "recorded" / f"{name}.yaml").read_text(encoding="utf-8")
    assert set(re.findall(r"\b\d+(?:\.\d+){3}\b", text)) <= {"192.0.2.1"}
    assert not re.search(r"/(?:tmp|root|home|work)\b", text)


def test_the_end_of_every_scenario_was_recorded() -> None:
    for scenario in scenarios("cluster"):
        status = scenario.expected.status
        assert f"{status['phase']}-{status['conditions']['Ready']['reason']}" in RECORDED, (
            f"{scenario.name}: make statuses"
        )


def test_every_state_written_by_hand_is_judged() -> None:
    assert {path.stem for path in STATUSES.glob("*.yaml")} == EXPECTED.keys()


def test_a_failure_is_told_in_the_operators_own_words() -> None:
    resource = _recorded("Failed-MigrationFailed")
    said = next(item["message"] for item in resource["status"]["conditions"] if item["type"] == "Ready")
    assert _health(resource)[1] == f"MigrationFailed: {said}"


@pytest.mark.parametrize("name", sorted(EXPECTED.keys() - {"reconciling-and-stalled-at-once"}))
def test_the_states_are_of_those_that_the_operator_writes(name: str) -> None:
    assert _trio(_resource(name)) in {tuple(status.value for status in standing.value) for standing in Standing} | {
        (None, None, None)
    }


def _trio(resource: dict[str, Any]) -> tuple[str | None, ...]:
    conditions = {item["type"]: item["status"] for item in resource.get("status", {}).get("conditions", [])}
    return tuple(conditions.get(kind) for kind in ("Ready", "Reconciling", "Stalled"))
