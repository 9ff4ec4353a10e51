"""Long-running processes that outlive the command that started them, and can be ended safely by a later one.

Each is recorded by pid and start time, because pids are used again: a record that matches no living process is dead, and
what a pid means now is never touched. Whatever a recorded process starts in turn (containerd's shims) carries the mark
of its folder in its environment, so that a killed run's orphans are found too.
"""

import contextlib
import json
import os
import select
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.cluster.embedded import cache
from tests.cluster.embedded.errors import ClusterError

_MARK = "DBMIGRATION_TEST_PROCESS_OF"

PidFinder = Callable[[], Iterable[int]]


@dataclass(frozen=True, slots=True)
class Process:
    """One start of one program."""

    name: str
    arguments: tuple[str, ...]
    pid: int
    started: int  # clock ticks after boot, field 22 of /proc/PID/stat
    boot: str  # boot id: ticks of another boot mean nothing

    @property
    def is_running(self) -> bool:
        # A child of ours that ended stays as a zombie until somebody asks for it.
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, os.WNOHANG)
        return self.boot == _boot() and self.started == _start_time(self.pid)

    def kill(self, sent: signal.Signals = signal.SIGKILL, patience: float = 10) -> None:
        """End it, and wait until it is gone; what outlives the signal by `patience` seconds is killed."""
        for number, limit in ((sent, patience), (signal.SIGKILL, 10)):
            if not self._send(number, limit):
                return
        raise ClusterError(f"{self.name} (pid {self.pid}) survives SIGKILL; see its kernel stack in /proc.")

    def _send(self, number: signal.Signals, patience: float) -> bool:
        """True if it still runs `patience` seconds later."""
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return False
        try:
            # Checked after the handle is ours: from here on it cannot mean another process.
            if not self.is_running:
                return False
            signal.pidfd_send_signal(handle, number)
            select.select([handle], [], [], patience)
            return self.is_running
        finally:
            os.close(handle)


class Processes:
    """The processes of one folder: their records and their logs."""

    def __init__(self, records: Path, logs: Path) -> None:
        self._records = records
        self._logs = logs

    def start(self, name: str, *arguments: str | Path) -> Process:
        """Start a program in a session of its own, its output appended to its log."""
        self._records.mkdir(parents=True, exist_ok=True)
        self._logs.mkdir(parents=True, exist_ok=True)
        command = tuple(str(item) for item in arguments)
        pid = os.posix_spawn(
            command[0],
            command,
            os.environ | {_MARK: str(self._records)},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, self.log(name), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
        )
        process = Process(name, command, pid, _start_time(pid) or 0, _boot())
        with cache.published(self._record(name)) as unfinished:
            unfinished.write_text(json.dumps(asdict(process)), encoding="utf-8")
        return process

    def start_again(self, name: str) -> Process:
        """Start what was recorded under this name once more, with the arguments it had."""
        return self.start(name, *self.get(name).arguments)

    def get(self, name: str) -> Process:
        try:
            fields = json.loads(self._record(name).read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise ClusterError(f"No process was started under the name {name}.") from error
        return Process(**fields | {"arguments": tuple(fields["arguments"])})

    def recorded(self) -> list[Process]:
        """What was started here, whether or not it still runs."""
        return [self.get(file.stem) for file in sorted(self._records.glob("*.json"))]

    def log(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    def check(self) -> None:
        """Raise ClusterError, with the end of its log, if a process that was started has ended."""
        for process in self.recorded():
            if not process.is_running:
                lines = self.log(process.name).read_text(encoding="utf-8", errors="replace").splitlines()
                last_words = "\n".join(lines[-15:])
                raise ClusterError(f"{process.name} has ended. Its log, {self.log(process.name)}, ends:\n{last_words}")

    def kill_all(self, sent: signal.Signals = signal.SIGKILL) -> None:
        """End what is recorded, then what those have left, and forget them."""
        for process in self.recorded():
            process.kill(sent)
        kill_until_gone(self._orphans)
        for file in self._records.glob("*.json"):
            file.unlink()

    def _orphans(self) -> Iterator[int]:
        mark = f"{_MARK}={self._records}".encode()
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if mark in (folder / "environ").read_bytes().split(b"\0"):
                    yield int(folder.name)

    def _record(self, name: str) -> Path:
        return self._records / f"{name}.json"


def kill_until_gone(find: PidFinder, patience: float = 10) -> None:
    """Kill what `find` names until it names nothing any more: a dying parent may have started another child."""
    deadline = time.monotonic() + patience
    while pids := [pid for pid in find() if _start_time(pid)]:
        if time.monotonic() > deadline:
            raise ClusterError(f"These processes survive SIGKILL: {pids}.")
        for pid in pids:
            _kill_if_still(pid, find)
        time.sleep(0.02)


def _kill_if_still(pid: int, find: PidFinder) -> None:
    with contextlib.suppress(ProcessLookupError):
        handle = os.pidfd_open(pid)
        try:
            if pid in find():
                signal.pidfd_send_signal(handle, signal.SIGKILL)
        finally:
            os.close(handle)


def wait_until(holds: Callable[[], bool], what: str, processes: Processes, patience: float = 60) -> None:
    """Poll until `holds()`; raises ClusterError when a process ends meanwhile or `patience` seconds are over."""
    deadline = time.monotonic() + patience
    while not holds():
        processes.check()
        if time.monotonic() > deadline:
            raise ClusterError(f"{what} did not come within {patience:.0f} s. The logs: {processes.log('*').parent}")
        time.sleep(0.1)


def _start_time(pid: int) -> int | None:
    """When the process started; None if there is none, or only what is left of one."""
    try:
        # The second field is the program's name in parentheses and may itself hold any of them.
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, start = fields[0], int(fields[19])
    return None if state in "ZX" else start


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
