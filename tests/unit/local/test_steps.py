"""An attempt is a process that is found again whatever happened to whoever started it. The processes are real, the work is not."""

from __future__ import annotations

import os
import signal
import sys
import time
import uuid
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from dbmigration.lifecycle.observed import Absent, Ended, Gone, Running, StepRef, Stopping
from dbmigration.local import steps as module
from dbmigration.local.errors import LocalError
from dbmigration.local.steps import Steps
from dbmigration_runner.contract.result import Outcome, Result
from dbmigration_runner.contract.task import DatabaseAccess, RunIdentity, StepKind, Task

UID = str(uuid.uuid4())  # as of a resource: no two of them have a task in common
REF = StepRef(1, StepKind.MIGRATE, 1)
ANSWER = Result(StepKind.MIGRATE, "n", Outcome.SUCCEEDED, heads=("a1",))
SAY = f"open(os.environ['DBMIGRATION_RESULT'], 'w').write({ANSWER.to_json()!r})\n"
WORK = "import os, signal, subprocess, sys, time\n"


@pytest.fixture
def steps(tmp_path, monkeypatch):
    """Attempts whose program is `write(...)`; whatever still runs at the end is ended."""
    monkeypatch.setattr(module, "RUNNER", tmp_path / "runner.py")
    found = Steps(tmp_path / "steps", sys.executable, dict(os.environ), stop_grace=timedelta(seconds=0.5))
    yield found
    found.stop(REF)
    until(lambda: not found.is_at_work(REF) or not found.view(REF, "n", ""))
    found.forget(REF)


@pytest.fixture
def write(tmp_path):
    return lambda *lines: (tmp_path / "runner.py").write_text(WORK + "\n".join(lines), encoding="utf-8")


def task(**changes):
    return Task(StepKind.MIGRATE, "n", RunIdentity("default", "shop", UID, 1, 1), DatabaseAccess("/url"), 60, **changes)


def another_program(steps: Steps) -> Steps:
    """What the next start of the program knows: the folder, nothing else."""
    return Steps(steps.root, steps.python, steps.environment, stop_grace=steps.stop_grace)


def until(truth, seconds=20):
    end = time.monotonic() + seconds
    while not truth():
        assert time.monotonic() < end, "what was waited for did not come"
        time.sleep(0.02)


def view(steps):
    return steps.view(REF, "n", "image")


def test_what_was_never_started_is_absent(steps):
    assert view(steps) == Absent()


def test_a_valid_answer_is_read_when_the_process_has_ended(steps, write):
    write(SAY)
    steps.start(REF, task())
    until(lambda: not steps.is_at_work(REF))
    assert view(steps) == Ended(ANSWER, "image")


def test_an_answer_to_another_task_is_no_answer(steps, write):
    write(SAY)
    steps.start(REF, task())
    until(lambda: not steps.is_at_work(REF))
    assert isinstance(steps.view(REF, "another nonce", ""), Gone)


def test_a_process_that_ended_without_an_answer_is_gone_and_says_how(steps, write):
    write("sys.exit(7)")
    steps.start(REF, task())
    until(lambda: not steps.is_at_work(REF))
    assert "exited with 7" in view(steps).words


@pytest.mark.parametrize("kind", [StepKind.BACKUP, StepKind.RESTORE])
def test_what_runs_nothing_of_the_application_needs_nothing_of_its_interpreter(steps, write, tmp_path, kind):
    own = Steps(steps.root, str(tmp_path / "nosuchpython"), steps.environment)
    ref = StepRef(1, kind, 1)
    answer = replace(ANSWER, kind=kind)
    write(f"open(os.environ['DBMIGRATION_RESULT'], 'w').write({answer.to_json()!r})")
    own.start(ref, replace(task(), kind=kind))
    until(lambda: not own.is_at_work(ref))
    assert own.view(ref, "n", "") == Ended(answer, "")
    with pytest.raises(LocalError, match="Give --python the interpreter of the project"):
        own.start(REF, task())


