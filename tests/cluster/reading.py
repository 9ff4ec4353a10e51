"""Reads objects without a process of its own for each: what a test looks at again and again costs the machine next to nothing.

Goes through one `kubectl proxy`, so that a kubeconfig means what it means to kubectl. Must not write.
"""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

_START_SECONDS = 20
_PLACES = {
    "databasemigration": ("apis/dbmigration.io/v1alpha1", "databasemigrations"),
    "databaserestore": ("apis/dbmigration.io/v1alpha1", "databaserestores"),
    "deployment": ("apis/apps/v1", "deployments"),
    "horizontalpodautoscaler": ("apis/autoscaling/v2", "horizontalpodautoscalers"),
    "persistentvolumeclaim": ("api/v1", "persistentvolumeclaims"),
    "statefulset": ("apis/apps/v1", "statefulsets"),
}
_SHORT = {"dbm": "databasemigration", "dbr": "databaserestore", "pvc": "persistentvolumeclaim"}


class Reader:
    """What a kubeconfig's user may read. The kernel ends its proxy with the thread that made it, the test run's main one."""

    def __init__(self, kubeconfig: Path) -> None:
        self._socket = Path(tempfile.mkdtemp(prefix="dbmigration-proxy-")) / "socket"
        kubectl = (Path(sys.executable).with_name("kubectl"), "--kubeconfig", kubeconfig)
        subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *kubectl, "proxy", f"--unix-socket={self._socket}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )

    def read(self, namespace: str, kind: str, name: str) -> dict[str, Any]:
        """One object; raises LookupError with what the server says where it gives none, and OSError where it cannot be asked."""
        group, plural = _PLACES[_SHORT.get(kind.lower(), kind.lower())]
        connection = _Connection(self._socket)
        try:
            connection.request("GET", f"/{group}/namespaces/{namespace}/{plural}/{name}")
            answer = connection.getresponse()
            text = answer.read()
        except http.client.HTTPException as error:
            raise ConnectionError(f"kubectl proxy gave no answer: {error!r}") from error
        finally:
            connection.close()
        if answer.status != http.client.OK:
            raise LookupError(f"{kind} {name}: {answer.status} {text.decode(errors='replace')[:500]}")
        document: dict[str, Any] = json.loads(text)
        return document


class _Connection(http.client.HTTPConnection):
    """Over a socket that is a file."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=30)
        self._path = path

    def connect(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not self._path.exists() and time.monotonic() < deadline:
            time.sleep(0.05)  # the proxy is only starting
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))
