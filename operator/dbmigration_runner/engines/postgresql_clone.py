"""A copy of a PostgreSQL database on its own server, made by the server itself: a restore of that backup takes it for its own.

The server copies only a database that nobody is in, our own lock's session included: a fence keeps everybody out meanwhile,
and the key of restores says that its owner lives. The copy's name follows from the database and the dump's hash; its
comment says when it is whole. It must never be the only way back, nor outlive the next backup.
"""
# statements are made of quoted names and literals of our own

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.engines import postgresql_fence as fences
from dbmigration_runner.engines import postgresql_surroundings as surroundings
from dbmigration_runner.engines.long_work import patiently
from dbmigration_runner.engines.postgresql import PostgreSQL
from dbmigration_runner.engines.postgresql_catalog import catalog
from dbmigration_runner.engines.postgresql_names import digest, quoted, restore_key, text_literal
from dbmigration_runner.engines.postgresql_probe import drop
from dbmigration_runner.engines.restore import another
from dbmigration_runner.errors import Refusal, RunnerError, StatementRefused

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.engine import URL

    from dbmigration_runner.engines.interface import Engine, Lock, Session
    from dbmigration_runner.engines.restore import Wanted

PREFIX = "dbmigration_clone_"
MARK = "dbmigration/clone/"
WITH_STRATEGY = 15  # the version from which CREATE DATABASE has it


class Clone:
    """The copy that belongs to one dump of the database, there or not."""

    def __init__(self, live: str, desk: Session, wanted: Wanted) -> None:
        """`desk` is a session outside of both."""
        self.name = f"{PREFIX}{digest(live)}_{wanted.sha256[:16]}"
        self._live = live
        self._desk = desk
        self._wanted = wanted

    @property
    def is_whole(self) -> bool:
        """Is it there, of this database and of this dump, and was it verified?"""
        found = fences.find(self._desk, self.name)
        return found is not None and found.comment == self._mark(whole=True)

    def make(self) -> None:
        """Have the server copy the database, which nobody may be in."""
        wanted = self._wanted.surroundings
        clauses = f"TEMPLATE = {quoted(self._live)} ALLOW_CONNECTIONS = true"
        if int(self._desk.value("SHOW server_version_num")) // 10_000 >= WITH_STRATEGY:
            clauses += " STRATEGY = FILE_COPY"  # the other writes every page to the log
        if wanted is not None:
            clauses += f" OWNER = {quoted(wanted.owner)}"
        self._desk.run(f"CREATE DATABASE {quoted(self.name)} {clauses}")
        self._comment(self._mark(whole=False))

    def approve(self, engine: PostgreSQL) -> None:
        """Put on it what the server did not copy; where it is at the backup's heads and of its schema, it is called whole."""
        wanted = self._wanted
        if wanted.surroundings is not None:
            around = self.name, wanted.surroundings
            fences.run_together(self._desk, (*surroundings.grants(*around), *surroundings.settings(*around)))
        with PostgreSQL(engine.url.set(database=self.name), wanted.application_name).connect() as session:
            if engine.heads(session, wanted.version_table) != tuple(sorted(wanted.revisions)):
                raise another("its revisions are others")
            if wanted.catalog is not None and (difference := wanted.catalog.difference(catalog(session))):
                raise another(str(difference))
        with fences.transaction(self._desk):
            self._desk.run(f"ALTER DATABASE {quoted(self.name)} ALLOW_CONNECTIONS false")
            self._comment(self._mark(whole=True))

    def become(self, name: str, comment: str) -> None:
        """Take another name and comment, and let sessions in; at once or not at all."""
        self._rename(self.name, name, comment, is_open=True)

    def come_back(self, name: str) -> None:
        """Be what it was, closed, from under that name."""
        self._rename(name, self.name, self._mark(whole=True), is_open=False)

    def _rename(self, one: str, other: str, comment: str, *, is_open: bool) -> None:
        with fences.transaction(self._desk):
            self._desk.run(f"ALTER DATABASE {quoted(one)} RENAME TO {quoted(other)}")
            self._desk.run(f"COMMENT ON DATABASE {quoted(other)} IS {text_literal(comment)}")
            self._desk.run(f"ALTER DATABASE {quoted(other)} ALLOW_CONNECTIONS {str(is_open).lower()}")

    def _comment(self, text: str) -> None:
        self._desk.run(f"COMMENT ON DATABASE {quoted(self.name)} IS {text_literal(text)}")

    def _mark(self, *, whole: bool) -> str:
        return f"{MARK}{digest(self._live)}/{self._wanted.sha256} " + ("whole" if whole else "in the making")


