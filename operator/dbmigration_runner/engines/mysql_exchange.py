"""The exchange of a fenced MariaDB database with its restored copy: a few steps, each of which may be gone through again.

    1. the kept schema gets the events, disabled; triggers go, the old ones   4. triggers, routines; views and events that differ go
       (a lift makes them again) and the copy's                              5. one RENAME to their own names: the instant
    2. one RENAME: the old tables to the kept schema, the copy's in under    6. views and events; the kept schema; the record goes
       numbers
    3. defaults that name a sequence

Up to 2 whoever finds the record goes back; from there on a restore goes to the end, this one or the next. The record holds
all that is needed for that. Needs the run's lock and the restore's.
"""
# ruff: noqa: S608  # statements are made of numbers, quoted names and literals of our own

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.engines import mysql_record as records
from dbmigration_runner.engines.messages import short
from dbmigration_runner.engines.mysql_fence import as_pairs, aside_for, clear, lift, rename, strays
from dbmigration_runner.engines.mysql_names import plain_literal, quoted, text_literal
from dbmigration_runner.engines.mysql_patience import PATIENCE_SECONDS
from dbmigration_runner.errors import Refusal, RunnerError, StatementRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dbmigration_runner.engines.interface import Session
    from dbmigration_runner.engines.mysql_record import Record

_WITH_RIGHTS = ("function", "procedure", "package")  # of their own: the body of a package has the package's


