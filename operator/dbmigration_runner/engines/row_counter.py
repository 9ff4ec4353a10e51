"""Counts rows in a dump's text that comes in pieces: what both servers' texts have in common. Pure.

Knows no syntax: what begins and ends a table's rows is for who counts. Only find and count of bytes serve there, for a loop
over lines would take longer than the dump.
"""

from __future__ import annotations

from abc import ABC, abstractmethod


class RowCounter(ABC):
    """Feed it the text in pieces; `rows` then holds every table that it told of, also the empty ones."""

    def __init__(self) -> None:
        self.rows: dict[str, int] = {}
        self.size_bytes = 0
        self._rest = b"\n"
        self._table: str | None = None  # whose rows stand here

    @property
    def is_complete(self) -> bool:
        """Did the last table's rows end?"""
        return self._table is None

    def feed(self, data: bytes) -> None:
        """The next piece."""
        self.size_bytes += len(data)
        text = self._rest + data
        position = 0
        while position >= 0:
            position = (
                self._outside(text, position) if self._table is None else self._inside(text, position, self._table)
            )

    @abstractmethod
    def _inside(self, text: bytes, position: int, table: str) -> int:
        """Count on; the next position, or -1 where more must be read, with what the next piece must begin with in _rest."""

    @abstractmethod
    def _outside(self, text: bytes, position: int) -> int:
        """Find the next table's rows; answers as _inside does."""
