"""The fresh schema that an archive is restored into, beside the live one, until its tables take the places of that one's.

Its name follows from the run, so a later attempt finds it; its comment says whose it is, and when it is whole. What is not
whole is never gone on with.
"""
# ruff: noqa: S608  # statements are made of quoted names and literals of our own

from __future__ import annotations

import contextlib
import hashlib
import re
from typing import TYPE_CHECKING

from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.engines import mysql_archive as archive
from dbmigration_runner.engines import mysql_record as records
from dbmigration_runner.engines.dump_streams import StoredFile
from dbmigration_runner.engines.long_work import patiently
from dbmigration_runner.engines.mysql import MySQL
from dbmigration_runner.engines.mysql_catalog import catalog, without_events
from dbmigration_runner.engines.mysql_loading import load
from dbmigration_runner.engines.mysql_names import plain_literal, quoted, text_literal
from dbmigration_runner.engines.mysql_patience import briefly, despite_locks
from dbmigration_runner.engines.mysql_probe import RESTORING as PREFIX
from dbmigration_runner.engines.mysql_tools import option_file
from dbmigration_runner.engines.restore import another, same_schema
from dbmigration_runner.errors import RunnerError, StatementRefused

if TYPE_CHECKING:
    from collections.abc import Callable

    from dbmigration_runner.engines.interface import AskingSession, Session
    from dbmigration_runner.engines.mysql_tools import Tools
    from dbmigration_runner.engines.restore import Wanted

MARK = "dbmigration/restoring/"  # how the comment of such a schema begins
MOST_FALLS = 2  # the first may have been chance
_MAKING = re.compile(r" by the server of (?P<began>\d+) after (?P<falls>\d+) falls$")
_ABOUT_SECONDS = 2  # by which a server's age may seem to jump
_SHOWN = 5


