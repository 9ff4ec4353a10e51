"""An operator on this machine, as `python -m dbmigration controller`, that is started again whenever it ends.

It is what a Deployment does, without an image and within a second. Must not know what the operator works on.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

_PATIENCE_SECONDS = 30


class OperatorProcess:
    """One operator for one namespace, reached through a proxy.

    Each start takes a Lease of its own, so that nobody waits for a dead holder's to expire; with `lease` all starts share
    that one, as in a cluster. `drain_patience` is in seconds.
    """

    def __init__(
        self,
        server: str,
        namespace: str,
        tools_image: str,
        folder: Path,
        *,
        lease: str | None = None,
        drain_patience: int = 600,
    ) -> None:
        self._namespace = namespace
        self._lease = lease
        self._folder = folder
        self.log = folder / "operator.log"
        self.starts = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._changing = threading.Lock()
        self._stopping = threading.Event()
        self._keeper = threading.Thread(target=self._keep, daemon=True)
        folder.mkdir(parents=True, exist_ok=True)
        self._environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.environ["PYTHONPATH"],
            "KUBECONFIG": str(_kubeconfig(folder / "kubeconfig", server)),
            "POD_NAME": folder.name,
            "POD_NAMESPACE": namespace,
            "DBMIGRATION_WATCH_NAMESPACES": namespace,
            "DBMIGRATION_TOOLS_IMAGE": tools_image,
            "DBMIGRATION_HTTP_PORT": "0",
            "DBMIGRATION_FIRST_RETRY": "1",
            "DBMIGRATION_LONGEST_RETRY": "4",
            "DBMIGRATION_DRAIN_PATIENCE": str(drain_patience),
        }

    def __enter__(self) -> Self:
        self._keeper.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End it as a Deployment would, with SIGTERM."""
        self._stopping.set()
        with self._changing:
            if self._process is not None:
                self._process.terminate()
        self._keeper.join(_PATIENCE_SECONDS)
        if self._keeper.is_alive():
            self.kill()
            self._keeper.join()
            raise AssertionError(
                f"The operator did not end within {_PATIENCE_SECONDS} s of SIGTERM:\n{self.last_words()}"
            )

    def kill(self) -> None:
        """SIGKILL; returns when it is dead. What starts next is another process."""
        with self._changing:
            process = self._process
        if process is not None:
            process.kill()
            process.wait()

    def end(self) -> None:
        """SIGKILL, and nothing starts next."""
        self._stopping.set()
        self.kill()

    def faults(self) -> list[str]:
        """Tracebacks in its log, each with what stands around it."""
        text = self.log.read_text(encoding="utf-8", errors="replace")
        places = [found for found in range(len(text)) if text.startswith("Traceback (most recent call last)", found)]
        return [text[max(place - 300, 0) : place + 2500] for place in places]

    def last_words(self) -> str:
        """The end of its log."""
        return self.log.read_text(encoding="utf-8", errors="replace")[-3000:]

    def _keep(self) -> None:
        while True:
            with self._changing:
                if self._stopping.is_set():
                    return
                self.starts += 1
                self._process = process = self._start()
            process.wait()
            # A process that ends at once must not be started in a busy loop.
            self._stopping.wait(0.2)

    def _start(self) -> subprocess.Popen[bytes]:
        lease = self._lease or f"{self._folder.name}-{self.starts}"
        with self.log.open("ab") as log:
            log.write(f"--- start {self.starts}\n".encode())
            log.flush()
            # With a killed test run nobody is left to end it; the kernel does.
            return subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", sys.executable, "-m", "dbmigration", "controller"],
                env=self._environment | {"DBMIGRATION_LEASE_NAME": lease},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )


def _kubeconfig(path: Path, server: str) -> Path:
    name = "proxy"
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": server}}],
        "users": [{"name": name, "user": {}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }
    path.write_text(json.dumps(content), encoding="utf-8")
    return path