def test_an_attempt_that_exists_is_not_started_twice(steps, write, tmp_path):
    write(f"open({str(tmp_path / 'starts')!r}, 'a').write('x'); time.sleep(60)")
    for started in (steps, steps, another_program(steps)):
        started.start(REF, task())
        until((tmp_path / "starts").exists)
    assert (tmp_path / "starts").read_text(encoding="utf-8") == "x"


def test_the_next_program_finds_the_process_and_reads_its_answer(steps, write, tmp_path):
    write(f"while not os.path.exists({str(tmp_path / 'go')!r}): time.sleep(0.02)", SAY)
    steps.start(REF, task())
    second = another_program(steps)
    assert isinstance(view(second), Running)
    (tmp_path / "go").touch()
    until(lambda: not steps.is_at_work(REF))
    assert view(second) == Ended(ANSWER, "image")


def test_a_pid_that_was_given_to_somebody_else_is_not_taken_for_the_step(steps):
    folder = steps.folder(REF)
    folder.mkdir(parents=True)
    (folder / "pid").write_text(f"{os.getpid()}\n", encoding="ascii")
    assert isinstance(view(steps), Gone)
    steps.stop(REF)  # would end this test run


def test_a_process_is_found_without_the_note_of_its_pid(steps, write):
    write("time.sleep(60)")
    steps.start(REF, task())
    (steps.folder(REF) / "pid").unlink()
    for _ in range(2):
        assert view(another_program(steps)) == Running("")
    assert steps.is_at_work(REF)


def test_a_folder_in_which_nothing_was_started_is_absent_and_can_be_started(steps, write):
    write(SAY)
    steps.folder(REF).mkdir(parents=True)
    assert view(steps) == Absent()
    steps.start(REF, task())
    until(lambda: isinstance(view(steps), Ended))


def test_a_step_that_ignores_the_request_to_stop_is_ended_after_the_grace_period(steps, write, tmp_path):
    write(f"signal.signal(signal.SIGTERM, signal.SIG_IGN); open({str(tmp_path / 'deaf')!r}, 'w'); time.sleep(60)")
    steps.start(REF, task())
    until((tmp_path / "deaf").exists)
    steps.stop(REF)
    assert view(steps) == Stopping()
    until(lambda: isinstance(view(steps), Gone))
    assert "SIGKILL" in view(steps).words


def test_what_a_killed_step_had_started_ends_with_it(steps, write, tmp_path):
    """As with a container: otherwise a dump or an upgrade would work on behind the next attempt's back."""
    note = tmp_path / "grandchild"
    write(
        f"child = subprocess.Popen(['sleep', '60'], start_new_session=True); open({str(note)!r}, 'w').write(str(child.pid)); child.wait()"
    )
    steps.start(REF, task())
    until(lambda: note.exists() and note.read_text(encoding="ascii"))
    os.kill(int((steps.folder(REF) / "pid").read_text(encoding="ascii")), signal.SIGKILL)
    until(lambda: isinstance(view(steps), Gone))
    grandchild = Path(f"/proc/{note.read_text(encoding='ascii')}/stat")
    until(lambda: not grandchild.exists() or " Z " in grandchild.read_text(encoding="ascii"))


def test_a_step_that_stops_in_good_order_has_its_answer_read(steps, write):
    told = Result(StepKind.MIGRATE, "n", Outcome.FAILED, "Cancelled", "told to stop", changed=True)
    write(
        "def end(*_):",
        f"    open(os.environ['DBMIGRATION_RESULT'], 'w').write({told.to_json()!r})",
        "    sys.exit(1)",
        "signal.signal(signal.SIGTERM, end)",
        "print(1, flush=True)",
        "time.sleep(60)",
    )
    steps.start(REF, task())
    until(lambda: steps.log(REF).read_bytes() == b"1\n")
    steps.stop(REF)
    until(lambda: not steps.is_at_work(REF))
    assert view(steps) == Ended(told, "image")


def test_old_runs_are_forgotten_and_younger_ones_stay(steps, write):
    write(SAY)
    refs = [StepRef(run, StepKind.PLAN, 1) for run in (1, 2, 3)]
    for ref in refs:
        steps.start(ref, task())
    until(lambda: not any(steps.is_at_work(ref) for ref in refs))
    steps.forget_runs(2)
    assert steps.runs() == {3}