def room(session: Session) -> int:
    """See engines.clone.room."""
    return int(session.value("SELECT pg_catalog.pg_database_size(pg_catalog.current_database())"))


def clone(engine: Engine, admin: Engine | None, wanted: Wanted, lock: Lock, alive: Callable[[], None]) -> str:
    """See engines.clone.clone."""
    home, live = (admin or engine).url, _name(engine)
    inside = PostgreSQL(home.set(database=live), wanted.application_name)
    with fences.desk_for(home, live, wanted.application_name) as desk:
        desk.run("SET statement_timeout = 0")
        if not desk.value(f"SELECT pg_catalog.pg_try_advisory_lock({restore_key(live):d})"):
            raise Refusal(RunnerReason.LOCK_HELD, "A restore of this database is at work.")
        found = fences.find(desk, live)
        assert found is not None  # noqa: S101  # a lock is held inside
        copy = Clone(live, desk, wanted)
        _drop_all(desk, live)
        if version := fences.scheduler_for_good(desk, live):
            raise Refusal(
                RunnerReason.RESTORE_NOT_POSSIBLE,
                f"pg_cron's scheduler is in the database, and nobody may be while it is copied; ended, that of version {version} starts"
                " again only with the server. Have pg_cron 1.6.1 or later, or its jobs in another database (cron.database_name).",
            )
        try:
            with contextlib.ExitStack() as fenced:
                fences.shut(desk, live, f"{digest(live)}/{wanted.token}")
                fenced.callback(fences.lift_surely, home, desk, live, wanted.application_name)
                lock.check()
                lock.release()
                fences.expel(desk, found.oid, but=frozenset(), spared=(), everybody=True, alive=alive)
                patiently(copy.make, alive=alive, cancel=_from_outside(home, live, desk))
            copy.approve(inside)
        except StatementRefused as error:
            _drop_quietly(desk, copy.name)
            raise RunnerError(
                RunnerReason.RESTORE_NOT_POSSIBLE, f"The server refused to copy the database: {error.message}"
            ) from None
        except BaseException:
            _drop_quietly(desk, copy.name)
            raise
    return copy.name


def drop_clones(engine: Engine, admin: Engine | None) -> None:
    """See engines.clone.drop_clones."""
    home, live = (admin or engine).url, _name(engine)
    with fences.desk_for(home, live, "dbmigration/retention") as desk:
        _drop_all(desk, live)


def _name(engine: Engine) -> str:
    return engine.url.database or engine.url.username or ""


def _drop_all(desk: Session, live: str) -> None:
    names = desk.rows(
        "SELECT d.datname::text FROM pg_catalog.pg_database d WHERE pg_catalog.starts_with(d.datname, :prefix)"
        " AND pg_catalog.starts_with(coalesce(pg_catalog.shobj_description(d.oid, 'pg_database'), :mark), :mark)",
        prefix=f"{PREFIX}{digest(live)}_",
        mark=f"{MARK}{digest(live)}/",  # or none, where the copy's maker was killed before it could say so
    )
    for (name,) in names:
        drop(desk, name)


def _drop_quietly(desk: Session, name: str) -> None:
    with contextlib.suppress(RunnerError):  # the next backup drops it
        drop(desk, name)


def _from_outside(home: URL, live: str, desk: Session) -> Callable[[], None]:
    """What ends the desk's own statement."""
    pids = [int(desk.value("SELECT pg_catalog.pg_backend_pid()"))]

    def cancel() -> None:
        with contextlib.suppress(RunnerError), fences.desk_for(home, live, "dbmigration/clone") as other:
            fences.cancelling(other, pids)()

    return cancel
