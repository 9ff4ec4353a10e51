"""The Pod of a migration dies in the middle of a revision, whose session lives on in the server for a while.

Were the lost step simply started again, its successor would meet a half-done revision of a session that nobody ended; were
it believed to have failed, a revision that was committed at the last moment would be called missing.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.cluster.access import Namespace
from tests.cluster.faults.conftest import Rig
from tests.cluster.faults.histories import SLOW
from tests.cluster.faults.runs import Run
from tests.cluster.inmates import Inmate, kill

_RUNNER = b"/opt/dbmigration/inject"


def _migrate_pod(namespace: Namespace, field: str) -> str:
    found = ("get", "pods", "--selector", "dbmigration.io/step=migrate", "--output")
    return namespace.kubectl(*found, f"jsonpath={{.items[0].metadata.{field}}}")


def _kill_inside(namespace: Namespace, wanted: Callable[[Inmate], bool]) -> None:
    kill(_migrate_pod(namespace, "uid"), wanted)


def delete_the_pod(namespace: Namespace) -> None:
    namespace.kubectl("delete", "pod", _migrate_pod(namespace, "name"), "--grace-period=0", "--force")


def kill_its_program(namespace: Namespace) -> None:
    """With the first process of a container the kernel ends all others."""
    _kill_inside(namespace, lambda inmate: inmate.pid_inside == 1 and _RUNNER in inmate.command)


@pytest.mark.parametrize("how", [delete_the_pod, kill_its_program])
def test_lost_in_mid_revision_each_revision_is_applied_once_in_the_end(rig: Rig, how: Callable[[Namespace], None]):
    run = Run(rig.stage, "run", SLOW)
    run.start()
    run.wait_until_asleep()
    how(rig.stage.namespace)
    run.wait_for_end(120)
    rig.rested()
    run.check()
    assert run.steps() == ["plan", "backup", "migrate", "look", "migrate"]


def test_with_env_py_killed_its_parent_reports_what_the_database_is(rig: Rig):
    run = Run(rig.stage, "run", SLOW)
    run.start()
    run.wait_until_asleep()
    _kill_inside(rig.stage.namespace, lambda inmate: inmate.pid_inside != 1 and b"python" in inmate.command)
    run.wait_for_end(120)
    rig.rested()
    status = run.status()
    assert status["currentRevisions"] == run.stage.heads() == run.ledger()[-1:]
    assert status["run"]["appliedRevisions"] == run.ledger()
    assert status["phase"] == "Failed"
    assert run.steps() == ["plan", "backup", "migrate"]
