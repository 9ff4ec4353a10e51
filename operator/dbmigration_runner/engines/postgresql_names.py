"""Names, literals and lock keys as PostgreSQL wants them; shared by our sessions and those of the application."""
# ruff: noqa: S608  # statements are made of numbers, quoted names and literals of our own

from __future__ import annotations

import hashlib


def _key(words: str) -> int:
    """A lock key of 62 bits: an advisory lock is of its database alone, so the words need no database in them."""
    return int.from_bytes(hashlib.sha256(words.encode()).digest()[:8], "big") >> 2


RUN_KEY = _key("dbmigration/run")  # exclusive: one migration of a database at a time
GUEST_KEY = _key("dbmigration/guest")  # shared: every connection of a migrating env.py


DUMP_NAME = "dbmigration/backup"  # application_name of a dump's own sessions
ADVISORY = (
    "locktype = 'advisory' AND granted AND objsubid = 1 AND database ="
    " (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())"
)


def digest(database: str) -> str:
    """Tells databases of one server apart in what is written about them."""
    return hashlib.sha256(database.encode()).hexdigest()[:12]


def restore_key(database: str) -> int:
    """Held outside a database whose name is exchanged, by who exchanges it: nobody can be inside at that moment."""
    return _key(f"dbmigration/restore/{database}")


def advisory_lock(key: int) -> str:
    """A query for pid and application_name of the other sessions that hold this key in the current database."""
    return (
        "SELECT l.pid, a.application_name FROM pg_catalog.pg_locks l"
        " LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid"
        f" WHERE {ADVISORY} AND l.classid = {key >> 32:d} AND l.objid = {key & 0xFFFFFFFF:d}"
        " AND l.pid <> pg_catalog.pg_backend_pid() ORDER BY l.pid"
    )


def guests() -> str:
    """A query for pid and application_name of what works in the current database for a step that holds the run's lock.

    A pg_dump takes no lock of ours. Its Pod gone, its session may live on for as long as it waits for a table, and keeps all
    the others from being altered.
    """
    return (
        f"({advisory_lock(GUEST_KEY)}) UNION ALL SELECT pid, application_name FROM pg_catalog.pg_stat_activity"
        f" WHERE datname = pg_catalog.current_database() AND application_name = {text_literal(DUMP_NAME)}"
        " AND pid <> pg_catalog.pg_backend_pid()"
    )


def quoted(name: str) -> str:
    """An identifier."""
    return '"' + name.replace('"', '""') + '"'


def text_literal(text: str) -> str:
    """A string; a backslash means nothing special with standard_conforming_strings, which is on since 9.1."""
    return "'" + text.replace("'", "''") + "'"


def parts(name: str) -> tuple[str | None, str]:
    """`[schema.]name` in two."""
    schema, _, last = name.rpartition(".")
    return (schema or None, last)
