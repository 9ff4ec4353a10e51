"""How far a step is, from the end of its log: the runner's JSON lines among whatever env.py prints.

Pure. A revision is called applied before it is committed, so what stands here is shown, never acted on.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from dbmigration.cluster.redaction import short

_CHARACTERS = 128  # as many as the status takes


def last_progress(log: str) -> str:
    """Which revision runs and how many are done, in words; an empty text where nothing of it is told."""
    done, running, last, total = 0, "", "", None
    for event in _events(log):
        match event:
            case {"event": "revision-started", "revision": str(revision)}:
                running = revision
            case {"event": "revision-applied", "revision": str(revision), "done": int(count), "of": of}:
                running = "" if running == revision else running
                last, done, total = revision, count, of if isinstance(of, int) else None
    far = f", {done} of {total} done" if total is not None else ""
    if running:
        return short(f"{running} is running{far}", _CHARACTERS)
    return short(f"{last} is done{far}", _CHARACTERS) if done else ""


def _events(log: str) -> Iterator[dict[str, Any]]:
    for line in log.splitlines():
        if not line.startswith("{"):
            continue
        try:
            document = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(document, dict):
            yield document
