"""What writes to the database beside us, drained and resumed by the caller's own commands.

One command call for a workload, with DBMIGRATION_WORKLOAD (`Deployment/shop-web`) and DBMIGRATION_REPLICAS in its
environment. What is drained is remembered in files, so that it is resumed after a crash too. It must not decide when it is
drained; a command that failed is called again after a pause, however often it is asked for.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from dbmigration.lifecycle.observed import WorkloadRef, WorkloadView
from dbmigration.local.errors import ManifestError
from dbmigration.local.store import replace_file

_TRIED = "drain begun"  # what a mark holds until the command has ended with 0
_RUNS = 1  # how many replicas something has of which nobody here can count the processes
_SECONDS = 600
_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 10.0
_REMIND_SECONDS = 60.0


@dataclass
class _Failing:
    """A command that failed and is called again. `due` and `said_at` are of a clock that nobody sets, in seconds."""

    since: datetime
    pause: float = 0.0
    due: float = 0.0
    said: str = ""
    said_at: float = 0.0

    def again(self, now: float) -> None:
        """One more failure: the next call is due after a pause that doubles."""
        self.pause = min(self.pause * 2 or _FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
        self.due = now + self.pause

    def is_news(self, fault: str, now: float) -> bool:
        """Is it to be said: for the first time, as another fault, or once more after a while? Then it counts as said."""
        if fault == self.said and now < self.said_at + _REMIND_SECONDS:
            return False
        self.said, self.said_at = fault, now
        return True


@dataclass
class Workloads:
    """Those that a manifest names. A command ends with 0 only when what it says is so."""

    folder: Path
    say: Callable[[str], None]  # to whoever watches, one line
    drain_command: str | None = None
    resume_command: str | None = None
    clock: Callable[[], float] = time.monotonic
    _failing: dict[tuple[WorkloadRef, str], _Failing] = field(default_factory=dict)

    def require(self, refs: Iterable[object], unfinished: str) -> None:
        """Raises ManifestError where a run drains something, and nobody said how; `unfinished` says which run is open, if any."""
        if any(True for _ in refs) and (self.drain_command is None or self.resume_command is None):
            which = f"{unfinished} " if unfinished else ""
            raise ManifestError(
                f"{which}This run drains workloads: give both --drain-command and --resume-command, which stop and start here "
                "what writes to the database."
            )

    def look(self, refs: Iterable[WorkloadRef]) -> dict[WorkloadRef, WorkloadView]:
        """All that are named are there: running, until they were drained."""
        return {ref: self._view(ref) for ref in refs}

    def scale(self, ref: WorkloadRef, replicas: int, until: datetime | None) -> None:
        """Call the command; one that fails has not done what it says, and is called again when its pause is over.

        `until` is when whoever asks gives that up, where somebody does.
        """
        command = self.resume_command if replicas else self.drain_command
        if command is None:
            return
        wish = "resumed" if replicas else "drained"
        failing = self._failing.get((ref, wish))
        if failing is not None and self.clock() < failing.due:
            return
        if not replicas:
            # Also one that fails may have stopped something: it is resumed whatever comes of the drain.
            self._note(ref, _TRIED)
        fault = _called(command, ref, replicas)
        if fault:
            failing = self._failing.setdefault((ref, wish), _Failing(since=datetime.now(UTC)))
            failing.again(self.clock())
            if failing.is_news(fault, self.clock()):
                since = f"tried since {failing.since:%H:%M:%S} UTC"
                end = f"until {until:%H:%M:%S} UTC" if until is not None else "until it ends with 0"
                self.say(f"{ref} is not {wish} yet, {since}: {command}: {fault}; it is called again {end}.")
            return
        self._failing.pop((ref, wish), None)
        self._note(ref, str(replicas))

    def _view(self, ref: WorkloadRef) -> WorkloadView:
        try:
            noted = self._mark(ref).read_text(encoding="ascii")
        except FileNotFoundError:
            noted = ""
        count = int(noted) if noted.isdecimal() else _RUNS
        return WorkloadView(count, count, count, is_unsettled=noted == _TRIED)

    def _note(self, ref: WorkloadRef, noted: str) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_file(self._mark(ref), noted)

    def _mark(self, ref: WorkloadRef) -> Path:
        return self.folder / f"{ref.kind}-{ref.name}"


def insist_on_program(option: str, command: str | None) -> None:
    """Raises ManifestError where a command cannot even be started here: found out at once, and not when all stands still."""
    if command is None:
        return
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise ManifestError(f"{option}: {command} cannot be read: {error}.") from error
    if not words:
        raise ManifestError(f"{option}: it is empty; `true` is a program that does nothing.")
    if shutil.which(words[0]) is None:
        is_there = Path(words[0]).is_file() and "/" in words[0]
        why = f"{words[0]} may not be executed" if is_there else f"there is no program {words[0]}"
        raise ManifestError(f"{option}: {why}.")


def _called(command: str, ref: WorkloadRef, replicas: int) -> str:
    """Call it; what went wrong, "" where nothing did."""
    environment = {
        **os.environ,
        "DBMIGRATION_WORKLOAD": f"{ref.kind}/{ref.name}",
        "DBMIGRATION_REPLICAS": str(replicas),
    }
    try:
        done = subprocess.run(
            shlex.split(command),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr,
            start_new_session=True,  # Ctrl-C ends this program in good order, and not the command in its midst
            check=False,
            timeout=_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return f"was not at its end after {_SECONDS // 60} minutes"
    except OSError as error:
        return f"cannot be started: {error.strerror}"
    return f"ended with {done.returncode}" if done.returncode else ""
