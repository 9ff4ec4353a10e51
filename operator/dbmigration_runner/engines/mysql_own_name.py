"""Text of the server without the name of its own schema. Pure.

`shop`.`orders` may be a table of a schema or a column of a table, and a table or an alias may be called like its schema: so
what it is, its place tells. The server writes in one way: names in backquotes, a comma between tables as a join.
"""

from __future__ import annotations

import re

from dbmigration_runner.engines.mysql_names import quoted

_NAME = r"`(?:[^`]|``)*`"
_TOKEN = re.compile(
    rf"(?P<text>'(?:[^'\\]|\\.|'')*')|(?P<first>{_NAME})(?P<rest>(?:\.{_NAME})*)|(?P<word>[\w$@]+)|(?P<other>\S)",
    re.DOTALL,
)
_NAMES = re.compile(_NAME)
_BEFORE_A_TABLE = frozenset({"from", "join", "straight_join", "view", "references", "nextval", "lastval", "setval"})
_WITH_A_FROM_OF_THEIR_OWN = frozenset({"extract", "trim", "trim_oracle"})


def without_schema(schema: str, sql: str) -> str:
    """As it would be said within this schema."""
    own = quoted(schema)
    if f"{own}." not in sql:
        return sql
    kept: list[str] = []
    copied = 0
    is_table, word, opened = False, "", [""]  # by what word each bracket was opened
    for found in _TOKEN.finditer(sql):
        match found.lastgroup:
            case "word":
                word = found["word"].lower()
                is_table = word in _BEFORE_A_TABLE and opened[-1] not in _WITH_A_FROM_OF_THEIR_OWN
                continue
            case "other" if found["other"] == "(":
                opened.append(word)
            case "other" if found["other"] == ")":
                del opened[max(len(opened) - 1, 1) :]
                is_table = False
            case "rest":
                names = len(_NAMES.findall(found["rest"]))
                is_call = sql.startswith("(", found.end())
                if found["first"] == own and (names > 1 or (names == 1 and (is_table or is_call))):
                    kept.append(sql[copied : found.start()])
                    copied = found.end("first") + 1
                is_table = False
            case _:
                is_table = False
        word = ""
    return "".join((*kept, sql[copied:]))
