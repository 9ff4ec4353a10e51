"""How far a step is, in words: from what its runner says while it works, JSON lines among whatever env.py prints.

Pure: lines in, words out. It must not take a log's word for what the database is: a revision is called applied before it is
committed. What stands here is shown, never acted on.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

CHARACTERS = 128  # as many as the status takes
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_UNIT = 1024


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an attempt is. `done` counts the revisions that it called applied."""

    words: str
    done: int = 0

    def __str__(self) -> str:
        plain = "".join(character if character.isprintable() else " " for character in self.words[: 2 * CHARACTERS])
        return plain if len(plain) <= CHARACTERS else plain[: CHARACTERS - 1] + "…"


def progress(lines: Iterable[str]) -> Progress | None:
    """What the last lines of a log say; None where they say nothing of it."""
    done, running, last, total = 0, "", "", None
    backup: Progress | None = None
    for event in events(lines):
        match event:
            case {"event": "revision-started", "revision": str(revision)}:
                running = revision
            case {"event": "revision-applied", "revision": str(revision), "done": int(count), "of": of}:
                running = "" if running == revision else running
                last, done, total = revision, count, of if isinstance(of, int) else None
            case {"event": "backup-progress", "doing": str(doing), "bytes": int(count), "of": of}:
                backup = Progress(_backup(doing, count, of if isinstance(of, int) else None))
    far = f", {done} of {total} done" if total is not None else ""
    if running:
        return Progress(f"{running} is running{far}", done)
    return Progress(f"{last} is done{far}", done) if done else backup


def events(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """The runner's own lines; all others, and what is cut or broken, are passed over."""
    for line in lines:
        if not line.startswith("{"):
            continue
        try:
            document = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(document, dict) and "event" in document:
            yield document


def size(count: int) -> str:
    """Bytes for humans."""
    value, unit = float(count), 0
    while value >= _UNIT and unit < len(_UNITS) - 1:
        value, unit = value / _UNIT, unit + 1
    return f"{count} B" if unit == 0 else f"{value:.1f} {_UNITS[unit]}"


def _backup(doing: str, count: int, of: int | None) -> str:
    """What is written has no end that could be known; what is read back has."""
    return f"{doing}, {100 * count // of} % of {size(of)}" if of else f"{doing}, {size(count)}"
