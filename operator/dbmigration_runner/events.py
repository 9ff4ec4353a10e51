"""What the child tells the parent, over a pipe of their own: one JSON line an event.

Not stdout: env.py writes there, mutes it or closes it. A line that cannot be read is dropped, for the pipe is inherited
by whatever env.py starts; what then is missing, the parent finds out by looking at the database.
"""

from __future__ import annotations

import json
import os
import threading
from dataclasses import dataclass, field
from typing import Any, get_args

from dbmigration_runner.contract.codec import DecodeError, decode, encode
from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.contract.result import Finding, PlannedRevision
from dbmigration_runner.engines.interface import GuestOrder


@dataclass(frozen=True)
class ChildOrder:
    """What the parent tells the child, as the first line of the control pipe.

    `task` is the runner's whole task; `again` says that its revisions were begun before, by an earlier child.
    """

    task: str
    guests: GuestOrder
    again: bool = False


@dataclass(frozen=True)
class Opened:
    """env.py opened a connection."""

    session: int
    proven: bool


@dataclass(frozen=True)
class Aimed:
    """What the task's target means in these scripts, whether or not they know where the database is."""

    target: tuple[str, ...]


@dataclass(frozen=True)
class Taken:
    """A table, or a column of it, that undoing a revision takes out of the database as it is today."""

    revision: str
    table: str
    column: str | None = None


@dataclass(frozen=True)
class Emptied:
    """A table, or a column of it, that an upgrade dropped and its downgrade makes again, called as at the way's end."""

    revision: str
    table: str
    column: str | None = None
    may_be_filled: bool = False


@dataclass(frozen=True)
class Planned:
    """What lies between the database and the target, as env.py's own migration context sees both.

    `places` are the heads after each of the revisions; `down` says that they are undone, `taken` what goes with that, and
    `unclear` that more may go, which cannot be read from the scripts; `emptied` is what comes back without its data.
    """

    version_table: str
    hash: str
    heads: tuple[str, ...]
    start: tuple[str, ...]
    target: tuple[str, ...]
    revisions: tuple[PlannedRevision, ...]
    places: tuple[tuple[str, ...], ...] = ()
    down: bool = False
    taken: tuple[Taken, ...] = ()
    unclear: bool = False
    emptied: tuple[Emptied, ...] = ()
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class Looked:
    """Where env.py's migration context keeps its heads, and what they are."""

    version_table: str
    heads: tuple[str, ...]


@dataclass(frozen=True)
class Rendered:
    """The SQL of one pending revision, or why there is none."""

    revision: str
    sql: str
    statements: int
    unrenderable: str = ""


@dataclass(frozen=True)
class Started:
    """A revision begins."""

    revision: str


@dataclass(frozen=True)
class Applied:
    """A revision ran to its end. Tentative: Alembic calls back before it commits."""

    revision: str


@dataclass(frozen=True)
class Committed:
    """Something was committed that no revision in the version table answers for yet: it may be rows, which no schema shows."""


@dataclass(frozen=True)
class Stayed:
    """A statement of a revision ran, once or several times on end, and was committed. `statement` holds no value."""

    revision: str
    statement: str
    times: int = 1


@dataclass(frozen=True)
class Waited:
    """A statement did not get a lock in time, and is tried again by itself: its revision cannot be."""

    statement: str


@dataclass(frozen=True)
class Granted:
    """The statement that had waited ran."""


@dataclass(frozen=True)
class Settled:
    """Whatever ran so far is committed together with its revision: the heads tell it all."""


@dataclass(frozen=True)
class Finished:
    """The child did what it was told."""


@dataclass(frozen=True)
class Failed:
    """The child could not do what it was told. `detail` is a traceback without values, for the log.

    `waited_for` is the last statement, without values, that did not get a lock in time.
    """

    reason: RunnerReason
    message: str
    failed_revision: str | None = None
    lock_timeout: bool = False
    waited_for: str = ""
    write_refused: bool = False
    detail: tuple[str, ...] = field(default=())


Event = (
    Opened
    | Aimed
    | Planned
    | Looked
    | Rendered
    | Started
    | Applied
    | Committed
    | Stayed
    | Waited
    | Granted
    | Settled
    | Finished
    | Failed
)
_KINDS: dict[str, type[Any]] = {kind.__name__: kind for kind in get_args(Event)}


class EventWriter:
    """The child's end of the pipe; usable from every thread that env.py starts."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        """Tell the parent; a parent that is gone cannot be told anything."""
        line = json.dumps({"event": type(event).__name__, "body": encode(event)}) + "\n"
        data = line.encode()
        with self._lock:
            while data:
                data = data[os.write(self._file, data) :]


def read_event(line: bytes) -> Event | None:
    """One line, None where it is not one of ours."""
    try:
        document = json.loads(line)
        event: Event = decode(_KINDS[document["event"]], document["body"])
    except (ValueError, KeyError, TypeError, DecodeError, RecursionError):
        return None
    return event
