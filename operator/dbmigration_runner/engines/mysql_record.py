"""What a restore writes down in the database that it fences: whose it is, each table's number, and the text of every program.

One table of ours, in the schema itself: so whoever finds it with nothing but the ordinary URL knows how to go back. It is there
before anything is called otherwise, and goes when nothing is any more. How far a restore came is the table's own name, which
each of the two renames of an exchange changes in the same statement: so it is never told too early or too late.
"""
# ruff: noqa: S608  # statements are made of numbers, quoted names and literals of our own

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.engines.mysql_names import plain_literal, quoted, text_literal
from dbmigration_runner.engines.mysql_own_name import without_schema
from dbmigration_runner.errors import RunnerError, StatementRefused

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dbmigration_runner.engines.interface import Session

FENCED = "dbmigration/restore"  # the old tables are here, whatever they are called
MOVED = "dbmigration/restore/moved"  # they are in the kept schema; the restored ones here, under numbers
SHOWN = "dbmigration/restore/shown"  # the restored ones have their names
_STAGES = (FENCED, MOVED, SHOWN)
OLD, NEW = "dbmigration/old/", "dbmigration/new/"
STRANGER = "dbmigration/stranger/"  # a table that somebody else made behind the fence
_NAME = r"(?:`(?:[^`]|``)*`|[^\s`.]+)"
_TRIGGER = re.compile(
    rf"(\bTRIGGER\s+(?:IF\s+NOT\s+EXISTS\s+)?(?:{_NAME}\s*\.\s*)?{_NAME}\s+(?:BEFORE|AFTER)\s+(?:INSERT|UPDATE|DELETE)\s+ON\s+)"
    rf"(?:{_NAME}\s*\.\s*)?{_NAME}(\s+FOR\s+EACH\s+ROW)",
    re.IGNORECASE,
)
# What stands before its status, which the server writes in this way and no other; names and texts are skipped whole.
_EVENT = re.compile(
    r"\A((?:`(?:[^`]|``)*`|'(?:[^'\\]|\\.|'')*'|[^`'])*?)\bON COMPLETION (?:NOT )?PRESERVE (?:ENABLE|DISABLE(?: ON \w+)?)\b",
    re.DOTALL,
)
_CREATE = re.compile(r"\A\s*CREATE\s+(?:OR\s+REPLACE\s+)?", re.IGNORECASE)
_DEFINER = re.compile(rf"\A\s*CREATE\s+DEFINER\s*=\s*{_NAME}(?:@{_NAME})?\s+")
_KINDS = ("trigger", "function", "procedure", "package", "package body", "view", "event")


@dataclass(frozen=True)
class Program:
    """A trigger, routine, view or event as the server writes it. `table` is a trigger's, `zone` that of an event's times."""

    kind: str
    name: str
    text: str
    mode: str = ""
    collation: str = ""
    table: str = ""
    zone: str = ""

    def statement(self, table: str = "") -> str:
        """To make it, or what has its name into it; a trigger on the table that is called so."""
        text = self.text
        if table:
            text = _TRIGGER.sub(lambda found: found[1] + quoted(table) + found[2], text, count=1)
        return _CREATE.sub("CREATE OR REPLACE ", text, count=1)

    def disabled(self) -> Program:
        """An event that the server does not run. Preserved, for of those that are not it makes none whose time has passed."""
        return replace(self, text=_EVENT.sub(r"\1ON COMPLETION PRESERVE DISABLE", self.text, count=1))

    def without_definer(self) -> Program:
        """Of whoever makes it."""
        return replace(self, text=_DEFINER.sub("CREATE ", self.text, count=1))


