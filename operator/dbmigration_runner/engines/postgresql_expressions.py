"""One spelling for SQL that PostgreSQL's deparser spells in two ways.

What it prints is not always a fixed point: read back and printed again, as a dump and its restore do, two shapes change
(seen with 18; the parser has done both since 9.5):

    (ARRAY['a'::character varying])::text[]      becomes   ARRAY[('a'::character varying)::text]
    (((x >= 1) AND (x <= 2)) AND (y > 0))        becomes   ((x >= 1) AND (x <= 2) AND (y > 0))

Both are brought into the second shape. Nothing else may be changed here: two different expressions must stay different.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_TOKEN = re.compile(r"""[Ee]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|"(?:[^"]|"")*"|\s+|::|\w+|.""", re.DOTALL)
_CLOSING = {"(": ")", "[": "]"}
_CONNECTIVES = ("AND", "OR")


@dataclass
class _Group:
    """What stands between two brackets, and what the brackets around it must know of it."""

    opening: str
    parts: list[str | _Group] = field(default_factory=list)
    inner: str = ""
    connective: str | None = None  # of all operands, where it is one
    elements: tuple[str, ...] | None = None  # where this is `[…]`, or `(ARRAY[…])` and nothing else

    def __str__(self) -> str:
        return f"{self.opening}{self.inner}{_CLOSING.get(self.opening, '')}"


def canonical(expression: str) -> str:
    """The expression in one line; runs of white space are one space, outside of literals."""
    level = _Group("")
    enclosing: list[_Group] = []
    for token in _TOKEN.findall(expression):
        if token in _CLOSING:
            enclosing.append(level)
            level = _Group(token)
        elif enclosing and token == _CLOSING[level.opening]:
            closed = _close(level)
            level = enclosing.pop()
            level.parts.append(closed)
        else:
            level.parts.append(" " if token.isspace() else token)
    for outer in reversed(enclosing):  # never closed: not what the deparser prints, so kept as it is
        outer.parts.append(str(_close(level)))
        level = outer
    return str(_close(level)).strip().replace("\n", "\\n")


def _close(group: _Group) -> _Group:
    parts = _with_casts_in_elements(group.parts)
    words = [number for number, part in enumerate(parts) if part in _CONNECTIVES]
    if words and len({str(parts[number]) for number in words}) == 1 and "BETWEEN" not in parts:
        group.connective = str(parts[words[0]])
        first = [part for part in parts[: words[0]] if part != " "]
        if len(first) == 1 and isinstance(first[0], _Group) and first[0].connective == group.connective:
            parts = [first[0].inner, " ", *parts[words[0] :]]
    group.parts = parts
    group.inner = "".join(map(str, parts))
    if group.opening == "[":
        group.elements = _split(parts)
    elif parts[:1] == ["ARRAY"] and len(parts[1:]) == 1 and isinstance(parts[1], _Group):
        group.elements = parts[1].elements
    return group


def _split(parts: list[str | _Group]) -> tuple[str, ...]:
    elements = [""]
    for part in parts:
        if part == ",":
            elements.append("")
        else:
            elements[-1] += str(part)
    return tuple(element.strip() for element in elements)


def _with_casts_in_elements(parts: list[str | _Group]) -> list[str | _Group]:
    written: list[str | _Group] = []
    position = 0
    while position < len(parts):
        part = parts[position]
        cast = _array_type(parts, position + 1) if isinstance(part, _Group) and part.opening == "(" else None
        if isinstance(part, _Group) and part.elements is not None and cast is not None:
            kind, position = cast
            inside = ", ".join(f"({element})::{kind}" for element in part.elements)
            written += ["ARRAY", _Group("[", inner=inside)]
        else:
            written.append(part)
            position += 1
    return written


def _array_type(parts: list[str | _Group], position: int) -> tuple[str, int] | None:
    """The element's type in `::type[]` at this position, and the position after it; None where nothing such is."""
    if position >= len(parts) or parts[position] != "::":
        return None
    for end in range(position + 1, len(parts)):
        part = parts[end]
        if isinstance(part, _Group) and part.opening == "[":
            return ("".join(map(str, parts[position + 1 : end])), end + 1) if not part.inner else None
        if not isinstance(part, _Group) and not re.fullmatch(r"\w+|\.| |\".*\"", part, re.DOTALL):
            return None
    return None
