"""An SQLite schema as normalised lines: from the pragmas, and from the stored SQL only where no pragma tells.

ALTER TABLE edits the stored text of CREATE TABLE in place, so the same table may be written in many ways: columns, keys
and indexes are read from the pragmas; CHECKs and generated columns stand in the text alone, which is taken without its
spacing. Order of columns, and SQLite's own tables, are left out.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dbmigration_runner.engines.catalog import DEFINED_AS, Catalog

if TYPE_CHECKING:
    from dbmigration_runner.engines.interface import Session

_TOKEN = re.compile(
    r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\]|--[^\n]*|/\*.*?\*/|\s+|\w+|.""", re.DOTALL
)
_COLUMNS = """
SELECT m.name, c.name, c.type, c."notnull", c.dflt_value, c.pk, c.hidden
FROM sqlite_master m JOIN pragma_table_xinfo(m.name) c WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
"""
_KEYS = """
SELECT m.name, group_concat(f."from" || '>' || coalesce(f."to", ''), ','), f."table", f.on_update, f.on_delete
FROM sqlite_master m JOIN (SELECT m2.name AS owner, k.* FROM sqlite_master m2 JOIN pragma_foreign_key_list(m2.name) k
                           WHERE m2.type = 'table' ORDER BY m2.name, k.id, k.seq) f ON f.owner = m.name
WHERE m.type = 'table' GROUP BY m.name, f.id, f."table", f.on_update, f.on_delete
"""
_INDEXES = """
SELECT m.name, i."unique", i.origin, i.name,
       (SELECT group_concat(part, ',') FROM (
          SELECT coalesce(x.name, '?') || ' ' || x.coll || CASE x."desc" WHEN 1 THEN ' desc' ELSE '' END AS part
          FROM pragma_index_xinfo(i.name) x WHERE x.key = 1 ORDER BY x.seqno)),
       (SELECT s.sql FROM sqlite_master s WHERE s.type = 'index' AND s.name = i.name)
FROM sqlite_master m JOIN pragma_index_list(m.name) i WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
"""
_OTHERS = "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE type IN ('view', 'trigger')"
_TEXTS = "SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
_ORIGINS = {"pk": "primary key", "u": "unique constraint"}
_HIDDEN = {1: "hidden", 2: "generated virtual", 3: "generated stored"}
# What only the text of CREATE TABLE tells.
_TELLING = (
    "CHECK",
    "GENERATED",
    "AUTOINCREMENT",
    "DEFERRABLE",
    "STRICT",
    "ROWID",
    "COLLATE",
    "VIRTUAL",
    "CONFLICT",
    "AS",
)


def catalog(session: Session) -> Catalog:
    """Read the schema. Raises StatementRefused and SessionLost, as any question of a session does."""
    items: list[str] = []
    for name, sql in session.rows(_TEXTS):
        text = spaceless(sql)
        telling = set(_TELLING) & set(re.findall(r"\w+", _without_literals(text).upper()))
        items.append(f"table {name}" + (f"{DEFINED_AS}{text}" if telling else ""))
    for table, column, kind, not_null, default, key, hidden in session.rows(_COLUMNS):
        words = [f"column {table}.{column}", str(kind).lower(), "not null" if not_null else "", _HIDDEN.get(hidden, "")]
        words += [f"key {key}" if key else "", f"default {default}" if default is not None else ""]
        items.append(" ".join(word for word in words if word))
    for table, columns, target, on_update, on_delete in session.rows(_KEYS):
        items.append(f"foreign key {table} {columns} of {target} on update {on_update} on delete {on_delete}".lower())
    for table, unique, origin, name, parts, sql in session.rows(_INDEXES):
        told = f"index {name}" if origin == "c" else _ORIGINS.get(origin, origin)  # others' names are made up
        text = f"{DEFINED_AS}{spaceless(sql)}" if sql else ""
        items.append(f"{told} on {table} ({parts}){' unique' if unique else ''}{text}")
    items += [
        f"{kind} {name} on {table}{DEFINED_AS}{spaceless(sql)}" for kind, name, table, sql in session.rows(_OTHERS)
    ]
    return Catalog(tuple(sorted(items)))


def spaceless(sql: str) -> str:
    """SQL in one line, without comments, and with spaces between words only; literals and names stay as they are."""
    written: list[str] = []
    for token in _TOKEN.findall(sql):
        if token.isspace() or token.startswith(("--", "/*")):
            continue
        if written and _is_word(written[-1]) and _is_word(token):
            written.append(" ")
        written.append(token.replace("\n", "\\n"))
    return "".join(written)


def _is_word(token: str) -> bool:
    return token[0].isalnum() or token[0] in "_'\"`["


def _without_literals(sql: str) -> str:
    return re.sub(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\]""", " ", sql)
