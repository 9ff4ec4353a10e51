"""Watches what the step costs: CPU, memory and disk of its processes, once a second, and their peaks.

Counts against the container's limits (cgroup v2 or v1) where there are any, against the machine otherwise. Without
psutil, which an application's image need not have, it reports None. It must never fail a step.
"""

from __future__ import annotations

import contextlib
import importlib
import shutil
import threading
import time
from pathlib import Path
from typing import Any

from dbmigration_runner.contract.result import Resources

PERIOD_SECONDS = 1.0
WARN_PERCENT = 90.0
_MEMORY_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
_MEMORY_USED = ("/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory/memory.usage_in_bytes")
_MEMORY_PARTS = ("/sys/fs/cgroup/memory.stat", "/sys/fs/cgroup/memory/memory.stat")
_NO_LIMIT_BYTES = 1 << 60  # cgroup v1 writes a huge number where there is no limit


class Monitor:
    """Samples on a thread of its own from `start` to `stop`."""

    def __init__(self, disk: str) -> None:
        """`disk` is a path on the file system to watch."""
        self._disk = disk
        self._started = time.monotonic()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._known: dict[int, Any] = {}
        self._cpu: float | None = None
        self._memory: int | None = None
        self._disk_percent: float | None = None
        self._memory_percent: float | None = None

    def start(self) -> None:
        """Begin to sample."""
        self._thread = threading.Thread(target=self._watch, name="monitor", daemon=True)
        self._thread.start()

    def stop(self) -> Resources:
        """End, and give the peaks."""
        self._over.set()
        if self._thread is not None:
            self._thread.join(2 * PERIOD_SECONDS)
        return Resources(
            duration_seconds=round(time.monotonic() - self._started, 3),
            peak_cpu_percent=self._cpu,
            peak_memory_bytes=self._memory,
            peak_disk_percent=self._disk_percent,
        )

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences about what came close to its limit."""
        found = []
        if self._memory_percent is not None and self._memory_percent > WARN_PERCENT:
            found.append(f"Memory rose to {self._memory_percent:.0f} % of the limit: raise podTemplate.resources.")
        if self._disk_percent is not None and self._disk_percent > WARN_PERCENT:
            found.append(f"The disk of {self._disk} is {self._disk_percent:.0f} % full.")
        return tuple(found)

    def _watch(self) -> None:
        try:
            psutil: Any = importlib.import_module("psutil")
            own = psutil.Process()
        except Exception:  # noqa: BLE001  # absent, or built for another interpreter: both mean without
            return
        limit = _read(_MEMORY_LIMITS)
        if limit is None or limit > _NO_LIMIT_BYTES:
            limit = int(psutil.virtual_memory().total)
        while True:
            with contextlib.suppress(Exception):  # a process ended between being listed and being read
                self._sample(psutil, own, limit)
            if self._over.wait(PERIOD_SECONDS):
                return

    def _sample(self, psutil: Any, own: Any, limit: int) -> None:
        cpu, memory = 0.0, 0
        living = {process.pid: process for process in (own, *own.children(recursive=True))}
        seen_before = own.pid in self._known
        self._known = {pid: self._known.get(pid, process) for pid, process in living.items()}
        for process in self._known.values():
            with contextlib.suppress(psutil.Error):
                cpu += process.cpu_percent()
                memory += process.memory_info().rss
        if seen_before:  # a share needs two looks: psutil answers the first one with 0, whatever was used
            self._cpu = max(self._cpu or 0.0, round(cpu, 1))
        self._memory = max(self._memory or 0, memory)
        used = _used()
        self._memory_percent = max(self._memory_percent or 0.0, 100.0 * (used if used is not None else memory) / limit)
        disk = shutil.disk_usage(self._disk)
        self._disk_percent = max(self._disk_percent or 0.0, round(100.0 * disk.used / max(disk.total, 1), 1))


def _used() -> int | None:
    """What the container holds beyond pages of files that the kernel may drop: a dump fills its limit with those."""
    used = _read(_MEMORY_USED)
    if used is None:
        return None
    for path in _MEMORY_PARTS:
        with contextlib.suppress(OSError, ValueError):
            parts = dict(line.split() for line in Path(path).read_text(encoding="ascii").splitlines())
            # Version 1 counts a group's own pages by that name, and those that its use includes by the other.
            return max(used - int(parts.get("total_inactive_file", parts.get("inactive_file", 0))), 0)
    return used


def _read(paths: tuple[str, ...]) -> int | None:
    for path in paths:
        with contextlib.suppress(OSError, ValueError):
            return int(Path(path).read_text(encoding="ascii").strip())
    return None
