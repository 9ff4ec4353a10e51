r"""SQL text as mariadb-dump writes rows: cut into pieces that can be loaded each by itself, and counted. Pure.

A row is a line, for a line break within a value is written as `\n`, and a statement ends with a line: so only find and count
of bytes are used, for a loop over lines would take longer than the dump. A table or column whose name holds a line break
would break this, and is refused.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dbmigration_runner.engines.row_counter import RowCounter

if TYPE_CHECKING:
    from collections.abc import Callable

PIECE_BYTES = 16 << 20  # of text; a piece is compressed in memory before it is written
_DATA = b"-- Dumping data for table `"
_CUT = b";\nINSERT INTO `"
_END = b";\n"
_NAME = rb"`((?:[^`]|``)*)`"
# Where the columns are named the first row stands behind VALUES, else on the next line.
_HEADER = re.compile(rb"INSERT INTO %b(?: \((?:`(?:[^`]|``)*`|[^`)])*\))? VALUES[ \n]" % _NAME)
_TABLE = re.compile(rb"-- Dumping data for table %b\n" % _NAME)
_LONGEST_HEADER = 1 << 20  # 4,096 columns with names of 64 characters take half of this
# Rows of a versioned table's past are refused by a server that is not told this.
HISTORY = b"/*M!101100 SET @@session.system_versioning_insert_history = 1 */;\n"


def without_name(text: bytes, database: str) -> bytes:
    """The same CREATE TABLEs without the name of their own database.

    The server writes it before a sequence in a column's default: restored under another name, the copy would count on with
    the sequence of the original.
    """
    own = re.escape(b"`" + database.encode().replace(b"`", b"``") + b"`.")
    pattern = re.compile(rb"'(?:[^'\\]|\\.|'')*'|(%b)|`(?:[^`]|``)*`" % own, re.DOTALL)
    return pattern.sub(lambda found: b"" if found[1] else found[0], text)


class Pieces:
    """Feed it a program's output; `write` gets text, `end` is called where a piece is complete.

    Each piece after the first begins with the settings that the program put before everything else.
    """

    def __init__(self, write: Callable[[bytes], None], end: Callable[[], None], further: bytes = b"") -> None:
        """`further` is said after the program's own settings."""
        self._write = write
        self._end = end
        self._further = further
        self._settings: bytes | None = None
        self._rest = b""
        self._size = 0

    @property
    def has_begun(self) -> bool:
        """Did the program come to its first table? By then its snapshot is taken."""
        return self._settings is not None

    def feed(self, data: bytes) -> None:
        """The next part of the output."""
        text = self._rest + data
        if self._settings is None:
            start = text.find(_DATA)
            if start < 0:
                self._rest = text
                return
            lines = [line for line in text[:start].splitlines(keepends=True) if line.startswith(b"/*")]
            self._settings = b"".join(lines) + self._further
        while self._size + len(text) > PIECE_BYTES:
            at = text.find(_CUT, max(PIECE_BYTES - self._size, 0))
            if at < 0:
                break
            self._write(text[: at + len(_END)])
            self._end()
            self._write(self._settings)
            self._size = 0
            text = text[at + len(_END) :]
        kept = len(_CUT) - 1
        self._write(text[:-kept])
        self._size += max(len(text) - kept, 0)
        self._rest = text[-kept:]

    def finish(self) -> None:
        """Nothing more comes."""
        self._write(self._rest)
        self._rest = b""
        self._end()


class StatementCounter(RowCounter):
    """See RowCounter; for a piece of the archive, or the whole text."""

    def _inside(self, text: bytes, position: int, table: str) -> int:
        """Count the line breaks of a statement."""
        end = text.find(_END, position)
        if end >= 0:
            self.rows[table] += text.count(b"\n", position, end + len(_END))
            self._table = None
            return end + len(_END) - 1
        seen = max(position, len(text) - 1)  # an end may be cut by the part's
        self.rows[table] += text.count(b"\n", position, seen)
        self._rest = text[seen:]
        return -1

    def _outside(self, text: bytes, position: int) -> int:
        """From the line break before the next line that tells something."""
        lines = [
            start
            for start in (text.find(b"\nINSERT INTO `", position), text.find(b"\n" + _DATA, position))
            if start >= 0
        ]
        if not lines:
            self._rest = text[max(position, text.rfind(b"\n")) :]
            return -1
        start = min(lines) + 1
        told = _TABLE.match(text, start)
        if told is not None:
            self.rows.setdefault(_named(told), 0)
            return told.end() - 1
        header = _HEADER.match(text, start)
        if header is not None:
            self._table = _named(header)
            self.rows.setdefault(self._table, 0)
            return header.end()
        if len(text) - start < _LONGEST_HEADER:
            self._rest = text[start - 1 :]
            return -1
        return start


def _named(found: re.Match[bytes]) -> str:
    return found[1].decode("utf-8", "replace").replace("``", "`")