class Fresh:
    """See the module."""

    def __init__(self, live: MySQL, desk: Session, wanted: Wanted, token: str, tools: Tools) -> None:
        self.name = PREFIX + hashlib.sha256(token.encode()).hexdigest()[:16]
        self.engine = MySQL(live.url.set(database=self.name), wanted.application_name)
        self._desk = desk
        self._wanted = wanted
        self._owner = token.partition("/")[0]  # the live database
        self._token = token
        self._tools = tools

    def fill(self, alive: Callable[[], None]) -> tuple[str, ...]:
        """Make it, restore into it and verify it, or find it done; warnings. Raises RunnerError, and then it is gone."""
        despite_locks(self._desk, self._drop_others, alive)
        if comment_of(self._desk, self.name) == self._mark(whole=True):
            return ("The restored copy of an earlier attempt was gone on with.",)
        falls = self._falls()
        despite_locks(self._desk, self.drop, alive)
        if falls >= MOST_FALLS:
            raise RunnerError(
                RunnerReason.RESTORE_FAILED,
                f"The server went down {falls} times while the backup was loaded, as MariaDB may where its disk is full: see its "
                "log and its room. It is not tried again.",
            )
        try:
            despite_locks(self._desk, lambda: self._create(falls), alive)
            self._restore(alive)
            warnings = self._verify(alive)
            despite_locks(self._desk, lambda: self._say(self._mark(whole=True)), alive)
        except StatementRefused as error:
            self._drop_quietly()
            raise RunnerError(
                RunnerReason.RESTORE_NOT_POSSIBLE,
                f"The server refused what the backup needs: {error.message}. Mend it, or set adminUrlFrom to a role that may.",
            ) from None
        except BaseException:
            self._drop_quietly()
            raise
        return warnings

    def events(self) -> str:
        """The archive's, which are not loaded."""
        pieces: list[bytes] = []
        with StoredFile(self._wanted.path) as file:
            for name, content in archive.ArchiveReader(file).members():
                if name == archive.EVENTS:
                    archive.decompressed(content, pieces.append)
        text = b"".join(pieces).decode()
        return text if "EVENT `" in text else ""

    def spend(self) -> None:
        """Say that it is no longer whole: an exchange begins by taking its triggers away."""
        self._say(self._mark(whole=False))

    def _say(self, comment: str) -> None:
        self._desk.run(f"ALTER DATABASE {quoted(self.name)} COMMENT {plain_literal(comment)}")

    def drop(self) -> None:
        """Remove it."""
        self._desk.run(f"DROP DATABASE IF EXISTS {quoted(self.name)}")

    def _drop_quietly(self) -> None:
        with contextlib.suppress(RunnerError), briefly(self._desk):  # the next attempt, or the next restore, drops it
            self.drop()

    def _drop_others(self) -> None:
        """Of other runs at this database: we hold its lock, so nobody works on them."""
        begins = f"{MARK}{self._owner}/"
        for name, comment in self._desk.rows("SELECT SCHEMA_NAME, SCHEMA_COMMENT FROM information_schema.SCHEMATA"):
            if str(name).startswith(PREFIX) and str(comment).startswith(begins) and name != self.name:
                with contextlib.suppress(StatementRefused):
                    self._desk.run(f"DROP DATABASE IF EXISTS {quoted(str(name))}")

    def _mark(self, *, whole: bool) -> str:
        return f"{MARK}{self._token} " + (f"whole {self._wanted.sha256}" if whole else "in the making")

    def _falls(self) -> int:
        """How often the server went down under earlier attempts: one that it does not survive is not made for hours."""
        found = _MAKING.search(comment_of(self._desk, self.name) or "")
        if found is None:
            return 0
        return int(found["falls"]) + (abs(self._server_began() - int(found["began"])) > _ABOUT_SECONDS)

    def _server_began(self) -> int:
        uptime = self._desk.rows("SHOW GLOBAL STATUS LIKE 'Uptime'")[0][1]
        return int(self._desk.value("SELECT UNIX_TIMESTAMP()")) - int(uptime)

    def _create(self, falls: int) -> None:
        there = self._wanted.surroundings
        like = f" CHARACTER SET {there.encoding} COLLATE {there.collate}" if there is not None else ""
        mark = f"{self._mark(whole=False)} by the server of {self._server_began()} after {falls} falls"
        self._desk.run(f"CREATE DATABASE {quoted(self.name)}{like} COMMENT {plain_literal(mark)}")

    def _restore(self, alive: Callable[[], None]) -> None:
        with option_file(self.engine.url) as options:
            loaded = load(self._tools, options, self.name, self._wanted.path, alive)
        if loaded.sha256 != self._wanted.sha256:
            raise RunnerError(
                RunnerReason.BACKUP_CORRUPT, "The backup changed while it was restored. Check the volume."
            )

    def _verify(self, alive: Callable[[], None]) -> tuple[str, ...]:
        """Is what stands there what was dumped, to the row? And let the planner know it."""
        with self.engine.connect(read_only=False, statement_timeout_seconds=None) as session:
            number = int(session.value("SELECT CONNECTION_ID()"))

            def cancel() -> None:
                with contextlib.suppress(RunnerError):
                    self._desk.run(f"KILL QUERY {number:d}")

            def verify() -> tuple[str, ...]:
                for name in records.tables_of(session, self.name):
                    session.run(f"ANALYZE NO_WRITE_TO_BINLOG TABLE {quoted(name)}")
                return self._compared(session)

            (warnings,) = patiently(verify, alive=alive, cancel=cancel)
        return warnings

    def _compared(self, session: AskingSession) -> tuple[str, ...]:
        if self.engine.heads(session, self._wanted.version_table) != tuple(sorted(self._wanted.revisions)):
            raise another("its revisions are others")
        versioned = {str(name) for (name,) in session.rows("SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE = 'SYSTEM VERSIONED'")}  # fmt: skip
        there = frozenset(records.tables_of(session, self.name))
        wrong = []
        for name, expected in self._wanted.rows.items():
            if name not in there:
                wrong.append(f"{name} is not there")
                continue
            past = " FOR SYSTEM_TIME ALL" if name in versioned else ""
            found = int(session.first_value(f"SELECT count(*) FROM {quoted(name)}{past}"))
            if found != expected:
                wrong.append(f"{name} has {found} rows instead of {expected}")
        if wrong:
            raise another("; ".join(wrong[:_SHOWN]))
        return same_schema(self._wanted.catalog, catalog(session), without_events)


def comment_of(desk: Session, schema: str) -> str | None:
    """The comment of a schema; None where there is no such schema."""
    found = desk.rows(
        f"SELECT SCHEMA_COMMENT FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = {text_literal(schema)}"
    )
    return str(found[0][0] or "") if found else None