@dataclass(frozen=True)
class Record:
    """`tables` and `copies` are in the order of their numbers, from 1; `stage` is what it was called when it was read."""

    token: str = ""
    kept: str = ""
    fresh: str = ""
    tables: tuple[str, ...] = ()
    copies: tuple[str, ...] = ()
    old: tuple[Program, ...] = ()
    new: tuple[Program, ...] = ()
    events: str = ""
    charset: str = ""  # of the backup, "" where it is not known
    collate: str = ""
    comment: str = ""  # of the kept schema in the end
    schema_comment: str = ""  # of the live one, as it was at the backup
    stage: str = field(default=FENCED, compare=False)

    @property
    def is_beyond(self) -> bool:
        """Is the only way on its end?"""
        return self.stage != FENCED


def stage(session: Session) -> str | None:
    """What the one of the session's schema is called; None where there is none. Asked at every connect."""
    found = session.rows(
        "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()"
        f" AND TABLE_NAME IN ({', '.join(map(text_literal, _STAGES))})"
    )
    return str(found[0][0]) if found else None


def read(session: Session) -> Record | None:
    """The one of the session's schema."""
    found = stage(session)
    if found is None:
        return None
    parts: dict[str, list[tuple[str, ...]]] = {}
    for part, *facts in session.rows(
        f"SELECT part, name, body, mode, collation, of_table, zone FROM {quoted(found)} ORDER BY part, number"
    ):
        parts.setdefault(part, []).append(tuple(map(str, facts)))

    def said(part: str) -> str:
        return parts[part][0][1] if part in parts else ""

    def programs(when: str) -> Iterator[Program]:
        for kind in _KINDS:
            for facts in parts.get(f"{when} {kind}", ()):
                yield Program(kind, *facts)

    return Record(
        token=said("token"),
        kept=said("kept"),
        fresh=said("fresh"),
        tables=tuple(row[0] for row in parts.get("table", ())),
        copies=tuple(row[0] for row in parts.get("copy", ())),
        old=tuple(programs("old")),
        new=tuple(programs("new")),
        events=said("events"),
        charset=said("charset"),
        collate=said("collate"),
        comment=said("comment"),
        schema_comment=said("schema_comment"),
        stage=found,
    )


def begin(session: Session) -> None:
    """From here on it is found; with nothing in it."""
    session.run(
        f"CREATE TABLE {quoted(FENCED)} (part varchar(32) NOT NULL, number int NOT NULL, name varchar(64) NOT NULL,"
        " body longtext NOT NULL, mode text NOT NULL, collation varchar(64) NOT NULL, of_table varchar(64) NOT NULL,"
        " zone varchar(64) NOT NULL,"
        " PRIMARY KEY (part, number)) ENGINE=InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
        f" COMMENT {plain_literal('A restore keeps everybody out; whatever step comes next goes back or says what to do.')}"
    )


def write(session: Session, record: Record) -> None:
    """All of it, or nothing. It was begun."""
    session.run("BEGIN")
    for part in ("kept", "fresh", "events", "charset", "collate", "comment", "schema_comment"):
        _insert(session, part, 0, Program("", "", getattr(record, part)))
    for part, names in (("table", record.tables), ("copy", record.copies)):
        for number, name in enumerate(names, 1):
            _insert(session, part, number, Program("", name, ""))
    for when, programs in (("old", record.old), ("new", record.new)):
        for number, program in enumerate(programs, 1):
            _insert(session, f"{when} {program.kind}", number, program)
    _insert(session, "token", 0, Program("", "", record.token))
    session.run("COMMIT")


def drop(session: Session, name: str) -> None:
    """Nothing is called otherwise any more. By its name: one that went on meanwhile stays."""
    session.run(f"DROP TABLE IF EXISTS {quoted(name)}")


def _insert(session: Session, part: str, number: int, said: Program) -> None:
    facts = (said.name, said.text, said.mode, said.collation, said.table, said.zone)
    values = ", ".join(map(text_literal, facts))
    session.run(f"INSERT INTO {quoted(FENCED)} VALUES ({text_literal(part)}, {number:d}, {values})")


def tables_of(session: Session, schema: str) -> tuple[str, ...]:
    """Every table that holds rows, but for the record."""
    return _names(session, schema, "'BASE TABLE', 'SYSTEM VERSIONED'")


