"""What a step's log tells while it works: the runner's JSON lines among whatever env.py prints.

It must not take a log's word for what the database is: a revision is called applied before it is committed. What stands
here is shown, never acted on.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TAIL_BYTES = 65536
_SHOWN_CHARACTERS = 128


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a migrate step is, in this attempt."""

    done: int
    total: int | None
    revision: str  # the one that runs, or ran last
    is_running: bool

    def __str__(self) -> str:
        far = f", {self.done} of {self.total} done" if self.total is not None else ""
        words = f"{self.revision} is {'running' if self.is_running else 'done'}{far}"
        return words[:_SHOWN_CHARACTERS]


def events(log: Path) -> Iterator[dict[str, Any]]:
    """Every event of the runner's, in order."""
    try:
        with log.open("rb") as file:
            yield from _events(file)
    except FileNotFoundError:
        return


def progress(log: Path) -> Progress | None:
    """How far the step is; None where it has not begun, or is none that counts."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            tail = list(_events(file))
    except FileNotFoundError:
        return None
    total: int | None = None
    done, running, last = 0, "", ""
    for event in tail:
        match event:
            case {"event": "revision-started", "revision": str(revision)}:
                running = revision
            case {
                "event": "revision-applied",
                "revision": str(revision),
                "done": int(done),
                "of": of,
            }:
                if running == revision:
                    running = ""
                last, total = revision, of if isinstance(of, int) else None
    if running:
        return Progress(done, total, running, is_running=True)
    return Progress(done, total, last, is_running=False) if done else None


def statements(log: Path) -> list[str]:
    """The SQL of each pending revision, as far as Alembic could write it down without a database."""
    parts = []
    for event in events(log):
        match event:
            case {"event": "sql", "revision": str(revision), "sql": str(sql)}:
                parts.append(f"-- {revision}\n{sql}")
            case {"event": "not-renderable", "revision": str(revision), "why": str(why)}:
                parts.append(f"-- {revision}: {why}")
    return parts


def _events(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    for line in lines:
        if not line.startswith(b"{"):
            continue
        try:
            document = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(document, dict) and "event" in document:
            yield document
