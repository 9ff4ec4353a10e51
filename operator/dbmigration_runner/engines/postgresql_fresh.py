"""The fresh database that a dump is restored into, beside the live one, until it takes that one's name.

Its own name follows from the run, so a later attempt finds it; its comment says whose it is, and when it is whole. What is
not whole is never gone on with.
"""
# ruff: noqa: S608  # statements are made of quoted names and literals of our own

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from typing import TYPE_CHECKING

from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.engines import postgresql_fence as fences
from dbmigration_runner.engines import postgresql_rights as rights
from dbmigration_runner.engines import postgresql_surroundings as surroundings
from dbmigration_runner.engines.long_work import patiently
from dbmigration_runner.engines.messages import short
from dbmigration_runner.engines.postgresql import PostgreSQL
from dbmigration_runner.engines.postgresql_catalog import catalog, dumped, superfluous
from dbmigration_runner.engines.postgresql_clone import Clone
from dbmigration_runner.engines.postgresql_copy import qualified
from dbmigration_runner.engines.postgresql_dump import PostgreSQLDump, codec_of
from dbmigration_runner.engines.postgresql_loading import load
from dbmigration_runner.engines.postgresql_names import quoted, text_literal
from dbmigration_runner.engines.postgresql_probe import OF_TRYING, RIGHTS, drop, errors_in, like
from dbmigration_runner.engines.postgresql_tools import asks_for_tls, choose, installed, libpq
from dbmigration_runner.engines.restore import another, same_schema
from dbmigration_runner.errors import Refusal, RunnerError, StatementRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from dbmigration_runner.engines.dump import Surroundings
    from dbmigration_runner.engines.interface import AskingSession, Session
    from dbmigration_runner.engines.restore import Wanted

MARK = "dbmigration/restoring/"  # how the comment of such a database begins
WHOLE = " whole "  # and what then stands in it before the hash of the dump
CLONED = " by the server"  # and behind that, where the server had copied it
PREFIX = "dbmigration_restore_"
_FULL = ("53100",)
_NO_ROOM = "No space left on device"
_OF_ONE_DATABASE = "can only create extension in database"  # pg_cron; tried again it would fail again
_COPY_FAILED = re.compile(r'(COPY failed for table "[^"]*").*')
LEAST_WORKERS, MOST_WORKERS = 2, 4
_GONE = re.compile(r'role "([^"]*)" does not exist')
_SHOWN = 5
_TABLES = """
SELECT n.nspname::text, c.relname::text, c.relkind::text
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND pg_catalog.left(n.nspname, 3) <> 'pg_'
  AND n.nspname <> 'information_schema'
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
                  AND d.objid = c.oid AND d.deptype = 'e')
"""


