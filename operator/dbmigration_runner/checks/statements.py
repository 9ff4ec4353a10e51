"""A statement as it may be shown to people: what it does, and none of the values in it.

Pure, and knows no engine: whether the double quote begins a name or a value is told. What cannot be read safely is left
out rather than shown.
"""

from __future__ import annotations

import re

SHOWN_CHARACTERS = 200
_READ_CHARACTERS = 8000  # of a longer one the rest would be cut anyhow
_VALUE = "?"
_DOLLARS = r"\$(?P<tag>[A-Za-z_]*)\$.*?(?:\$(?P=tag)\$|\Z)"
_SINGLE = r"(?:\b[EeNnBbXx]|\b_\w+\s*)?'(?:[^']|'')*(?:'|\Z)"
_DOUBLE = r'"(?:[^"]|"")*(?:"|\Z)'
_NAME = r"`(?:[^`]|``)*(?:`|\Z)"
_COMMENT = r"--[^\n]*|#[^\n]*|/\*.*?(?:\*/|\Z)"
_NUMBER = r"(?<![\w.$])(?:0[xX][0-9a-fA-F]+|\d[\w.]*)"
# With a backslash before a quote it depends on the server's settings where a value ends: so all up to the last quote goes.
_UNSURE = re.compile(r"\\['\"]")
_FIRST_TO_LAST = re.compile(r"['\"].*['\"]", re.DOTALL)
_FIRST_TO_END = re.compile(r"['\"].*", re.DOTALL)
_OF_THE_SCHEMA = re.compile(r"\s*(?:CREATE|ALTER|DROP|RENAME|TRUNCATE|COMMENT)\b", re.IGNORECASE)
_WITH_A_QUERY = re.compile(r"\b(?:SELECT|VALUES|INSERT)\b", re.IGNORECASE)


def shown(statement: str, *, name_quote: str) -> str:
    """One line without values. Numbers are kept where they belong to a schema: VARCHAR(20) is no data."""
    text = statement[:_READ_CHARACTERS]
    if _UNSURE.search(text):
        was_cut = len(statement) > _READ_CHARACTERS
        text = (_FIRST_TO_END if was_cut else _FIRST_TO_LAST).sub(_VALUE, text)
    of_the_schema = _OF_THE_SCHEMA.match(text) is not None and _WITH_A_QUERY.search(text) is None
    names = _NAME if name_quote != '"' else f"{_NAME}|{_DOUBLE}"
    values = [_DOLLARS, _SINGLE] if name_quote == '"' else [_DOLLARS, _SINGLE, _DOUBLE]
    numbers = [] if of_the_schema else [_NUMBER]
    pattern = re.compile(
        f"(?P<comment>{_COMMENT})|(?P<name>{names})|(?P<value>{'|'.join([*values, *numbers])})", re.DOTALL
    )
    line = " ".join(pattern.sub(_instead, text).split())
    return line if len(line) <= SHOWN_CHARACTERS else line[: SHOWN_CHARACTERS - 1] + "…"


def _instead(found: re.Match[str]) -> str:
    if found["name"] is not None:
        return found[0]
    return _VALUE if found["value"] is not None else " "
