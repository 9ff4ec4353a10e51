"""The runner's own lines on stdout: one JSON document a line, without secrets.

What is too long for a result stands here. The lines of the application's env.py pass by as they are, redacted too.
"""

from __future__ import annotations

import json
import sys
import threading
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, TextIO

from dbmigration_runner.redaction import Redactor

if TYPE_CHECKING:
    from dbmigration_runner.contract.result import Result


class Log:
    """Writes lines; usable from every thread."""

    def __init__(self, redact: Redactor) -> None:
        self.redact = redact
        self._lock = threading.Lock()

    def say(self, event: str, **facts: Any) -> None:
        """One event. Facts are JSON values."""
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        document = {"time": now, "event": event, **{name: self._clean(value) for name, value in facts.items()}}
        self._write(sys.stdout, json.dumps(document, ensure_ascii=False))

    def pass_on(self, line: str, stream: TextIO) -> None:
        """A line of the application's."""
        self._write(stream, self.redact(line))

    def whole(self, result: Result) -> None:
        """A result that was cut elsewhere, between marks that only this task knows."""
        self._write(
            sys.stdout,
            f"-----BEGIN dbmigration result {result.nonce}-----\n{result.to_json()}\n-----END dbmigration result {result.nonce}-----",
        )

    def _clean(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.redact(value)
        if isinstance(value, (list, tuple)):
            return [self._clean(item) for item in value]
        return value

    def _write(self, stream: TextIO, text: str) -> None:
        with self._lock:
            try:
                stream.write(text + "\n")
                stream.flush()
            except (OSError, ValueError):  # whoever read the log is gone: the result goes another way
                return
