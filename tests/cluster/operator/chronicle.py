"""Every version of a namespace's resources, as a watch tells them: what stood there for a second is seen too.

Looking again and again misses what the next attempt replaces. Must not know what a version should say.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.cluster.access import Namespace, eventually


class Chronicle:
    """The versions so far, oldest first."""

    def __init__(self) -> None:
        self.statuses: list[dict[str, Any]] = []

    def first(self, reason: str, *, timeout: float = 120) -> dict[str, Any]:
        """The first status whose Ready condition shows this reason; waits for it."""
        return eventually(lambda: self._find(reason), f"A status with reason {reason}", timeout=timeout)

    def _find(self, reason: str) -> dict[str, Any] | None:
        return next((status for status in tuple(self.statuses) if condition(status)["reason"] == reason), None)


def condition(status: dict[str, Any], kind: str = "Ready") -> dict[str, Any]:
    """One of a status' conditions."""
    found = (item for item in status.get("conditions", ()) if item["type"] == kind)
    return next(found, {"status": "", "reason": "", "message": ""})


@contextmanager
def chronicle_of(namespace: Namespace) -> Iterator[Chronicle]:
    """Watch from now until the end of the context."""
    chronicle = Chronicle()
    with namespace.start("get", "databasemigrations", "--watch", "--output", "json") as watch:

        def read() -> None:
            text = ""
            for line in watch.stdout or ():
                text += line
                if line.startswith("}"):  # kubectl indents all but the first and the last line of an object
                    chronicle.statuses.append(json.loads(text).get("status", {}))
                    text = ""

        reader = threading.Thread(target=read)
        reader.start()
        try:
            yield chronicle
        finally:
            watch.terminate()
            reader.join()
