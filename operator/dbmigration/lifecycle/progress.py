"""How far a step is, in words: from what its runner says while it works, JSON lines among whatever env.py prints.

Pure: lines in, words out. It must not take a log's word for what the database is: a revision is called applied before it is
committed. What stands here is shown, never acted on.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
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


@dataclass(slots=True)
class _Heard:
    """What the lines said by now."""

    running: str = ""
    last: str = ""
    done: int = 0
    of: int | None = None
    lock: _Lock | None = None  # the last that a revision which is not done yet did not get in time
    backup: Progress | None = None

    def note(self, event: dict[str, Any]) -> None:
        match event:
            case {"event": "revision-started", "revision": str(revision)}:
                self.running = revision
                self.lock = replace(self.lock, is_waited_for=False) if self.lock else None
            case {"event": "revision-applied", "revision": str(revision), "done": int(count), "of": of}:
                self.running = "" if self.running == revision else self.running
                self.last, self.done, self.of = revision, count, of if isinstance(of, int) else None
                self.lock = None if self.lock and self.lock.revision == revision else self.lock
            case {"event": "lock-timeout", "tries": int(tries), "retry_for_seconds": int(limit)}:
                self.lock = _Lock(_text(event, "revision"), tries, limit, _text(event, "statement"))
                confirmed = event.get("done")
                self.done = confirmed if isinstance(confirmed, int) else self.done
            case {"event": "lock-granted"}:
                self.lock = None
            case {"event": "backup-progress", "doing": str(doing), "bytes": int(count), "of": of}:
                self.backup = Progress(_backup(doing, count, of if isinstance(of, int) else None))

    def told(self) -> Progress | None:
        far = f", {self.done} of {self.of} done" if self.of is not None else ""
        if self.lock is not None and self.lock.is_waited_for:
            return Progress(f"{self.lock.waiting}{far}{self.lock.at}", self.done)
        if self.running:
            again = self.lock.again if self.lock is not None and self.lock.revision == self.running else "is running"
            return Progress(f"{self.running} {again}{far}", self.done)
        return Progress(f"{self.last} is done{far}", self.done) if self.done else self.backup


@dataclass(frozen=True, slots=True)
class _Lock:
    """A lock that was not to be had in time, `tries` times by now. `statement` is the one that wants it, without values."""

    revision: str  # "" before the first
    tries: int
    limit_seconds: int
    statement: str
    is_waited_for: bool = True  # until the revision is begun again, or its statement had it

    @property
    def waiting(self) -> str:
        waits = f"{self.revision or 'env.py'} waits for a lock"
        return f"{waits}, tried {self._times}, for up to {self.limit_seconds} s"

    @property
    def again(self) -> str:
        return f"is tried again, {self._times} without its lock so far"

    @property
    def at(self) -> str:
        """Last, for it may be cut."""
        return f": {self.statement}" if self.statement else ""

    @property
    def _times(self) -> str:
        return "once" if self.tries == 1 else f"{self.tries} times"


def progress(lines: Iterable[str]) -> Progress | None:
    """What the last lines of a log say; None where they say nothing of it."""
    heard = _Heard()
    for event in events(lines):
        heard.note(event)
    return heard.told()


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


def _text(event: dict[str, Any], name: str) -> str:
    value = event.get(name)
    return value if isinstance(value, str) else ""


def size(count: int) -> str:
    """Bytes for humans."""
    value, unit = float(count), 0
    while value >= _UNIT and unit < len(_UNITS) - 1:
        value, unit = value / _UNIT, unit + 1
    return f"{count} B" if unit == 0 else f"{value:.1f} {_UNITS[unit]}"


def _backup(doing: str, count: int, of: int | None) -> str:
    """What is written has no end that could be known; what is read back has."""
    return f"{doing}, {100 * count // of} % of {size(of)}" if of else f"{doing}, {size(count)}"
