"""The name of an attempt: deterministic, so that making it twice makes it once, and short enough for a label.

It must not look at anything but its arguments.
"""

from __future__ import annotations

import hashlib

from dbmigration_runner.contract.task import StepKind

_LONGEST = 63


def job_name(name: str, uid: str, run: int, kind: StepKind, attempt: int) -> str:
    """`<name>-<5 hex of the uid>-<run>-<step>-<attempt>`, the name cut where that is longer than 63 characters."""
    tail = f"-{hashlib.sha256(uid.encode()).hexdigest()[:5]}-{run}-{kind.value}-{attempt}"
    return name[: _LONGEST - len(tail)].rstrip("-.").replace(".", "-") + tail
