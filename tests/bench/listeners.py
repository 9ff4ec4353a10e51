"""The processes that a benchmark compares: our operator, and programs of this folder, each for one namespace.

They reach the API server directly, with the administrator's kubeconfig. It must not know what is measured.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from tests.cluster.access import Namespace
from tests.cluster.embedded.cache import PROJECT

_PATIENCE_SECONDS = 60
_MIB = 1 << 20


class Listener:
    """One process, from its start until it listens to its end."""

    def __init__(self, name: str, command: list[str], ready: str, environment: dict[str, str], folder: Path) -> None:
        """`ready` is what its log says once it knows what is there."""
        self.name = name
        self._command = [sys.executable, *command]
        self._ready = ready
        self._log = folder / f"{name}.log"
        path = f"{PROJECT / 'operator'}{os.pathsep}{PROJECT}"
        self._environment = {"PATH": os.environ["PATH"], "PYTHONPATH": path, **environment}
        self.started_in = 0.0  # seconds until it listened

    def __enter__(self) -> Self:
        begun = time.monotonic()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *self._command],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._seen = psutil.Process(self._process.pid)
        while self._ready not in (said := self._log.read_text(encoding="utf-8")):
            if self._process.poll() is not None or time.monotonic() > begun + _PATIENCE_SECONDS:
                self._end()
                raise RuntimeError(f"{self.name} does not listen; it says:\n{said[-3000:]}")
            time.sleep(0.02)
        self.started_in = time.monotonic() - begun
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        said = self._log.read_text(encoding="utf-8")
        ended = self._process.poll()
        self._end()
        if ended is not None or "Traceback" in said:
            raise RuntimeError(f"{self.name} did not go through with it; it says:\n{said[-3000:]}")

    def _end(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def cpu_seconds(self) -> float:
        """Of its threads that still run, from their start, by the scheduler's own clock: ticks are too coarse for so little."""
        threads = Path(f"/proc/{self._process.pid}/task").glob("*/schedstat")
        return sum(int(thread.read_text(encoding="ascii").split()[0]) for thread in threads) / 1e9

    def memory(self) -> tuple[float, float]:
        """Resident and unique, in MiB."""
        held = self._seen.memory_full_info()
        return held.rss / _MIB, held.uss / _MIB


def ours(namespace: Namespace, tools_image: str, folder: Path, **more: str) -> Listener:
    """`python -m dbmigration controller`; ready when it has the Lease, has filled its caches and has started its workers."""
    environment = {
        "KUBECONFIG": str(namespace.cluster.kubeconfig),
        "POD_NAME": "bench",
        "POD_NAMESPACE": namespace.name,
        "DBMIGRATION_WATCH_NAMESPACES": namespace.name,
        "DBMIGRATION_TOOLS_IMAGE": tools_image,
        "DBMIGRATION_HTTP_PORT": "0",
    }
    command = ["-m", "dbmigration", "controller"]
    return Listener("ours", command, "the workers start", environment | more, folder)


def program(module: str, namespace: Namespace, folder: Path, name: str) -> Listener:
    """A program of this folder; ready when it says "listening"."""
    environment = {"KUBECONFIG": str(namespace.cluster.kubeconfig), "NAMESPACE": namespace.name}
    return Listener(name, ["-m", f"tests.bench.{module}"], "listening", environment, folder)
