"""One attempt of a step as a child process: started, found again, followed, stopped.

An attempt is a folder: `task.json`, `pid`, `result.json` (the runner's answer), `log` (what it wrote). The child has a session of its own,
so that neither Ctrl-C nor the end of this program reaches it, and is recognised by a variable of its environment: a pid may
have been given to somebody else meanwhile, and start times move when a clock is set. It must not judge a result.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import psutil

import dbmigration_runner
from dbmigration.lifecycle.observed import Absent, Ended, Gone, Running, StepRef, StepView, Stopping
from dbmigration.local.errors import LocalError
from dbmigration.local.journal import far
from dbmigration.local.store import replace_file
from dbmigration_runner.contract.codec import DecodeError
from dbmigration_runner.contract.result import Result
from dbmigration_runner.contract.task import TASK_VARIABLE, StepKind, Task

RESULT_VARIABLE = "DBMIGRATION_RESULT"
RUNNER = Path(dbmigration_runner.__file__).parent
STOP_GRACE = timedelta(seconds=30)  # the runner cancels its statement on the server, looks, and reports
_RESULT_BYTES = 1 << 20
_NAME = re.compile(r"(\d+)-([a-z]+)-(\d+)")


@dataclass
class Steps:
    """Every attempt below one folder. `environment` is the whole environment of the children, without the URL."""

    root: Path
    python: str  # the application's, for the steps that run anything of it; the others run in this program's own
    environment: Mapping[str, str]
    stop_grace: timedelta = STOP_GRACE
    _children: dict[Path, subprocess.Popen[bytes]] = field(default_factory=dict)

    def folder(self, ref: StepRef) -> Path:
        """Where everything of an attempt is."""
        return self.root / f"{ref.run}-{ref.kind.value}-{ref.attempt}"

    def log(self, ref: StepRef) -> Path:
        """What the attempt wrote, as JSON lines and whatever env.py prints."""
        return self.folder(ref) / "log"

    def runs(self) -> frozenset[int]:
        """Runs of which something still exists."""
        if not self.root.is_dir():
            return frozenset()
        return frozenset(int(match[1]) for path in self.root.iterdir() if (match := _NAME.fullmatch(path.name)))

    def start(self, ref: StepRef, task: Task) -> None:
        """Make the attempt exist; one that is there already is left alone."""
        folder = self.folder(ref)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self._leader(folder) is not None or (folder / "result.json").exists():
            return
        text = task.to_json()
        replace_file(folder / "task.json", text)
        environment = {**self.environment, TASK_VARIABLE: text, RESULT_VARIABLE: str(folder / "result.json")}
        # A project's interpreter has its drivers, but not what packs and unpacks a backup.
        python = self.python if task.runs_application else sys.executable
        descriptor = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            child = subprocess.Popen(
                [python, str(RUNNER)],
                stdin=subprocess.DEVNULL,
                stdout=descriptor,
                stderr=descriptor,
                env=environment,
                cwd=task.migrations.path if task.migrations is not None else None,
                start_new_session=True,
            )
        except OSError as error:
            raise LocalError(
                f"{python} could not be started: {error.strerror}. Give --python the interpreter of the project."
            ) from error
        finally:
            os.close(descriptor)
        self._children[folder] = child
        replace_file(folder / "pid", f"{child.pid}\n")

    def stop(self, ref: StepRef) -> None:
        """Ask it to end; `view` sees to it that it does."""
        folder = self.folder(ref)
        leader = self._leader(folder)
        if leader is None or (folder / "stopping").exists():
            return
        replace_file(folder / "stopping", "")
        with contextlib.suppress(psutil.NoSuchProcess):
            leader.send_signal(signal.SIGTERM)

    def is_at_work(self, ref: StepRef) -> bool:
        """Does its process live?"""
        return self._leader(self.folder(ref)) is not None

    def forget(self, ref: StepRef) -> None:
        """Remove an attempt that is over; one that still works is stopped first and stays."""
        self.stop(ref)
        if self._leader(self.folder(ref)) is None:
            shutil.rmtree(self.folder(ref), ignore_errors=True)

    def forget_runs(self, up_to: int) -> None:
        """Remove what is left of the runs up to this number."""
        for path in list(self.root.iterdir()):
            match = _NAME.fullmatch(path.name)
            if match and int(match[1]) <= up_to:
                self.forget(StepRef(int(match[1]), StepKind(match[2]), int(match[3])))

    def result(self, ref: StepRef, nonce: str) -> Result | None:
        """The answer, where there is a valid one."""
        try:
            with (self.folder(ref) / "result.json").open("rb") as file:
                return Result.from_json(file.read(_RESULT_BYTES).decode(), nonce=nonce)
        except (OSError, UnicodeDecodeError, DecodeError):
            return None

    def view(self, ref: StepRef, nonce: str, image: str) -> StepView:
        """What has become of the attempt, by a fresh look."""
        folder = self.folder(ref)
        if not folder.exists():
            return Absent()
        if self._leader(folder) is not None:
            return self._at_work(folder)
        result = self.result(ref, nonce)
        if result is None and self._end_strays(folder):
            return Running("ending what the step left behind")
        if result is not None:
            return Ended(result, image)
        if not (folder / "pid").exists():
            return Absent()  # the folder was made and nothing was started in it
        return Gone(f"{self._last_words(folder)} See {folder / 'log'}.")

    def _at_work(self, folder: Path) -> StepView:
        try:
            asked = (folder / "stopping").stat().st_mtime
        except FileNotFoundError:
            return Running(str(far(folder / "log") or ""))
        if time.time() > asked + self.stop_grace.total_seconds():
            self._end_strays(folder)
        return Stopping()

    def _leader(self, folder: Path) -> psutil.Process | None:
        """The process that was started, while it lives; a child of ours that ended is reaped here."""
        child = self._children.get(folder)
        if child is not None:
            return None if child.poll() is not None else psutil.Process(child.pid)
        try:
            process = psutil.Process(int((folder / "pid").read_text(encoding="ascii")))
        except FileNotFoundError:
            # A crash between the start and the note of it: the child itself is the note.
            return next((found for found in psutil.process_iter() if _leads(found, folder)), None)
        except (psutil.NoSuchProcess, ValueError):
            return None
        return process if _leads(process, folder) else None

    def _end_strays(self, folder: Path) -> bool:
        """End what is left of the attempt, as a container ends with its first process; was there anything?"""
        strays = [process for process in psutil.process_iter() if _belongs(process, folder)]
        for process in strays:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        return bool(strays)

    def _last_words(self, folder: Path) -> str:
        child = self._children.get(folder)
        if child is None or child.returncode is None:
            return "Its process is gone."
        if child.returncode < 0:
            return f"Its process was ended by {signal.Signals(-child.returncode).name}."
        return f"Its process exited with {child.returncode} and left no result."


def _leads(process: psutil.Process, folder: Path) -> bool:
    """The very process that was started for this attempt, and it still runs."""
    return (
        _environment(process).get(RESULT_VARIABLE) == str(folder / "result.json")
        and os.getsid(process.pid) == process.pid
    )


def _belongs(process: psutil.Process, folder: Path) -> bool:
    """That process, or one that it started."""
    environment = _environment(process)
    try:
        task = (folder / "task.json").read_text(encoding="utf-8")
    except FileNotFoundError:
        return False
    return environment.get(RESULT_VARIABLE) == str(folder / "result.json") or environment.get(TASK_VARIABLE) == task


def _environment(process: psutil.Process) -> dict[str, str]:
    """What a process was started with; nothing where it has ended, reaped or not, or is somebody else's."""
    try:
        return {} if process.status() == psutil.STATUS_ZOMBIE else process.environ()
    except (psutil.Error, OSError):
        return {}
