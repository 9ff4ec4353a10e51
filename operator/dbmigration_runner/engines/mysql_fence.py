"""Keeping everybody out of a MariaDB database while it is compared and exchanged, and letting them in again.

The fence is one RENAME TABLE of all tables within their schema: reads fail as writes do, and the ordinary role's rights on its
schema are enough to go back. What was done, and how it is undone, stands in the record. Whoever set it holds two locks of the
server, of the run and of the restore, on two sessions: where both are free, it is gone, and whoever finds the record goes back.
"""
# ruff: noqa: S608  # statements are made of numbers, quoted names and literals of our own

from __future__ import annotations

import contextlib
import itertools
import time
from typing import TYPE_CHECKING

from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.engines import mysql_record as records
from dbmigration_runner.engines.mysql_names import SCHEMA, lock_name, quoted, run_lock, text_literal
from dbmigration_runner.engines.mysql_patience import despite_locks, held
from dbmigration_runner.errors import Refusal, RunnerError, StatementRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from dbmigration_runner.engines.interface import Session
    from dbmigration_runner.engines.mysql_record import Record

LEAVE_SECONDS = 15  # how long whoever holds a table may take to let it go after being ended
WAIT_SECONDS = 1  # for which one try of the rename holds up who comes after it
_SHOWN = 5
_CLIENTS = (
    "SELECT id, user, COMMAND FROM information_schema.PROCESSLIST WHERE db = DATABASE() AND id <> CONNECTION_ID()"
)


def restore_lock(schema: str) -> str:
    """Held by the session that renames, as long as it may."""
    return lock_name(schema, "restore")


def shut(
    desk: Session, record: Record, *, ours: frozenset[int], spared: tuple[str, ...], alive: Callable[[], None]
) -> tuple[str, ...]:
    """Write the record, take the names away, and end the sessions that are there; whose they were.

    Raises RunnerError (SessionStays) where somebody holds a table and cannot be ended, or makes one. Whoever calls it lifts it then.
    """
    despite_locks(desk, lambda: records.begin(desk), alive)
    try:
        records.write(desk, record)
    except StatementRefused as error:
        raise (held(error) if error.is_lock_timeout else error) from None
    ended = _rename_patiently(desk, record, ours, spared, alive)
    if made := strays(desk, record):
        raise RunnerError(
            RunnerReason.SESSION_STAYS,
            f"Somebody makes tables in the database while it is closed: {', '.join(made[:_SHOWN])}. Nothing was restored.",
        )
    # Who is only connected cannot do anything; but a session of a step that read before shall not read on.
    return (*ended, *_end(desk, ours, spared))


def lift(desk: Session, record: Record) -> tuple[str, ...]:
    """Give the tables their names and triggers back, as far as they are not there; what is to be told. Needs the locks.

    Raises StatementRefused.
    """
    schema = str(desk.value("SELECT DATABASE()"))
    there = frozenset(records.tables_of(desk, schema))
    hidden = {
        name: f"{records.OLD}{number}"
        for number, name in enumerate(record.tables, 1)
        if f"{records.OLD}{number}" in there
    }
    triggers = {str(name) for (name,) in desk.rows(f"SELECT TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = {text_literal(schema)}")}  # fmt: skip
    missing = [
        (program, hidden.get(program.table, program.table))
        for program in record.old
        if program.kind == "trigger" and program.name not in triggers
    ]
    if whys := records.make(desk, missing):
        raise StatementRefused("", "; ".join(whys))
    aside = aside_for(hidden, there)
    rename(desk, [*as_pairs(aside), *((quoted(old), quoted(name)) for name, old in hidden.items())])
    records.drop(desk, records.FENCED)
    return clear(desk, aside)


def lift_left_over(session: Session) -> None:
    """Lift the fence of a restore that is gone, with whatever rights this session has; it must be one that may write.

    Raises Refusal (Fenced) where its owner lives, where only a restore may go on, or where this role may not.
    """
    schema = str(session.value(f"SELECT {SCHEMA}"))
    for name in (run_lock(schema), restore_lock(schema)):
        if not session.value(f"SELECT GET_LOCK({text_literal(name)}, 0)"):
            owner = session.value(f"SELECT IS_USED_LOCK({text_literal(name)})")
            raise Refusal(
                RunnerReason.FENCED,
                f"A restore is at work on this database, and lets nobody in: session {owner or 'that just ended'}.",
            )
    record = records.read(session)
    if record is None:
        return
    if record.is_beyond:
        raise Refusal(
            RunnerReason.FENCED,
            f"A restore was lost between its two renames: the old tables stand in {record.kept}, the restored ones are not all in "
            "their place. The run's next attempt at the restore ends it; nothing else may go on here.",
        )
    try:
        lift(session, record)
    except StatementRefused as error:
        raise Refusal(
            RunnerReason.FENCED,
            f"A restore that is gone left the tables under other names, and this role may not name them back ({error.message}). "
            "The run's next attempt at the restore may, or a role with all rights on the database and its triggers' definers.",
        ) from None


