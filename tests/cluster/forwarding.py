"""A port of a Pod on this machine: a program here talks to a server there without a `kubectl exec` for each of its sentences.

Goes through one `kubectl port-forward`, which serves every kind of cluster. Must not know what is talked about.
"""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

from tests.cluster.access import KubectlError, Namespace

_FORWARDING = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+) ")


@dataclass
class Forward:
    """One, to what `target` names, such as deploy/postgresql. kubectl gives up with the Pod, and with a refused connection."""

    namespace: Namespace
    target: str
    port: int
    _process: subprocess.Popen[str] | None = None
    _local: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def local(self) -> int:
        """The port here, at which it listens now; raises KubectlError."""
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._begin()
            return self._local

    def end(self) -> None:
        """Forward no longer; the next question begins anew."""
        with self._lock:
            if self._process is not None:
                self._process.kill()
                self._process.wait()
                self._process = None

    def _begin(self) -> None:
        """The kernel ends it with the thread that begins it."""
        kubectl = (Path(sys.executable).with_name("kubectl"), "--kubeconfig", self.namespace.cluster.kubeconfig)
        what = ("--namespace", self.namespace.name, "port-forward", self.target, f":{self.port}")
        self._process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *kubectl, *what, "--address", "127.0.0.1"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        found = _FORWARDING.search(self._process.stdout.readline())
        if found is None:
            raise KubectlError(f"kubectl port-forward {self.target} ended with {self._process.wait()}.")
        self._local = int(found[1])
        # It tells of each connection, and would wait for whoever reads that.
        threading.Thread(target=self._process.stdout.read, daemon=True).start()