def sequences_of(session: Session, schema: str) -> tuple[str, ...]:
    """Every sequence."""
    return _names(session, schema, "'SEQUENCE'")


def _names(session: Session, schema: str, kinds: str) -> tuple[str, ...]:
    found = session.rows(
        f"SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = {text_literal(schema)}"
        f" AND TABLE_TYPE IN ({kinds}) ORDER BY 1"
    )
    return tuple(str(name) for (name,) in found if name not in _STAGES)


def programs_of(session: Session, schema: str, *, with_events: bool) -> tuple[Program, ...]:
    """As the server writes them, without the schema's name. Raises RunnerError (RestoreNotPossible) where one is hidden."""
    here = text_literal(schema)
    found: list[Program] = []
    for kind, name, table in _listed(session, here, with_events=with_events):
        place = f"{quoted(schema)}.{quoted(name)}".replace(":", "\\:")
        row = session.rows(f"SHOW CREATE {kind.upper()} {place}")[0]
        zone = str(row[2]) if kind == "event" else ""
        match kind:
            case "view":
                text, mode, collation = row[1], "", row[3]
            case "event":
                text, mode, collation = row[3], row[1], row[5]
            case _:
                text, mode, collation = row[2], row[1], row[4]
        if not text:
            raise RunnerError(
                RunnerReason.RESTORE_NOT_POSSIBLE,
                f"The text of the {kind} {name} is hidden from this role: set adminUrlFrom to one that may read it.",
            )
        text = without_schema(schema, text) if kind == "view" else text
        if kind == "trigger" and _TRIGGER.search(text) is None:
            raise RunnerError(
                RunnerReason.RESTORE_NOT_POSSIBLE,
                f"The trigger {name} is written in a way that cannot be put on another table: make it anew without comments.",
            )
        found.append(Program(kind, name, str(text), str(mode), str(collation), table, zone))
    return tuple(found)


def _listed(session: Session, here: str, *, with_events: bool) -> Iterator[tuple[str, str, str]]:
    asked = [
        (
            "SELECT 'trigger', TRIGGER_NAME, EVENT_OBJECT_TABLE FROM information_schema.TRIGGERS"
            f" WHERE TRIGGER_SCHEMA = {here} ORDER BY EVENT_OBJECT_TABLE, ACTION_TIMING, EVENT_MANIPULATION, ACTION_ORDER"
        ),
        f"SELECT lower(ROUTINE_TYPE), ROUTINE_NAME, '' FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = {here}",
        f"SELECT 'view', TABLE_NAME, '' FROM information_schema.VIEWS WHERE TABLE_SCHEMA = {here}",
    ]
    if with_events:
        asked.append(f"SELECT 'event', EVENT_NAME, '' FROM information_schema.EVENTS WHERE EVENT_SCHEMA = {here}")
    for question in asked:
        for kind, name, table in session.rows(question):
            yield str(kind), str(name), str(table)


def make(session: Session, programs: Iterable[tuple[Program, str]]) -> list[str]:
    """Make each, a trigger on the table that stands beside it; what of them failed, and why.

    In passes: one view may stand on another.
    """
    left = list(programs)
    while left:
        failed: list[tuple[Program, str]] = []
        whys: list[str] = []
        for program, table in left:
            mode, collation = text_literal(program.mode), program.collation or "utf8mb4_general_ci"
            zone = text_literal(program.zone) if program.zone else "DEFAULT"
            session.run(f"SET SESSION sql_mode = {mode}, collation_connection = {collation}, time_zone = {zone}")
            try:
                session.run(program.statement(table))
            except StatementRefused as error:
                failed.append((program, table))
                whys.append(f"{program.kind} {program.name}: {error.message}")
        session.run("SET SESSION sql_mode = '', time_zone = DEFAULT")
        if len(failed) == len(left):
            return whys
        left = failed
    return []