def strays(desk: Session, record: Record) -> list[str]:
    """Tables of the fenced schema that are not in the record: the fence keeps nobody from making one."""
    hidden = {f"{records.OLD}{number}" for number in range(1, len(record.tables) + 1)}
    return sorted(set(records.tables_of(desk, str(desk.value("SELECT DATABASE()")))) - hidden)


def aside_for(names: Collection[str], there: frozenset[str]) -> dict[str, str]:
    """New names for tables that somebody made under names that are to be given back. Pure.

    An application that finds no tables at its start makes its own; they must keep neither the old ones out nor the restored.
    """
    taken = there.union(names)  # an earlier one may be among those that get their names back
    free = (name for number in itertools.count(1) if (name := f"{records.STRANGER}{number}") not in taken)
    return dict(zip(sorted(there.intersection(names)), free, strict=False))


def clear(desk: Session, aside: Mapping[str, str]) -> tuple[str, ...]:
    """Drop those that were put aside and are empty; of the others, where they are now.

    Only behind the rename: it waited for whoever was writing, and nobody finds them by their new names.
    """
    told = []
    for name, other in aside.items():
        with contextlib.suppress(StatementRefused):  # it may stay
            if not desk.value(f"SELECT EXISTS (SELECT 1 FROM {quoted(other)})".replace(":", "\\:")):
                desk.run("SET SESSION foreign_key_checks = 0")
                desk.run(f"DROP TABLE {quoted(other)}")
                desk.run("SET SESSION foreign_key_checks = 1")
                continue
        told.append(f"Somebody made a table {name} meanwhile, and wrote to it: it is called {other} now.")
    return tuple(told)


def rename(desk: Session, pairs: list[tuple[str, str]]) -> None:
    """All of them or none."""
    if pairs:
        desk.run("RENAME TABLE " + ", ".join(f"{name} TO {other}" for name, other in pairs))


def as_pairs(names: Mapping[str, str]) -> list[tuple[str, str]]:
    """For rename."""
    return [(quoted(name), quoted(other)) for name, other in names.items()]


def _rename_patiently(
    desk: Session, record: Record, ours: frozenset[int], spared: tuple[str, ...], alive: Callable[[], None]
) -> list[str]:
    """Who holds a table is ended, the spared last; whose sessions they were."""
    pairs = [(quoted(name), quoted(f"{records.OLD}{number}")) for number, name in enumerate(record.tables, 1)]
    desk.run(f"SET SESSION lock_wait_timeout = {WAIT_SECONDS:d}")
    until = time.monotonic() + LEAVE_SECONDS
    ended: list[str] = []
    tries = 0
    while True:
        alive()
        try:
            rename(desk, pairs)
        except StatementRefused as error:
            if not error.is_lock_timeout:
                raise
            if time.monotonic() >= until:
                raise _stays(desk, ours) from None
            tries += 1
            ended += _end(desk, ours, spared if tries == 1 else ())
        else:
            return ended


def _end(desk: Session, ours: frozenset[int], spared: tuple[str, ...]) -> list[str]:
    there = [
        (int(number), str(user))
        for number, user, _ in desk.rows(_CLIENTS)
        if int(number) not in ours and user not in spared and user != "event_scheduler"
    ]
    for number, _ in there:
        with contextlib.suppress(StatementRefused):  # it ended by itself, or may not be ended by us: the rename tells
            desk.run(f"KILL {number:d}")
    return [f"session {number} of {user}" for number, user in there]


def _stays(desk: Session, ours: frozenset[int]) -> RunnerError:
    there = [
        f"session {number} of {user} ({command})"
        for number, user, command in desk.rows(_CLIENTS)
        if int(number) not in ours
    ]
    names = ", ".join(there[:_SHOWN]) or (
        "a session that this role may not see, FLUSH TABLES WITH READ LOCK, or a prepared transaction (XA RECOVER)"
    )
    return RunnerError(
        RunnerReason.SESSION_STAYS,
        f"Somebody holds a table of the database and does not let it go within {LEAVE_SECONDS} s: {names}. End them, or set "
        "adminUrlFrom to a role that may (CONNECTION ADMIN, PROCESS); nothing was changed.",
    )
