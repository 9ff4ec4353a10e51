"""The caller's own commands: out of reach of Ctrl-C, and asked for where a run drains something."""

from __future__ import annotations

import os
import sys

import pytest

from dbmigration.lifecycle.observed import WorkloadRef
from dbmigration.local.errors import ManifestError
from dbmigration.local.workloads import Workloads

REF = WorkloadRef("Deployment", "shop-web")


def test_a_command_has_a_session_of_its_own_so_that_ctrl_c_does_not_end_it_in_its_midst(tmp_path):
    told = tmp_path / "told"
    program = tmp_path / "drain.py"
    program.write_text(
        f"import os, pathlib\npathlib.Path({str(told)!r}).write_text("
        "' '.join([str(os.getsid(0)), os.environ['DBMIGRATION_WORKLOAD'], os.environ['DBMIGRATION_REPLICAS']]))\n"
    )
    workloads = Workloads(tmp_path / "drained", f"{sys.executable} {program}", "true")
    workloads.scale(REF, 0)
    session, workload, replicas = told.read_text(encoding="utf-8").split()
    assert int(session) != os.getsid(0)
    assert (workload, replicas) == ("Deployment/shop-web", "0")
    assert workloads.look([REF])[REF].replicas == 0


@pytest.mark.parametrize("commands", [(None, None), ("true", None), (None, "true")])
def test_both_commands_are_asked_for_where_something_is_drained(tmp_path, commands):
    workloads = Workloads(tmp_path, *commands)
    workloads.require(())
    with pytest.raises(ManifestError, match="give both --drain-command and --resume-command"):
        workloads.require([REF])
