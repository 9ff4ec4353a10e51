"""What belongs to a MariaDB database and stands in no dump of it: its character set, comment, grants, and the server's ways."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.engines.dump import Setting, Surroundings
from dbmigration_runner.engines.mysql_names import quoted
from dbmigration_runner.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dbmigration_runner.engines.interface import Session

_SCHEMA = """
SELECT s.DEFAULT_CHARACTER_SET_NAME, s.DEFAULT_COLLATION_NAME, s.SCHEMA_COMMENT
FROM information_schema.SCHEMATA s WHERE s.SCHEMA_NAME = DATABASE()
"""
_DEFINERS = """
SELECT DEFINER FROM information_schema.VIEWS WHERE TABLE_SCHEMA = DATABASE()
UNION SELECT DEFINER FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE()
UNION SELECT DEFINER FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = DATABASE()
UNION SELECT DEFINER FROM information_schema.EVENTS WHERE EVENT_SCHEMA = DATABASE() ORDER BY 1
"""
# As far as the role sees it: everybody's where it may read the server's own tables, else its own.
_GRANTS = """
SELECT GRANTEE, group_concat(PRIVILEGE_TYPE ORDER BY PRIVILEGE_TYPE SEPARATOR ', '), max(IS_GRANTABLE)
FROM information_schema.SCHEMA_PRIVILEGES WHERE DATABASE() LIKE TABLE_SCHEMA GROUP BY GRANTEE ORDER BY GRANTEE
"""
# A table, an index or a restored event may be another one where these are.
_VARIABLES = (
    "character_set_server",
    "collation_server",
    "event_scheduler",
    "explicit_defaults_for_timestamp",
    "innodb_default_row_format",
    "innodb_page_size",
    "lower_case_table_names",
    "max_allowed_packet",
    "sql_mode",
    "system_versioning_alter_history",
    "time_zone",
)
_GRANT = re.compile(r"GRANT (.*) ON (?:(\*)|`((?:[^`]|``)*)`)\.\* TO ", re.DOTALL)
# A routine's name is seen with any of these.
_ROUTINES = ("EXECUTE", "CREATE ROUTINE", "ALTER ROUTINE")
_NEEDED = ("SELECT", "SHOW VIEW", "TRIGGER", "EVENT")


def read(session: Session) -> Surroundings:
    """Of the session's database; anybody may read this, though not everybody sees all of it."""
    encoding, collate, comment = session.rows(_SCHEMA)[0]
    names = ", ".join(f"'{name}'" for name in _VARIABLES)
    variables = session.rows(f"SHOW GLOBAL VARIABLES WHERE Variable_name IN ({names})")
    return Surroundings(
        owner="",
        encoding=str(encoding),
        collate=str(collate),
        ctype="",
        comment=str(comment) if comment else None,
        grants=tuple(
            f"GRANT {rights} ON the database TO {grantee}" + (" WITH GRANT OPTION" if grantable == "YES" else "")
            for grantee, rights, grantable in session.rows(_GRANTS)
        ),
        settings=tuple(Setting(f"{name}={value}") for name, value in variables),
        definers=tuple(str(definer) for (definer,) in session.rows(_DEFINERS)),
    )


def refuse_narrow_rights(session: Session) -> None:
    """The server hides what a role has no right to: a backup of what it shows would lack that, and nobody would know.

    Raises Refusal (InsufficientPrivilege).
    """
    database = str(session.value("SELECT DATABASE()"))
    held = rights(database, (str(grant) for (grant,) in session.rows("SHOW GRANTS")))
    missing = [right for right in _NEEDED if right not in held]
    if not held.intersection(_ROUTINES):
        missing.append(_ROUTINES[0])
    if missing:
        user = str(session.value("SELECT CURRENT_USER()"))
        raise Refusal(
            RunnerReason.INSUFFICIENT_PRIVILEGE,
            f"The role {user} does not hold {', '.join(missing)} on the whole database {database}. The server hides what it has no "
            f"right to, so a backup by it could lack tables, triggers, routines or events. GRANT {', '.join(missing)} ON "
            f"{quoted(database)}.* to it, or set adminUrlFrom.",
        )


def rights(database: str, grants: Iterable[str]) -> frozenset[str]:
    """What is granted on all of a database, by the lines of SHOW GRANTS. Pure."""
    found: set[str] = set()
    for grant in grants:
        matched = _GRANT.match(grant)
        if matched is None or not (matched[2] or _covers(matched[3].replace("``", "`"), database)):
            continue
        named = {right.strip().upper() for right in matched[1].split(",")}
        found |= {*_NEEDED, *_ROUTINES, "LOCK TABLES"} if named & {"ALL PRIVILEGES", "ALL"} else named
    return frozenset(found)


def _covers(pattern: str, database: str) -> bool:
    """A grant's database is a pattern as LIKE takes one."""
    parts = re.findall(r"\\.|.", pattern, re.DOTALL)
    wild = {"%": ".*", "_": "."}
    expression = "".join(wild.get(part, re.escape(part[-1])) for part in parts)
    return re.fullmatch(expression, database, re.DOTALL | re.IGNORECASE) is not None
