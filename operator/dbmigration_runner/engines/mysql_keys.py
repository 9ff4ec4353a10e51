"""The keys that a table can do without while its rows are loaded: taken out of CREATE TABLE, and given back by ALTER TABLE. Pure.

Built afterwards a key is sorted once instead of grown row by row, and pieces that are loaded at the same time do not wait for
each other in it. Only whole lines of the server's own are moved, in their order, and only of plain InnoDB tables; whether the
schema is the same afterwards shows the probe.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_CREATE = re.compile(rb"CREATE TABLE (`(?:[^`]|``)*`) \(\n\Z")
_MOVED = re.compile(rb"  (?:(?:FULLTEXT |SPATIAL )?KEY `|CONSTRAINT `(?:[^`]|``)*` FOREIGN KEY )")
_FIRST_COLUMN = re.compile(rb"  KEY `(?:[^`]|``)*` \((`(?:[^`]|``)*`)")
_COUNTED = re.compile(rb"  (`(?:[^`]|``)*`) .* AUTO_INCREMENT")
_OF_ONE_TABLE = b"character_set_client"  # in small letters, as it stands before each of them
_PLAIN = b") ENGINE=InnoDB"
_OTHERS = (b"WITH SYSTEM VERSIONING", b"PERIOD FOR ")  # to alter those is an act of its own
_ENOUGH = (b"  PRIMARY KEY (", b"  UNIQUE KEY `")


def apart(text: bytes) -> tuple[bytes, bytes]:
    """mariadb-dump's tables, without what is only needed when the rows are there, and that: a statement a table."""
    tables: list[bytes] = []
    keys: list[bytes] = []
    head = text[: text.find(b"\nCREATE ") + 1]
    settings = [line for line in head.splitlines(keepends=True) if line.startswith(b"/*") and _OF_ONE_TABLE not in line]
    lines = iter(text.splitlines(keepends=True))
    for line in lines:
        found = _CREATE.match(line)
        if found is None:
            tables.append(line)
            continue
        body, end = _body(lines)
        kept, moved = _divided(body, end)
        tables += [line, *_listed(kept), end]
        if moved:
            keys.append(b"ALTER TABLE %b\n%b;\n" % (found[1], b",\n".join(b"  ADD " + key.strip() for key in moved)))
    return b"".join(tables), b"".join([*settings, *keys]) if keys else b""


def _body(lines: Iterator[bytes]) -> tuple[list[bytes], bytes]:
    """The lines between the parentheses, without their commas, and the line that ends them."""
    body: list[bytes] = []
    for line in lines:
        if line.startswith(b")"):
            return body, line
        body.append(line.rstrip(b"\n").removesuffix(b","))
    raise ValueError("a CREATE TABLE does not end")


def _divided(body: list[bytes], end: bytes) -> tuple[list[bytes], list[bytes]]:
    if not end.startswith(_PLAIN) or any(word in line for word in _OTHERS for line in (*body, end)):
        return body, []
    needed = _key_of_the_counter(body)
    moved = [line for line in body if _MOVED.match(line) and line is not needed]
    return [line for line in body if line not in moved], moved


def _key_of_the_counter(body: list[bytes]) -> bytes | None:
    """A column that counts by itself must lead a key from the first; usually it is the primary one."""
    for counted in filter(None, map(_COUNTED.match, body)):
        if any(line.startswith(_ENOUGH) and b"(%b" % counted[1] in line for line in body):
            return None
        for line in body:
            led = _FIRST_COLUMN.match(line)
            if led is not None and led[1] == counted[1]:
                return line
    return None


def _listed(lines: list[bytes]) -> list[bytes]:
    return [line + (b",\n" if number < len(lines) else b"\n") for number, line in enumerate(lines, 1)]
