"""Which statements of the running revision stay, told as soon as they are committed.

A statement is noted when it ran, and told when its transaction was committed, by whatever; what is rolled back is
forgotten. Knows no engine and no connection: notes lie in the dictionary that belongs to a connection.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dbmigration_runner.checks.statements import shown
from dbmigration_runner.events import Stayed

if TYPE_CHECKING:
    from dbmigration_runner.events import EventWriter

KEY = "dbmigration.ran"
_SAVEPOINTS = "dbmigration.savepoints"
MOST = 1000  # in one transaction; a statement that is repeated counts once


@dataclass
class _Note:
    revision: str
    statement: str
    times: int = 1


class Transcript:
    """`info` is always a connection's own."""

    def __init__(self, tell: EventWriter) -> None:
        self._tell = tell
        self.revision = ""  # the one that runs

    def note(self, info: dict[str, Any], statement: str, *, name_quote: str) -> None:
        """It ran, in the transaction that is open."""
        line = shown(statement, name_quote=name_quote)
        notes: list[_Note] = info.setdefault(KEY, [])
        if notes and (notes[-1].statement, notes[-1].revision) == (line, self.revision):
            notes[-1].times += 1
        elif len(notes) < MOST:
            notes.append(_Note(self.revision, line))

    def has_notes(self, info: dict[str, Any]) -> bool:
        """Did anything run in the transaction that is open?"""
        return bool(info.get(KEY))

    def committed(self, info: dict[str, Any]) -> None:
        """All that ran in the transaction stays."""
        for note in info.pop(KEY, ()):
            self._tell(Stayed(note.revision, note.statement, note.times))
        info.pop(_SAVEPOINTS, None)

    def rolled_back(self, info: dict[str, Any]) -> None:
        """Nothing of it does."""
        info.pop(KEY, None)
        info.pop(_SAVEPOINTS, None)

    def savepoint(self, info: dict[str, Any], name: str) -> None:
        """What follows may be rolled back by itself."""
        info.setdefault(_SAVEPOINTS, {})[name] = len(info.get(KEY, ()))

    def rolled_back_to(self, info: dict[str, Any], name: str) -> None:
        """What followed the savepoint is gone."""
        if KEY in info and name in info.get(_SAVEPOINTS, {}):
            del info[KEY][info[_SAVEPOINTS][name] :]
