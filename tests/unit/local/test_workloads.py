"""The caller's own commands: out of reach of Ctrl-C, and asked for where a run drains something."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime

import pytest

from dbmigration.lifecycle.observed import WorkloadRef
from dbmigration.local.errors import ManifestError
from dbmigration.local.workloads import Workloads

REF = WorkloadRef("Deployment", "shop-web")
UNTIL = datetime(2026, 11, 23, 3, 10, tzinfo=UTC)


def test_a_command_has_a_session_of_its_own_so_that_ctrl_c_does_not_end_it_in_its_midst(tmp_path):
    told = tmp_path / "told"
    program = tmp_path / "drain.py"
    program.write_text(
        f"import os, pathlib\npathlib.Path({str(told)!r}).write_text("
        "' '.join([str(os.getsid(0)), os.environ['DBMIGRATION_WORKLOAD'], os.environ['DBMIGRATION_REPLICAS']]))\n"
    )
    workloads = Workloads(tmp_path / "drained", print, f"{sys.executable} {program}", "true")
    workloads.scale(REF, 0, UNTIL)
    session, workload, replicas = told.read_text(encoding="utf-8").split()
    assert int(session) != os.getsid(0)
    assert (workload, replicas) == ("Deployment/shop-web", "0")
    assert workloads.look([REF])[REF].replicas == 0


@pytest.mark.parametrize("commands", [(None, None), ("true", None), (None, "true")])
def test_both_commands_are_asked_for_where_something_is_drained(tmp_path, commands):
    workloads = Workloads(tmp_path, print, *commands)
    workloads.require((), "")
    with pytest.raises(ManifestError, match="give both --drain-command and --resume-command"):
        workloads.require([REF], "")


def test_a_command_that_fails_is_called_ever_more_seldom_and_told_only_where_that_is_news(tmp_path):
    calls, code, said, now = tmp_path / "calls", tmp_path / "code", [], [0.0]
    code.write_text("1", encoding="ascii")
    command = f"sh -c 'echo >> {calls}; exit $(cat {code})'"
    workloads = Workloads(tmp_path / "drained", said.append, command, "true", clock=lambda: now[0])
    called = []
    while now[0] < 70:
        before = calls.stat().st_size if calls.exists() else 0
        workloads.scale(REF, 0, UNTIL)
        called += [now[0]] * (calls.stat().st_size - before)
        now[0] += 1 if now[0] >= 1 else 0.25
    assert called == [0, 1, 3, 7, 15, 25, 35, 45, 55, 65]
    assert len(said) == 2
    assert said[0].startswith("Deployment shop-web is not drained yet, tried since ")
    assert said[0].endswith("ended with 1; it is called again until 03:10:00 UTC.")
    code.write_text("2", encoding="ascii")
    now[0] += 10
    workloads.scale(REF, 0, UNTIL)
    assert "ended with 2" in said[2]
    assert workloads.look([REF])[REF].replicas == 1
    code.write_text("0", encoding="ascii")
    now[0] += 10
    workloads.scale(REF, 0, UNTIL)
    assert workloads.look([REF])[REF].replicas == 0
    assert len(said) == 3


def test_a_program_that_has_gone_since_is_told_in_words_and_until_when_it_is_tried(tmp_path):
    said = []
    workloads = Workloads(tmp_path / "drained", said.append, "./stopp", "./startt --all")
    workloads.scale(REF, 0, UNTIL)
    workloads.scale(REF, 1, None)
    assert said[0].endswith(
        "./stopp: cannot be started: No such file or directory; it is called again until 03:10:00 UTC."
    )
    assert said[1].endswith("No such file or directory; it is called again until it ends with 0.")


def test_what_an_attempt_to_drain_may_have_stopped_is_not_settled_before_it_is_resumed(tmp_path):
    workloads = Workloads(tmp_path / "drained", print, "false", "true")
    assert not workloads.look([REF])[REF].is_unsettled
    workloads.scale(REF, 0, UNTIL)
    assert (workloads.look([REF])[REF].replicas, workloads.look([REF])[REF].is_unsettled) == (1, True)
    workloads.scale(REF, 1, None)
    assert not workloads.look([REF])[REF].is_unsettled
