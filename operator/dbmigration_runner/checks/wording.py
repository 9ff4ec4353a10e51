"""Does SQL that a server printed twice say the same, only in other words?

Looser than what the catalogs call equal: it decides between a warning and a difference, never whether two schemas are the
same. What is overlooked here: case and quotes of names, brackets that change nothing, casts of literals, and in a CREATE
TABLE the order of its parts. Knows no engine.
"""

from __future__ import annotations

import re
from typing import TypeAlias

_TOKEN = re.compile(
    r"""[EeNn]?'(?:[^']|'')*'|"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[A-Za-z_][^\]]*\]|\s+|::|\w+|\W""", re.DOTALL
)
_OPENING, _CLOSING = ("(",), (")",)
_CONNECTIVES = ("and", "or")
_TYPE_WORDS = ("character varying", "double precision", "timestamp without time zone", "timestamp with time zone")
_CAST = re.compile(
    rf"('(?:[^']|'')*')::(?:{'|'.join(map(re.escape, _TYPE_WORDS))}|[\w.]+)(?:\(\d+(?:,\d+)?\))?(?:\[\])?",
    re.IGNORECASE,
)
_BRACKETED = re.compile(r"(?<![\w\"])\(('(?:[^']|'')*')\)")
_CASTS = 3
_LONGEST = 200_000

Part: TypeAlias = "str | list[Part]"


def is_reworded(one: str, other: str) -> bool:
    """Do they say the same?"""
    if max(len(one), len(other)) > _LONGEST:
        return False
    try:
        return _loosely(one) == _loosely(other)
    except RecursionError:
        return False


def _loosely(sql: str) -> str:
    bare = sql
    for _ in range(_CASTS):  # `('x'::character varying)::text` has two
        bare = _BRACKETED.sub(r"\1", _CAST.sub(r"\1", bare))
    tokens = [_plain(token) for token in _TOKEN.findall(bare) if not token.isspace()]
    parts = _nested(tokens)
    if tokens[:2] == ["create", "table"]:
        parts = [_in_order(part) if isinstance(part, list) else part for part in parts]
    return _written(parts)


def _plain(token: str) -> str:
    if token[0] in '"`[' and len(token) > 1:
        inner = token[1:-1].replace(token[-1] * 2, token[-1])
        return inner.lower() if re.fullmatch(r"\w+", inner) else f'"{inner}"'
    return token if token[0] == "'" or token[-1] == "'" else token.lower()


def _nested(tokens: list[str]) -> list[Part]:
    """Brackets as lists; one that is never closed is a word like any other."""
    levels: list[list[Part]] = [[]]
    for token in tokens:
        if token in _OPENING:
            levels.append([])
        elif token in _CLOSING and len(levels) > 1:
            closed = levels.pop()
            levels[-1].append(_bracket(closed))
        else:
            levels[-1].append(token)
    while len(levels) > 1:
        rest = levels.pop()
        levels[-1] += ["(", *rest]
    return _flattened(levels[0])


def _bracket(inner: list[Part]) -> Part:
    """A bracket, without those in it that change nothing."""
    inner = _flattened(inner)
    while len(inner) == 1 and isinstance(inner[0], list):
        inner = inner[0]
    return inner


def _flattened(parts: list[Part]) -> list[Part]:
    """`((a > 1) and (b)) and c` as `a > 1 and b and c`; brackets around what holds `or` beside `and` stay."""
    own = [word for word in _CONNECTIVES if word in parts]
    if len(own) != 1 or "between" in parts or "case" in parts:
        return parts
    written: list[Part] = []
    for number, part in enumerate(parts):
        alone = (number == 0 or parts[number - 1] in own) and (number + 1 == len(parts) or parts[number + 1] in own)
        if isinstance(part, list) and alone and "," not in part:
            inner = [word for word in _CONNECTIVES if word in part]
            written += part if inner in ([], own) and not (inner and "between" in part) else [part]
        else:
            written.append(part)
    return written


def _in_order(parts: list[Part]) -> list[Part]:
    """A list of columns and constraints, sorted."""
    items: list[list[Part]] = [[]]
    for part in parts:
        if part == ",":
            items.append([])
        else:
            items[-1].append(part)
    return [word for item in sorted(items, key=_written) for word in (*item, ",")]


def _written(parts: list[Part]) -> str:
    return " ".join(part if isinstance(part, str) else f"( {_written(part)} )" for part in parts)
