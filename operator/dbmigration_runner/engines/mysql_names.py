"""Names, literals and lock names as MariaDB and MySQL want them; shared by our sessions and those of the application.

GET_LOCK knows one space of names for a whole server and no shared locks. So the schema is part of every name, and each
connection that must be found again holds a name of its own, which ends with its connection's number.
"""
# ruff: noqa: S608  # statements are made of numbers, quoted names and literals of our own

from __future__ import annotations

import hashlib

LONGEST_LOCK_NAME = 64
SYSTEM_SCHEMAS = ("information_schema", "mysql", "performance_schema", "sys")

# As the server compares names: where it keeps them in lower case, it takes them in any.
SCHEMA = "IF(@@lower_case_table_names = 0, DATABASE(), LOWER(DATABASE()))"


def lock_name(schema: str, purpose: str) -> str:
    """The name of a lock on a schema; MySQL takes 64 characters at most."""
    name = f"dbmigration/{hashlib.sha256(schema.encode()).hexdigest()[:20]}/{purpose}"
    if len(name) > LONGEST_LOCK_NAME:
        raise AssertionError(f"{name} is longer than a lock's name may be")
    return name


def run_lock(schema: str) -> str:
    """Held by one at a time: whoever migrates the schema, or looks after a loss."""
    return lock_name(schema, "run")


def owner_lock(schema: str, application_name: str) -> str:
    """Held beside it: tells whose run it is, for a session has no name that others could read."""
    return lock_name(schema, f"owner/{hashlib.sha256(application_name.encode()).hexdigest()[:12]}")


def guest_prefix(schema: str) -> str:
    """A migrating connection of env.py holds this and its own number."""
    return lock_name(schema, "guest/")


def reader_prefix(schema: str) -> str:
    """The same for one that only reads: it is ended with its step, and waited for by nobody."""
    return lock_name(schema, "reader/")


def holding(prefix: str) -> str:
    """A query for the numbers of the sessions that hold `prefix` and their own number.

    Without the right PROCESS the list is of one's own user's sessions: guests are of the user in the URL, as we are.
    """
    return (
        "SELECT p.id FROM information_schema.PROCESSLIST p"
        f" WHERE IS_USED_LOCK(CONCAT({text_literal(prefix)}, p.id)) = p.id AND p.id <> CONNECTION_ID() ORDER BY p.id"
    )


def quoted(name: str) -> str:
    """An identifier."""
    return "`" + name.replace("`", "``") + "`"


def text_literal(text: str) -> str:
    """A string in hexadecimal digits: what a backslash or a quote means depends on the session's sql_mode."""
    return f"_utf8mb4 X'{text.encode().hex()}'" if text else "''"


def parts(name: str) -> tuple[str | None, str]:
    """`[schema.]name` in two."""
    schema, _, last = name.rpartition(".")
    return (schema or None, last)
