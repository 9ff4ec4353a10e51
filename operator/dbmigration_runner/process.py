"""The process that runs env.py: how it comes to be, and the ends of it that the parent holds.

It is forked from a parent that has SQLAlchemy and the driver loaded and nothing opened: no thread, no session. Loading
them a second time takes longer than most migrations. Where a fork would not be what a new interpreter is, and whenever
env.py must run again, it is a new interpreter. Must not know what is said over its pipes.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import io
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

FOLDER = Path(__file__).parent
RESULT_VARIABLE = "DBMIGRATION_RESULT"
NOT_BORN = 71
_THREADS = Path("/proc/self/task")
_LONGEST_PAUSE_SECONDS = 0.05


@dataclass(frozen=True)
class Ends:
    """What a fork finds itself with: the parent's words, and the way to tell the parent."""

    control: int
    events: int


class _Waited(Protocol):
    """As subprocess.Popen has it."""

    pid: int
    returncode: Any

    def poll(self) -> int | None: ...


class Process:
    """A child, from the parent's side. `events`, `stdout` and `stderr` are for reading."""

    def __init__(self, waited: _Waited, control: socket.socket, events: int, stdout: int, stderr: int) -> None:
        self._waited = waited
        self._control = control
        self.events, self.stdout, self.stderr = events, stdout, stderr

    def tell(self, line: str, files: tuple[int, ...] = ()) -> None:
        """One line, and open files that it will hold as long as it lives. Raises OSError where it is gone."""
        if files:
            socket.send_fds(self._control, [b"\n"], list(files))
        self._control.sendall(line.encode() + b"\n")

    def has_ended(self, within_seconds: float = 0) -> bool:
        """Ask, and give it some time."""
        until, pause = time.monotonic() + within_seconds, 0.001
        while self._waited.poll() is None:
            left = until - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(pause, left, _LONGEST_PAUSE_SECONDS))
            pause *= 2
        return True

    def kill(self) -> None:
        """End it, and whatever it started and left behind in its group."""
        with contextlib.suppress(
            ProcessLookupError, PermissionError
        ):  # the latter is macOS's word for a group of the dead
            os.killpg(self._waited.pid, signal.SIGKILL)

    def close(self) -> str:
        """End what is left of it and close everything; how it ended, in a few words."""
        self.kill()
        while not self.has_ended(1):
            pass
        self._control.close()
        for file in (self.events, self.stdout, self.stderr):
            os.close(file)
        return _end(self._waited.returncode)


class _Forked:
    """What subprocess.Popen is for a program, for a fork."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode


def may_fork(started_in: Path) -> bool:
    """Would a fork be what a new interpreter is?

    Not with a second thread, which agents that are loaded at an interpreter's start may have begun: its locks would stay
    held in the fork for ever. Not in another directory than we were started in: relative entries of PYTHONPATH would lead
    elsewhere.
    """
    try:
        threads = len(list(_THREADS.iterdir()))
    except OSError:
        return False
    return threads == 1 and Path.cwd() == started_in


def fork() -> Process | Ends:
    """Ends in the child, which must return to the interpreter's end from there; Process in the parent."""
    ours, theirs = socket.socketpair()
    (events, events_end), (stdout, stdout_end), (stderr, stderr_end) = os.pipe(), os.pipe(), os.pipe()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    gc.freeze()  # what is loaded stays: neither process shall look through it, at its end least of all, or copy its pages
    pid = os.fork()
    if pid == 0:
        try:
            os.setpgid(0, 0)  # no session: whoever looks for the step's first process by its session must find one
            ours.close()
            for file in (events, stdout, stderr):
                os.close(file)
            _be_as_if_started(stdout_end, stderr_end)
            return Ends(theirs.detach(), events_end)
        except BaseException:  # noqa: BLE001  # two parents must never come out of this
            os._exit(NOT_BORN)
    with contextlib.suppress(OSError):  # whoever of the two is first; a group must be there before it can be killed
        os.setpgid(pid, pid)
    theirs.close()
    for file in (events_end, stdout_end, stderr_end):
        os.close(file)
    return Process(_Forked(pid), ours, events, stdout, stderr)


def start() -> Process:
    """A new interpreter."""
    ours, theirs = socket.socketpair()
    (events, events_end), (stdout, stdout_end), (stderr, stderr_end) = os.pipe(), os.pipe(), os.pipe()
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    environment.setdefault("PYTHONFAULTHANDLER", "1")
    environment.pop(RESULT_VARIABLE, None)
    child = subprocess.Popen(
        [sys.executable, str(FOLDER), "child", str(theirs.fileno()), str(events_end)],
        stdin=subprocess.DEVNULL,
        stdout=stdout_end,
        stderr=stderr_end,
        pass_fds=(theirs.fileno(), events_end),
        start_new_session=True,
        env=environment,
    )
    theirs.close()
    for file in (events_end, stdout_end, stderr_end):
        os.close(file)
    return Process(child, ours, events, stdout, stderr)


def _be_as_if_started(stdout: int, stderr: int) -> None:
    """What `start` asks of a new interpreter, for one that runs already."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123  # the descriptor is what is wanted
        os.dup2(nothing.fileno(), 0)
    os.dup2(stdout, 1)
    os.dup2(stderr, 2)
    os.close(stdout)
    os.close(stderr)
    sys.stdout = sys.__stdout__ = _unbuffered(1, sys.stdout, "strict")  # type: ignore[misc]  # as the interpreter does
    sys.stderr = sys.__stderr__ = _unbuffered(2, sys.stderr, "backslashreplace")  # type: ignore[misc]  # the same
    os.environ["PYTHONUNBUFFERED"] = "1"
    os.environ.pop(RESULT_VARIABLE, None)
    if os.environ.setdefault("PYTHONFAULTHANDLER", "1"):
        faulthandler.enable()


def _unbuffered(file: int, before: Any, errors: str) -> io.TextIOWrapper:
    raw = io.FileIO(file, "w", closefd=False)
    raw.name = {1: "<stdout>", 2: "<stderr>"}[file]
    encoding = getattr(before, "encoding", None) or "utf-8"
    errors = getattr(before, "errors", None) or errors
    return io.TextIOWrapper(raw, encoding, errors, newline="\n", write_through=True)  # as by -u


def _end(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"ended by signal {-code}"
