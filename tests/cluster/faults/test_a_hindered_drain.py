"""Drains that do not come to their end: somebody scales back each second, Pods do not obey; and a backup that is damaged meanwhile.

Were a drain waited for without an end, the application would stay away for ever; were it believed too early, its Pods would
write to a database that is just being replaced.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.cluster.access import eventually
from tests.cluster.faults.conftest import OpenOperator, Rig
from tests.cluster.faults.histories import EMERGENCY
from tests.cluster.faults.runs import Run
from tests.cluster.operator.stage import Stage

WHO = "argocd-controller"
PATIENCE_SECONDS = 8


def is_as_the_failure_left_it(run: Run, reason: str) -> dict[str, Any]:
    """Ended, with all replicas, no fence, every row and the revision that could not be undone; gives the status."""
    status = run.stage.until(reason, run.name, timeout=120)
    assert (status["phase"], status.get("drain")) == ("Failed", None)
    assert status["currentRevisions"] == run.stage.heads() == ["r2"]
    assert run.ledger() == ["r1", "r2", "r3"]
    assert run.stage.psql("SELECT count(*) FROM orders") == "500"
    run.check_databases(status)
    eventually(lambda: run.application.size == (2, 2), "All replicas", timeout=30)
    assert not run.stage.resource(run.name)["metadata"].get("finalizers")
    return status


def test_a_drain_that_is_contested_or_not_obeyed_is_given_up_and_all_replicas_return(
    new_stage: Callable[[str], Stage], open_operator: OpenOperator
):
    rig = open_operator("hindered", new_stage("hindered"), drain_patience=PATIENCE_SECONDS)
    contested = Run(rig.stage, "contested", EMERGENCY)
    deaf = Run(rig.stage, "deaf", EMERGENCY, deaf_for=4 * PATIENCE_SECONDS)
    for run in (contested, deaf):
        run.start()
    with contested.application.healed(WHO) as counted:
        status = is_as_the_failure_left_it(contested, "DrainContested")
        assert "Deployment contested has" in status["conditions"][0]["message"]
        assert f"by {WHO}" in status["conditions"][0]["message"]
        assert counted[0] > 1
    is_as_the_failure_left_it(deaf, "DrainContested")
    assert "Deployment deaf has 2 Pods and is scaled to 0" in deaf.stage.condition(name="deaf")["message"]
    for run in (contested, deaf):
        assert run.steps() == ["plan", "backup", "migrate", "downgrade"]
    told = [
        event for event in rig.stage.events() if event.startswith("DrainContested: Deployment contested was scaled")
    ]
    assert told
    assert all(f"scaled to 2 by {WHO}" in event for event in told)
    assert len(told) <= PATIENCE_SECONDS, told
    rig.rested()


def test_what_ignores_the_signal_is_waited_for_and_a_backup_that_was_damaged_meanwhile_ends_it(rig: Rig):
    run = Run(rig.stage, "run", EMERGENCY, deaf_for=10)
    run.start()
    stay = "Pods are still there: 2 of Deployment run."
    eventually(lambda: run.stage.condition(name="run")["message"] == stay, "Pods that stay", timeout=120)
    assert run.steps() == ["plan", "backup", "migrate", "downgrade"]
    assert rig.stage.backups.folder is not None
    (dump,) = rig.stage.backups.folder.rglob("run-*.dump")
    damage(dump)
    eventually(lambda: "restore" in run.steps(), "The restore step")
    status = is_as_the_failure_left_it(run, "RollbackFailed")
    assert "Restore another backup" in status["conditions"][0]["message"]
    assert [step["reason"] for step in status["steps"] if step["name"] == "restore"] == ["BackupCorrupt"]
    rig.rested()
    assert run.steps().count("restore") == 1


def damage(dump: Path) -> None:
    """One bit in its middle."""
    data = bytearray(dump.read_bytes())
    data[len(data) // 2] ^= 1
    dump.write_bytes(data)
