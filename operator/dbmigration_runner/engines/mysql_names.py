"""Names, literals and lock names as MariaDB and MySQL want them; shared by our sessions and those of the application.

GET_LOCK knows one space of names for a whole server and no shared locks. So the schema is part of every name, and there
are as many names for connections that must be found again as connections are expected. The list of processes would not
do: without the right PROCESS it leaves out who runs another user's routine, and that may be our own session.
"""

from __future__ import annotations

import hashlib

LONGEST_LOCK_NAME = 64
LONGEST_NAME = 64
PLACES = 64  # connections of one env.py at a time
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


def guest_locks(schema: str) -> tuple[str, ...]:
    """A migrating connection of env.py holds the first of them that is free."""
    return tuple(lock_name(schema, f"guest/{number}") for number in range(1, PLACES + 1))


def reader_locks(schema: str) -> tuple[str, ...]:
    """The same for one that only reads: it is ended with its step, and waited for by nobody."""
    return tuple(lock_name(schema, f"reader/{number}") for number in range(1, PLACES + 1))


def holders(names: tuple[str, ...]) -> str:
    """A query for one row: the numbers of the sessions that hold these locks, NULL where nobody does."""
    return "SELECT " + ", ".join(f"IS_USED_LOCK({text_literal(name)})" for name in names)


def take_first(names: tuple[str, ...]) -> str:
    """A query that takes the first of these locks that is free, for one row: its place, NULL where none is."""
    tries = " ".join(f"WHEN GET_LOCK({text_literal(name)}, 0) = 1 THEN {place}" for place, name in enumerate(names, 1))
    return f"SELECT CASE {tries} END"


def quoted(name: str) -> str:
    """An identifier."""
    return "`" + name.replace("`", "``") + "`"


def text_literal(text: str) -> str:
    """A string in hexadecimal digits: what a backslash or a quote means depends on the session's sql_mode."""
    return f"_utf8mb4 X'{text.encode().hex()}'" if text else "''"


def kept_name(database: str, keep_as: str) -> str:
    """`<database>_<keep_as>`, of at most 64 characters: what tells it from others stands at the end."""
    return database[: max(LONGEST_NAME - len(keep_as) - 1, 0)] + "_" + keep_as


def plain_literal(text: str) -> str:
    """A string where the grammar takes no other, as behind COMMENT; for a session without a sql_mode."""
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def parts(name: str) -> tuple[str | None, str]:
    """`[schema.]name` in two."""
    schema, _, last = name.rpartition(".")
    return (schema or None, last)
