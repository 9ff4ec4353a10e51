"""How Argo CD understands a DatabaseMigration, state by state."""

from pathlib import Path
from typing import Any

import lupa.lua51
import pytest
import yaml

from dbmigration.api.conditions import Standing
from tests.packaging.conftest import CHART

STATUSES = Path(__file__).with_name("statuses")

EXPECTED = {
    "just-created": "Progressing",
    "without-status": "Progressing",
    "working": "Progressing",
    "will-be-tried-again": "Progressing",
    "awaiting-approval": "Suspended",
    "suspended": "Suspended",
    "succeeded": "Healthy",
    "edited-and-not-yet-seen": "Progressing",
    "failed": "Degraded",
    "failed-and-suspended": "Degraded",
    "rolled-back": "Degraded",
    # What the operator never writes, and what must not look healthy if it did.
    "without-conditions": "Progressing",
    "reconciling-and-stalled-at-once": "Degraded",
}


def _resource(name: str) -> dict[str, Any]:
    resource: dict[str, Any] = yaml.safe_load((STATUSES / f"{name}.yaml").read_text())
    return resource


def _health(resource: dict[str, Any]) -> tuple[str, str]:
    """Run the script as Argo CD does, whose Lua is of version 5.1: the resource is the global `obj`."""
    lua = lupa.lua51.LuaRuntime()
    lua.globals().obj = lua.table_from(resource, recursive=True)
    answer = lua.execute((CHART / "files" / "argocd" / "health.lua").read_text())
    return answer["status"], answer["message"]


@pytest.mark.parametrize(("name", "expected"), EXPECTED.items())
def test_argo_cd_sees_each_state_as_what_it_means_for_a_sync(name: str, expected: str) -> None:
    assert _health(_resource(name))[0] == expected


def test_every_recorded_state_is_judged() -> None:
    assert {path.stem for path in STATUSES.glob("*.yaml")} == EXPECTED.keys()


def test_a_failure_is_told_in_the_operators_own_words() -> None:
    assert _health(_resource("failed"))[1] == (
        "MigrationFailed: 12b failed, the database is at 12a. Mend the revision and give the new image."
    )


@pytest.mark.parametrize("name", EXPECTED.keys() - {"reconciling-and-stalled-at-once"})
def test_the_states_are_of_those_that_the_operator_writes(name: str) -> None:
    conditions = {item["type"]: item["status"] for item in _resource(name).get("status", {}).get("conditions", [])}
    trio = tuple(conditions.get(kind) for kind in ("Ready", "Reconciling", "Stalled"))
    assert trio in {tuple(status.value for status in standing.value) for standing in Standing} | {(None, None, None)}