class Exchange:
    """One database's. `load_events` has a client load the text of events into the live schema."""

    def __init__(self, desk: Session, record: Record, load_events: Callable[[bytes], None]) -> None:
        self._desk = desk
        self._record = record
        self._load_events = load_events
        self._live = str(desk.value("SELECT DATABASE()"))

    def begin(self) -> None:
        """Steps 1 and 2. Raises StatementRefused or Refusal, and then the fence can be lifted."""
        desk, record = self._desk, self._record
        if made := strays(desk, record):
            raise StatementRefused("", f"tables were made meanwhile: {', '.join(made)}")
        desk.run(f"SET SESSION lock_wait_timeout = {PATIENCE_SECONDS:d}")
        self._keep_events()
        self._drop_triggers(self._live)
        self._drop_triggers(record.fresh)
        self._move()

    def end(self) -> tuple[str, ...]:
        """Steps 3 to 6, or what of them is left; warnings."""
        desk, record = self._desk, self._record
        desk.run(f"SET SESSION lock_wait_timeout = {PATIENCE_SECONDS:d}")
        there = frozenset(records.tables_of(desk, self._live))
        hidden = {
            name: new for number, name in enumerate(record.copies, 1) if (new := f"{records.NEW}{number}") in there
        }
        warnings: list[str] = []
        if records.stage(desk) == records.MOVED:
            self._settle_defaults(self._live, record.fresh)
            self._settle_defaults(record.kept, self._live)
            self._program(hidden)
            warnings += self._show(hidden)
        warnings += self._finish_programs()
        warnings += self._dress_kept()
        self._settle_schema()
        desk.run(f"ALTER DATABASE {quoted(record.kept)} COMMENT {plain_literal(record.comment)}")
        records.drop(desk, records.SHOWN)
        with contextlib.suppress(RunnerError):  # the next restore drops it
            desk.run(f"DROP DATABASE IF EXISTS {quoted(record.fresh)}")
        return tuple(warnings)

    def _keep_events(self) -> None:
        """While they are in the live schema still: there is no other place for code that the backup has not."""
        desk, kept = self._desk, self._record.kept
        for name in _events(desk, kept):  # of an attempt that was lost
            desk.run(f"DROP EVENT {quoted(kept)}.{quoted(name)}")
        events = [program.disabled() for program in self._record.old if program.kind == "event"]
        with self._within(kept):
            records.make(desk, [(event, "") for event in events])
            # Another's definer needs a right of its own, and nobody runs them here.
            left = [(event.without_definer(), "") for event in events if event.name not in _events(desk, kept)]
            whys = records.make(desk, left)
        if whys:
            raise Refusal(
                RunnerReason.RESTORE_NOT_POSSIBLE,
                short(
                    f"The events could not be kept beside the replaced tables ({'; '.join(whys)}): set adminUrlFrom."
                ),
            )

    @contextlib.contextmanager
    def _within(self, schema: str) -> Iterator[None]:
        self._desk.run(f"USE {quoted(schema)}")
        try:
            yield
        finally:
            self._desk.run(f"USE {quoted(self._live)}")

    def _drop_triggers(self, schema: str) -> None:
        """In another schema than its table's none may be. The last first: one that is made again comes behind those left."""
        for (name,) in self._desk.rows(
            f"SELECT TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = {text_literal(schema)}"
            " ORDER BY ACTION_ORDER DESC"
        ):
            self._drop_trigger(schema, str(name))

    def _drop_trigger(self, schema: str, name: str) -> None:
        self._desk.run(f"DROP TRIGGER IF EXISTS {quoted(schema)}.{quoted(name)}")

    def _move(self) -> None:
        """The old leave first: names of foreign keys are the schema's."""
        desk, record = self._desk, self._record
        live, kept, fresh = quoted(self._live), quoted(record.kept), quoted(record.fresh)
        pairs = [
            (f"{live}.{quoted(f'{records.OLD}{number}')}", f"{kept}.{quoted(name)}")
            for number, name in enumerate(record.tables, 1)
        ]
        pairs += [
            (f"{live}.{quoted(name)}", f"{kept}.{quoted(name)}") for name in records.sequences_of(desk, self._live)
        ]
        pairs += [
            (f"{fresh}.{quoted(name)}", f"{live}.{quoted(name)}") for name in records.sequences_of(desk, record.fresh)
        ]
        pairs += [
            (f"{fresh}.{quoted(name)}", f"{live}.{quoted(f'{records.NEW}{number}')}")
            for number, name in enumerate(record.copies, 1)
        ]
        rename(desk, [*pairs, (quoted(records.FENCED), quoted(records.MOVED))])

    def _settle_defaults(self, schema: str, was: str) -> None:
        """A default goes on counting with the sequence of the schema that it was made in."""
        desk = self._desk
        desk.run("SET SESSION system_versioning_alter_history = KEEP")
        for table, column, default in desk.rows(
            "SELECT TABLE_NAME, COLUMN_NAME, COLUMN_DEFAULT FROM information_schema.COLUMNS"
            f" WHERE TABLE_SCHEMA = {text_literal(schema)} AND INSTR(COLUMN_DEFAULT, {text_literal(quoted(was) + '.')}) > 0"
        ):
            changed = str(default).replace(f"{quoted(was)}.", f"{quoted(schema)}.")
            desk.run(
                f"ALTER TABLE {quoted(schema)}.{quoted(str(table))} ALTER COLUMN {quoted(str(column))} SET DEFAULT ({changed})"
            )

    def _program(self, hidden: dict[str, str]) -> None:
        """What must be there at the instant, and what must not be."""
        desk, record = self._desk, self._record
        new = {(program.kind, program.name): program for program in record.new}
        for program in record.old:
            same = new.get((program.kind, program.name))
            if program.kind == "trigger" or (
                same is not None and same.text == program.text and program.kind != "event"
            ):
                continue
            if same is None or program.kind in {"view", "event"}:
                desk.run(f"DROP {program.kind.upper()} IF EXISTS {quoted(program.name)}")
        old = {(program.kind, program.name): program.text for program in record.old}
        wanted = [
            (program, hidden[program.table] if program.kind == "trigger" else "")
            for program in record.new
            if program.kind == "trigger"
            or (program.kind != "view" and old.get((program.kind, program.name)) != program.text)
        ]
        if whys := records.make(desk, wanted):
            raise StatementRefused("", "; ".join(whys))

    def _show(self, hidden: dict[str, str]) -> tuple[str, ...]:
        """The instant; warnings."""
        aside = aside_for(hidden, frozenset(records.tables_of(self._desk, self._live)))
        pairs = [(quoted(new), quoted(name)) for name, new in hidden.items()]
        rename(self._desk, [*as_pairs(aside), *pairs, (quoted(records.MOVED), quoted(records.SHOWN))])
        return clear(self._desk, aside)

    def _finish_programs(self) -> list[str]:
        """Views cannot be made before their tables."""
        desk, record = self._desk, self._record
        there = {str(name) for (name,) in desk.rows("SELECT TABLE_NAME FROM information_schema.VIEWS WHERE TABLE_SCHEMA = DATABASE()")}  # fmt: skip
        views = [(program, "") for program in record.new if program.kind == "view" and program.name not in there]
        warnings = [f"In the restored database is missing: {why}" for why in records.make(desk, views)]
        if record.events or any(program.kind == "event" for program in record.old):
            for name in _events(desk, self._live):
                desk.run(f"DROP EVENT IF EXISTS {quoted(name)}")
            try:
                self._load_events(record.events.encode())
            except RunnerError as error:
                warnings.append(f"The backup's events are not all there: {error.message}")
            warnings += self._lost_events()
        return [*warnings, *self._made_anew()]

    def _made_anew(self) -> list[str]:
        """One that is dropped takes the rights on itself with it, and a dump holds none; a replacement leaves them."""
        record = self._record
        before = {(program.kind, program.name) for program in record.old}
        new = [(program.kind, program.name) for program in record.new if program.kind in _WITH_RIGHTS]
        anew = sorted(f"{kind} {name}" for kind, name in new if (kind, name) not in before)
        if not anew:
            return []
        told = f"Routines that were gone and are made anew: {', '.join(anew)}."
        return [f"{told} What was granted on one of them by itself, as EXECUTE, must be granted again."]

    def _lost_events(self) -> list[str]:
        now = records.programs_of(self._desk, self._live, with_events=True)
        lost = sorted(program.name for program in self._record.old if program.kind == "event" and program not in now)
        if not lost:
            return []
        told = f"Events of the replaced database that the backup has not, or has otherwise: {', '.join(lost)}."
        return [f"{told} They stand in {self._record.kept}, disabled."]

    def _dress_kept(self) -> list[str]:
        """What was beside the replaced tables is there again too."""
        desk, record = self._desk, self._record
        with self._within(record.kept):
            there = {str(name) for (name,) in desk.rows(f"SELECT TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = {text_literal(record.kept)}")}  # fmt: skip
            dressed = [
                (program, program.table if program.kind == "trigger" else "")
                for program in record.old
                if program.kind != "event" and not (program.kind == "trigger" and program.name in there)
            ]
            return [
                f"In the replaced database, kept as {record.kept}, is missing: {why}"
                for why in records.make(desk, dressed)
            ]

    def _settle_schema(self) -> None:
        if self._record.charset:
            self._desk.run(
                f"ALTER DATABASE {quoted(self._live)} CHARACTER SET {self._record.charset} COLLATE {self._record.collate}"
                f" COMMENT {plain_literal(self._record.schema_comment)}"
            )


def _events(desk: Session, schema: str) -> list[str]:
    found = desk.rows(f"SELECT EVENT_NAME FROM information_schema.EVENTS WHERE EVENT_SCHEMA = {text_literal(schema)}")
    return [str(name) for (name,) in found]


def go_back_or_on(desk: Session, record: Record, exchange: Callable[[], Exchange]) -> tuple[str, ...]:
    """What an earlier restore left: the fence is lifted, or the exchange is ended; warnings."""
    if record.is_beyond:
        return exchange().end()
    return lift(desk, record)
