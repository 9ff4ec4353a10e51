"""A MariaDB schema as normalised lines: equal for a database and for what a dump of it restores, under whatever name.

Tables are read as the server writes them (SHOW CREATE TABLE, which a dump is made of too): information_schema leaves out
periods, versioning and a good part of the options. Left out are counters (AUTO_INCREMENT), statistics, positions,
definers, and the database's own name where it qualifies an object of its own. Needs no right but those on the tables; what
is hidden from this user, such as another definer's body of a routine, is so before and after.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any

from dbmigration_runner.engines.catalog import DEFINED_AS, Catalog
from dbmigration_runner.engines.mysql_names import quoted
from dbmigration_runner.engines.mysql_own_name import without_schema
from dbmigration_runner.errors import StatementRefused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dbmigration_runner.engines.interface import Session

_NO_SUCH_TABLE = "1146"
_COUNTER = re.compile(r"^(\) ENGINE=\w+) AUTO_INCREMENT=\d+")

_DATABASE = """
SELECT s.DEFAULT_CHARACTER_SET_NAME, s.DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA s
WHERE s.SCHEMA_NAME = DATABASE()
"""
_TABLES = """
SELECT t.TABLE_NAME, t.TABLE_TYPE FROM information_schema.TABLES t
WHERE t.TABLE_SCHEMA = DATABASE() AND t.TABLE_TYPE NOT IN ('VIEW', 'TEMPORARY') ORDER BY 1
"""
_VIEWS = """
SELECT v.TABLE_NAME, v.ALGORITHM, v.SECURITY_TYPE, v.CHECK_OPTION, v.VIEW_DEFINITION FROM information_schema.VIEWS v
WHERE v.TABLE_SCHEMA = DATABASE()
"""
_TRIGGERS = """
SELECT g.TRIGGER_NAME, g.EVENT_OBJECT_TABLE, g.ACTION_TIMING, g.EVENT_MANIPULATION, g.ACTION_ORDER, g.SQL_MODE,
       g.ACTION_STATEMENT
FROM information_schema.TRIGGERS g WHERE g.TRIGGER_SCHEMA = DATABASE()
"""
_ROUTINES = """
SELECT r.ROUTINE_TYPE, r.ROUTINE_NAME, r.DTD_IDENTIFIER, r.IS_DETERMINISTIC, r.SQL_DATA_ACCESS, r.SECURITY_TYPE,
       r.SQL_MODE, r.ROUTINE_DEFINITION
FROM information_schema.ROUTINES r WHERE r.ROUTINE_SCHEMA = DATABASE()
"""
_PARAMETERS = """
SELECT p.ROUTINE_TYPE, p.SPECIFIC_NAME, p.ORDINAL_POSITION, p.PARAMETER_MODE, p.PARAMETER_NAME, p.DTD_IDENTIFIER
FROM information_schema.PARAMETERS p WHERE p.SPECIFIC_SCHEMA = DATABASE() AND p.ORDINAL_POSITION > 0
"""
_EVENTS = """
SELECT e.EVENT_NAME, e.EVENT_TYPE, e.EXECUTE_AT, e.INTERVAL_VALUE, e.INTERVAL_FIELD, e.STARTS, e.ENDS, e.STATUS,
       e.ON_COMPLETION, e.TIME_ZONE, e.SQL_MODE, e.EVENT_DEFINITION
FROM information_schema.EVENTS e WHERE e.EVENT_SCHEMA = DATABASE()
"""


def catalog(session: Session) -> Catalog:
    """Read the schema of the session's database.

    Raises StatementRefused and SessionLost, as any question of a session does.
    """
    schema = str(session.value("SELECT DATABASE()"))
    items = [f"database {_said(row)}" for row in session.rows(_DATABASE)]
    for name, kind in session.rows(_TABLES):
        word = "sequence" if kind == "SEQUENCE" else "table"
        items += [f"{word} {quoted(name)} {line}" for line in _lines(session, word, name, schema)]
    for name, algorithm, security, check, definition in session.rows(_VIEWS):
        items.append(
            f"view {quoted(name)} {_said((algorithm, security, check))}{DEFINED_AS}{without_schema(schema, definition or '')}"
        )
    for name, table, *facts, body in session.rows(_TRIGGERS):
        items.append(f"trigger {quoted(name)} on {quoted(table)} {_said(facts)} {_hash(body)}")
    for kind, name, *facts, body in session.rows(_ROUTINES):
        items.append(f"{kind.lower()} {quoted(name)} {_said(facts)} {_hash(body)}")
    for kind, name, *facts in session.rows(_PARAMETERS):
        items.append(f"parameter of {kind.lower()} {quoted(name)} {_said(facts)}")
    for name, *facts, body in session.rows(_EVENTS):
        items.append(f"event {quoted(name)} {_said(facts)} {_hash(body)}")
    return Catalog(tuple(sorted(items)))


def _lines(session: Session, word: str, name: str, schema: str) -> Iterator[str]:
    """Each line of its CREATE TABLE: a column, a key, a constraint, its options, a partition. A sequence has one."""
    try:
        written = str(session.rows(f"SHOW CREATE {word} {_as_text(quoted(name))}")[0][1])
    except StatementRefused as error:
        if error.code == _NO_SUCH_TABLE:  # dropped since it was listed
            return
        raise
    first, *lines = without_schema(schema, written).split("\n")
    if not lines:
        yield first.partition(quoted(name))[2].strip()
    for line in lines:
        yield _COUNTER.sub(r"\1", line).strip().removeprefix("(").rstrip(",")


def _as_text(name: str) -> str:
    """A session takes `:name` for a parameter: it must not in an identifier."""
    return name.replace(":", "\\:")


def _said(facts: Any) -> str:
    return " ".join("-" if fact is None else str(fact) for fact in facts)


def _hash(body: str | None) -> str:
    """A body is long and may be anything."""
    return hashlib.sha256((body or "").strip().encode()).hexdigest()


def without_events(found: Catalog) -> Catalog:
    """What is loaded where a backup is tried or restored: events are not, for the server would run them."""
    return Catalog(tuple(item for item in found.items if not item.startswith("event ")))