class Fresh:
    """See the module."""

    def __init__(self, live: PostgreSQL, desk: Session, wanted: Wanted, token: str) -> None:
        self.name = PREFIX + hashlib.sha256(token.encode()).hexdigest()[:16]
        self.engine = PostgreSQL(live.url.set(database=self.name), wanted.application_name)
        self._desk = desk
        self._wanted = wanted
        self._owner = token.partition("/")[0]  # the live database
        self._clone = Clone(live.url.database or live.url.username or "", desk, wanted)
        self._token = token
        environment = libpq(self.engine.url, wanted.application_name)
        self._server = int(desk.value("SHOW server_version_num")) // 10_000
        self._tools = choose(installed(), self._server, encrypted=asks_for_tls(environment))
        self._program = PostgreSQLDump(self.engine, self._tools, environment)
        self._gone: set[str] = set()  # roles that got nothing of what the backup has for them

    @property
    def is_at_hand(self) -> bool:
        """Is there what an earlier attempt restored, or what the server copied when the backup was taken?"""
        return self._is_whole or self._clone.is_whole

    @property
    def is_of_server(self) -> bool:
        """Is it the copy that the server made when the backup was taken?"""
        return self._comment == self._mark(whole=True) + CLONED

    def fill(self, alive: Callable[[], None]) -> tuple[str, ...]:
        """Make it, restore into it and verify it, or find it done; warnings. Raises RunnerError, and then it is gone."""
        self._drop_others()
        if self._is_whole:
            self._desk.run(f"ALTER DATABASE {quoted(self.name)} ALLOW_CONNECTIONS true")
            return ("The restored copy of an earlier attempt was gone on with.",)
        self.drop()
        if self._clone.is_whole:
            with contextlib.suppress(StatementRefused):  # then the dump is read: it is there for that
                self._clone.become(self.name, self._mark(whole=True) + CLONED)
                return ("The copy that the backup left on the server was taken; the dump was not needed.",)
        try:
            self._create()
            self._restore(alive)
            warnings = self._verify(alive)
            self._surround(surroundings.settings)
            self._desk.run(f"COMMENT ON DATABASE {quoted(self.name)} IS {text_literal(self._mark(whole=True))}")
        except StatementRefused as error:
            self._drop_quietly()
            raise _refused(error) from None
        except BaseException:
            self._drop_quietly()
            raise
        return (*rights.told(self._gone), *warnings)

    def shut(self) -> None:
        """Nobody else shall come in. Who is there is in the way of the exchange, and told then."""
        self._desk.run(f"ALTER DATABASE {quoted(self.name)} ALLOW_CONNECTIONS false")

    def drop(self) -> None:
        """Remove it, whoever is in it."""
        drop(self._desk, self.name)

    def give_up(self) -> None:
        """Remove it; but what the server had copied waits under its own name again, for a restore that is let do more."""
        if self.is_of_server:
            self._clone.come_back(self.name)
        else:
            self.drop()

    @property
    def _comment(self) -> str | None:
        found = fences.find(self._desk, self.name)
        return found.comment if found is not None else None

    @property
    def _is_whole(self) -> bool:
        return self._comment in {self._mark(whole=True), self._mark(whole=True) + CLONED}

    def _drop_quietly(self) -> None:
        with contextlib.suppress(RunnerError):  # the next attempt, or the next restore, drops it
            self.drop()

    def _drop_others(self) -> None:
        """Of other runs at this database: we hold its lock, so nobody works on them."""
        names = self._desk.rows(
            "SELECT d.datname::text FROM pg_catalog.pg_database d WHERE pg_catalog.starts_with(d.datname, :prefix)"
            " AND pg_catalog.starts_with(coalesce(pg_catalog.shobj_description(d.oid, 'pg_database'), ''), :mark)",
            prefix=PREFIX,
            mark=f"{MARK}{self._owner}/",
        )
        for (name,) in names:
            if name != self.name:
                with contextlib.suppress(StatementRefused):
                    drop(self._desk, name)

    def _mark(self, *, whole: bool) -> str:
        return f"{MARK}{self._token}" + (f"{WHOLE}{self._wanted.sha256}" if whole else " in the making")

    def _create(self) -> None:
        wanted, name = self._wanted.surroundings, quoted(self.name)
        clauses = like(wanted)
        if wanted is not None:
            clauses += f" OWNER = {quoted(wanted.owner)}"
            if wanted.tablespace and wanted.tablespace != "pg_default":
                clauses += f" TABLESPACE = {quoted(wanted.tablespace)}"
        self._desk.run(f"CREATE DATABASE {name} {clauses}")
        self._desk.run(f"COMMENT ON DATABASE {name} IS {text_literal(self._mark(whole=False))}")
        self._surround(surroundings.grants)
        if self._wanted.catalog is not None and (statements := superfluous(self._wanted.catalog)):
            with self._session() as session:
                fences.run_together(session, statements)

    def _surround(self, part: Callable[[str, Surroundings], Iterable[str]]) -> None:
        """Put back what stands in no dump; who is gone by now gets nothing, as of tables."""
        wanted = self._wanted.surroundings
        if wanted is not None:
            gone = surroundings.gone(wanted, surroundings.known_roles(self._desk))
            fences.run_together(self._desk, part(self.name, surroundings.without(wanted, gone)))
            self._gone.update(gone)

    def _restore(self, alive: Callable[[], None]) -> None:
        # A newer pg_restore sets what an older server does not know: there only the errors that count end it, afterwards.
        strict = ["--exit-on-error"] if self._tools.major == self._server else []
        options = [*strict, "--no-subscriptions", f"--dbname={self.name}"]
        given = rights.Given()

        def grant(script: bytes) -> None:
            nonlocal given
            codec = codec_of(self._wanted.surroundings.encoding) if self._wanted.surroundings is not None else "utf-8"
            with self._session() as session:
                given = rights.give(session, script.decode(codec, "replace"))

        loaded = load(self._program, self._wanted, options, self._workers(), alive, grant=grant)
        complaints = loaded.complaints
        if loaded.sha256 != self._wanted.sha256:
            raise RunnerError(
                RunnerReason.BACKUP_CORRUPT, "The backup changed while it was restored. Check the volume."
            )
        errors = [*errors_in(complaints), *given.refused]
        if not errors and (not complaints.strip() or not strict):
            self._gone.update(given.gone)
            return
        # What the server says of a row that it does not take may hold the row.
        told = "; ".join(_COPY_FAILED.sub(r"\1", error) for error in errors) or "it gave no reason"
        if _NO_ROOM in complaints:
            raise _no_room(told)
        if _OF_ONE_DATABASE in complaints:
            raise RunnerError(
                RunnerReason.RESTORE_NOT_POSSIBLE,
                short(
                    "An extension that one database of a server alone may have cannot be restored beside it: take backup.clone, or"
                    f" restore by hand. {told}"
                ),
            )
        if any(words in complaints for words in OF_TRYING):
            raise RunnerError(RunnerReason.CONNECTION_LOST, short(f"The restore was cut short: {told}"))
        if any(words in complaints for words in RIGHTS):
            raise RunnerError(
                RunnerReason.RESTORE_NOT_POSSIBLE,
                short(f"This role may not restore everything, a superuser might (set adminUrlFrom): {told}"),
            )
        if missing := sorted({role for error in errors for role in _GONE.findall(error)}):
            raise RunnerError(
                RunnerReason.RESTORE_NOT_POSSIBLE,
                short(
                    f"Roles of the backup are not there any more: {', '.join(missing[:_SHOWN])}. Make them again: {told}"
                ),
            )
        raise RunnerError(RunnerReason.RESTORE_FAILED, short(f"The backup does not restore: {told}"))

    def _workers(self) -> int:
        """As many as there are processors, within reason; and no more than the role may have sessions."""
        workers = min(max(os.cpu_count() or 1, LEAST_WORKERS), MOST_WORKERS)
        found = self._desk.rows(
            "SELECT r.rolconnlimit - (SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity a WHERE a.usesysid = r.oid)"
            " FROM pg_catalog.pg_roles r WHERE r.rolname = SESSION_USER AND r.rolconnlimit >= 0 AND NOT r.rolsuper"
        )
        return max(min([workers, *(int(free) for (free,) in found)]), 1)

    def _verify(self, alive: Callable[[], None]) -> tuple[str, ...]:
        """Is what stands there what was dumped, to the row? And let the planner know it, at the same time."""
        with self._session() as one, self._session() as other:
            for session in (one, other):
                session.run("SET statement_timeout = 0")
                session.run("SET row_security = off")  # rather an error than fewer rows

            def analyse() -> tuple[str, ...]:
                other.run("ANALYZE")
                return ()

            pids = [int(session.value("SELECT pg_catalog.pg_backend_pid()")) for session in (one, other)]
            cancel = fences.cancelling(self._desk, pids)
            warnings, _ = patiently(lambda: self._compared(one), analyse, alive=alive, cancel=cancel)
        return warnings

    def _session(self) -> AskingSession:
        return self.engine.connect(read_only=False, statement_timeout_seconds=None)

    def _compared(self, session: AskingSession) -> tuple[str, ...]:
        heads = self.engine.heads(session, self._wanted.version_table)
        if heads != tuple(sorted(self._wanted.revisions)):
            raise another("its revisions are others")
        wanted = dict(self._wanted.rows)
        wrong = []
        for schema, table, kind in session.rows(_TABLES):
            expected = wanted.pop(qualified(schema, table), None)
            if expected is None:
                continue
            only = "" if kind == "p" else "ONLY "
            found = int(session.first_value(f"SELECT count(*) FROM {only}{quoted(schema)}.{quoted(table)}"))
            # Rows of some partitions are dumped under the name of the table above, which may have others too.
            if found != expected and not (kind == "p" and found > expected):
                wrong.append(f"{qualified(schema, table)} has {found} rows instead of {expected}")
        if wrong:
            raise another("; ".join(wrong[:_SHOWN]))
        return same_schema(self._wanted.catalog, catalog(session), dumped)


def _no_room(told: str) -> Refusal:
    return Refusal(
        RunnerReason.DISK_SPACE_LOW,
        short(f"The server has no room for the database a second time, which a restore needs beside it: {told}"),
    )


def _refused(error: StatementRefused) -> RunnerError:
    if error.code in _FULL or _NO_ROOM in error.message:
        return _no_room(error.message)
    return RunnerError(
        RunnerReason.RESTORE_NOT_POSSIBLE,
        f"The server refused what the backup needs: {error.message}. Mend it, or set adminUrlFrom to a role that may.",
    )
