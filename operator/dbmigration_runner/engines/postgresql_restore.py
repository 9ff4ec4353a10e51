"""A PostgreSQL database put back: restored beside the live one, and then the two exchange their names in one transaction.

Never `--clean` in place, which leaves what a migration added. All sessions in the databases are opened before the fence,
for it keeps us out too; the exchange is made from another database of the server. See postgresql_fence.py.
"""
# ruff: noqa: S608  # statements are made of numbers, quoted names and literals of our own

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, TypeVar

from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.engines import postgresql_blockers as blockers
from dbmigration_runner.engines import postgresql_fence as fences
from dbmigration_runner.engines import postgresql_rights as rights
from dbmigration_runner.engines import postgresql_surroundings as surroundings
from dbmigration_runner.engines.long_work import patiently
from dbmigration_runner.engines.postgresql import PostgreSQL
from dbmigration_runner.engines.postgresql_fresh import Fresh
from dbmigration_runner.engines.postgresql_names import digest, quoted, restore_key, text_literal
from dbmigration_runner.engines.postgresql_probe import drop
from dbmigration_runner.engines.postgresql_rows import Rows, Side
from dbmigration_runner.engines.restore import STILL_CLOSED, not_looked_for
from dbmigration_runner.engines.row_comparison import compare
from dbmigration_runner.errors import Refusal, RunnerError, StatementRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dbmigration_runner.contract.result import TableLoss
    from dbmigration_runner.engines.interface import AskingSession, Engine, Lock
    from dbmigration_runner.engines.restore import LostRow, Wanted

T = TypeVar("T")
REPLACED = "dbmigration/replaced/"  # how the comment of a database that was replaced begins
NAME_BYTES = 63
POLL_SECONDS = 0.25
_SCHEDULER_STOPPED = (
    "pg_cron's scheduler was in the database and was ended; that of version {version} starts again only with the server. Until"
    " PostgreSQL is restarted no job runs."
)


def restore_for(engine: Engine, admin: Engine | None, wanted: Wanted) -> PostgreSQLRestore:
    """See engines.restore.restore_for."""
    url = engine.url if admin is None else admin.url.set(database=engine.url.database)
    return PostgreSQLRestore(engine, PostgreSQL(url, wanted.application_name), admin, wanted)


def drop_replaced(engine: Engine, admin: Engine | None, name: str) -> bool:
    """See engines.restore.drop_replaced. The name must be of this database's, and the comment be ours."""
    url = (admin or engine).url
    live = engine.url.database or ""
    with fences.desk_for(url, live, "dbmigration/retention") as desk:
        found = fences.find(desk, name)
        if found is None or found.is_open or not (found.comment or "").startswith(f"{REPLACED}{digest(live)}/"):
            return False
        drop(desk, name)
    return True


class PostgreSQLRestore:
    """See restore.Restore."""

    def __init__(self, ordinary: Engine, engine: PostgreSQL, admin: Engine | None, wanted: Wanted) -> None:
        self.engine = engine
        self._ordinary = ordinary if admin is not None else None
        self._wanted = wanted
        self._name = engine.url.database or engine.url.username or ""
        self._token = f"{digest(self._name)}/{wanted.token}"
        self._kept = _kept_name(self._name, wanted.keep_as)
        home = admin.url if admin is not None else engine.url
        self._home = home
        self._desk = fences.desk_for(home, self._name, wanted.application_name)
        self._fresh = Fresh(engine, self._desk, wanted, self._token)
        self._inside: list[AskingSession] = []  # opened before the fence: the live database's, the copy's
        self._pids: frozenset[int] = frozenset()  # of all our sessions in the two databases
        self._exchanged = False
        self._is_shut = False  # by us, or perhaps
        self._notes: tuple[str, ...] = ()
        self._stopped: tuple[str, ...] = ()  # what was ended and does not come back, whatever becomes of the restore
        self._before: Side | None = None  # the copy, as it is compared

    def lock(self, should_stop: Callable[[], None]) -> Lock:
        """See restore.Restore."""
        self._end_earlier_attempt(should_stop)
        # The first session that is opened in the database lifts a fence that was left.
        lock = self.engine.lock(exclusive=True, should_stop=should_stop, wait_seconds=self._wanted.grace_seconds)
        try:
            self._pids = frozenset(int(row[0]) for row in self._desk.rows(_holders(int(lock.proof["key"]))))
            if self._ordinary is not None:
                _refuse_elsewhere(self._ordinary, int(lock.proof["key"]))
            self._take_turn()
        except BaseException:
            lock.release()
            raise
        return lock

    def swapped(self) -> str | None:
        """See restore.Restore."""
        kept = fences.find(self._desk, self._kept)
        done = kept is not None and (kept.comment or "").startswith(f"{REPLACED}{self._token} ")
        return self._kept if done else None

    def refuse_impossible(self) -> None:
        """See restore.Restore."""
        whys = list(self._impossible())
        if whys:
            raise Refusal(RunnerReason.RESTORE_NOT_POSSIBLE, " ".join(whys))

    @property
    def is_filled(self) -> bool:
        """See restore.Restore."""
        return self._fresh.is_at_hand

    @property
    def is_compared(self) -> bool:
        """See restore.Restore. What the server copied holds also what a dump leaves out."""
        return not self._wanted.nothing_written or (bool(self._wanted.left_out) and not self._fresh.is_of_server)

    def fill(self, alive: Callable[[], None]) -> tuple[str, ...]:
        """See restore.Restore."""
        return (*self._fresh.fill(alive), *self._changed_around())

    @contextlib.contextmanager
    def fence(self, alive: Callable[[], None]) -> Iterator[None]:
        """See restore.Restore."""
        live = fences.find(self._desk, self._name)
        assert live is not None  # noqa: S101  # we hold a lock inside
        self._inside = [_reader(self.engine), _reader(self._fresh.engine)]
        self._pids |= {int(session.value("SELECT pg_catalog.pg_backend_pid()")) for session in self._inside}
        try:
            self._fresh.shut()
            if self.is_compared:
                self._foresee(alive)
            self._is_shut = True
            fences.shut(self._desk, self._name, self._token)
            self._refuse_what_came()
            scheduler = fences.scheduler_for_good(self._desk, self._name)
            ended = fences.expel(
                *(self._desk, live.oid),
                but=self._pids,
                spared=self._wanted.spared_users,
                everybody=False,
                alive=alive,
            )
            self._stopped = (_SCHEDULER_STOPPED.format(version=scheduler),) if scheduler else ()
            self._notes = (*self._unseen(ended), *rights.changed(before=self._inside[1], now=self._inside[0]))
            yield
        finally:
            self._leave()
            if not self._exchanged:
                fences.lift_surely(self._home, self._desk, self._name, self._wanted.application_name)

    def compare(self, lost: Callable[[LostRow], None], alive: Callable[[], None]) -> tuple[TableLoss, ...]:
        """See restore.Restore."""
        now = Side(self._inside[0])
        rows = Rows(self._copy(), now, self._wanted.version_table, lambda *works: self._patiently(*works, alive=alive))
        return tuple(compare(rows, lost))

    def swap(self, lock: Lock, alive: Callable[[], None]) -> str:
        """See restore.Restore."""
        live = fences.find(self._desk, self._name)
        assert live is not None  # noqa: S101  # nobody can have renamed it within the fence
        lock.check()
        self._leave()
        lock.release()
        fences.expel(self._desk, live.oid, but=frozenset(), spared=(), everybody=True, alive=alive)
        self._refuse_what_came()
        wanted = self._wanted.surroundings
        comment = wanted.comment if wanted is not None else live.comment
        limit = wanted.connection_limit if wanted is not None else -1
        is_template = wanted is not None and wanted.is_template
        told = f"{REPLACED}{self._token} A restore of {self._wanted.path.name} took its place; nobody may connect."
        told += "" if live.comment is None else f"\n{live.comment}"
        try:
            self._exchange(told, comment, limit, is_template=is_template)
        except StatementRefused as error:
            raise RunnerError(
                RunnerReason.SESSION_STAYS, f"The names could not be exchanged: {error.message}; nothing was changed."
            ) from None
        self._exchanged = True
        return self._kept

    def confirm(self) -> tuple[str, ...]:
        """See restore.Restore."""
        notes = (*self._notes, *self._stopped, *fences.readers_elsewhere(self._desk))
        if self._ordinary is None:
            return notes
        try:
            here = fences.find(self._desk, self._name)
            seen = _bare(
                self._ordinary, "SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()"
            )
        except RunnerError as error:
            return (*notes, f"The restored database could not be reached by the ordinary URL yet: {error.message}")
        if here is not None and seen == here.oid:
            return notes
        return (*notes, "The ordinary URL still leads to the replaced database: let the pooler in front reconnect.")

    def discard(self) -> tuple[str, ...]:
        """See restore.Restore."""
        if self._exchanged:
            return ()
        with contextlib.suppress(RunnerError):  # the next attempt, or the next restore, drops it
            self._fresh.give_up()
        return (*self._stopped, *((STILL_CLOSED,) if self._is_shut and self._is_still_closed() else ()))

    def close(self) -> None:
        """See restore.Restore."""
        self._leave()
        self._desk.close()

    def _take_turn(self) -> None:
        """Held to the end, also while nobody can hold the run's lock."""
        if not self._desk.value(f"SELECT pg_catalog.pg_try_advisory_lock({restore_key(self._name):d})"):
            raise Refusal(RunnerReason.LOCK_HELD, "Another restore of this database is at work.")

    def _impossible(self) -> Iterator[str]:
        yield from blockers.rights(self._desk, self._name)
        wanted = self._wanted.surroundings
        if wanted is not None:
            if wanted.owner not in surroundings.known_roles(self._desk):
                yield f"The owner of the database in the backup is not there any more: {wanted.owner}. Make that role again."
            elif not self._desk.value("SELECT pg_catalog.pg_has_role(:owner, 'MEMBER')", owner=wanted.owner):
                yield f"The role is no member of the owner, {wanted.owner}, and may not give it a database: set adminUrlFrom."
        if len(self._kept.encode()) > NAME_BYTES or self._kept == self._name:
            yield f"The replaced database could not be called {self._kept}."
        elif fences.find(self._desk, self._kept) is not None:
            yield f"A database {self._kept} is there already: the replaced one could not be kept under that name."
        yield from blockers.in_the_way(self._desk, self._name)

    def _refuse_what_came(self) -> None:
        """What was made while the copy was filled: nobody was kept from it."""
        whys = tuple(blockers.in_the_way(self._desk, self._name))
        if whys:
            raise Refusal(RunnerReason.RESTORE_NOT_POSSIBLE, f"{' '.join(whys)} Nothing was changed.")

    def _exchange(self, told: str, comment: str | None, limit: int, *, is_template: bool) -> None:
        """The copy opens under the database's name, with this comment and limit; what was so called stays closed.

        A template cannot be dropped, so what is kept is none.
        """
        run, live, fresh, kept = self._desk.run, quoted(self._name), quoted(self._fresh.name), quoted(self._kept)
        with fences.transaction(self._desk):
            run(f"ALTER DATABASE {live} RENAME TO {kept}")
            self._refuse_opened()
            run(f"ALTER DATABASE {fresh} RENAME TO {live}")
            run(f"COMMENT ON DATABASE {kept} IS {text_literal(told)}")
            run(f"COMMENT ON DATABASE {live} IS {'NULL' if comment is None else text_literal(comment)}")
            run(f"ALTER DATABASE {kept} IS_TEMPLATE false")
            run(f"ALTER DATABASE {live} CONNECTION LIMIT {limit:d} IS_TEMPLATE {str(is_template).lower()}")
            run(f"ALTER DATABASE {live} ALLOW_CONNECTIONS true")

    def _refuse_opened(self) -> None:
        """Its row is locked by the renaming: what it says now holds until the end of the transaction."""
        found = fences.find(self._desk, self._kept)
        if found is None or found.is_open or found.fence != self._token:
            raise RunnerError(
                RunnerReason.SESSION_STAYS,
                "Somebody opened the database while it was compared, and may have written to it; nothing was changed.",
            )

    def _changed_around(self) -> Iterator[str]:
        """What stands in no table, was changed since the backup, and is as it was then again."""
        was = self._wanted.surroundings
        if was is None:
            return
        with self.engine.connect() as session:
            put_back = surroundings.without(was, surroundings.gone(was, surroundings.known_roles(session)))
            names = surroundings.differences(put_back, surroundings.read(session))
        if names:
            yield f"Of the database itself was changed since the backup, and is as in the backup now: {', '.join(names)}."
        with self._fresh.engine.connect() as session:
            others = surroundings.other_extensions(was, surroundings.read(session))
        if others:
            yield f"Extensions of the restored database have the server's versions, not the backup's: {', '.join(others)}."

    def _unseen(self, ended: tuple[str, ...]) -> tuple[str, ...]:
        return () if self.is_compared or not ended else (not_looked_for(ended, self._kept),)

    def _foresee(self, alive: Callable[[], None]) -> None:
        """The copy stands still, so what is compared of it is read before anybody has to wait."""
        now = Side(self._inside[0])
        now.leave()
        self._patiently(lambda: self._copy().foresee(now.shapes), alive=alive)

    def _copy(self) -> Side:
        if self._before is None:
            self._before = Side(self._inside[1])
        return self._before

    def _patiently(self, *works: Callable[[], T], alive: Callable[[], None]) -> list[T]:
        return patiently(*works, alive=alive, cancel=fences.cancelling(self._desk, self._pids))

    def _is_still_closed(self) -> bool:
        try:
            with fences.desk_for(self._home, self._name, self._wanted.application_name) as desk:
                found = fences.find(desk, self._name)
        except RunnerError:
            return True
        return found is not None and bool(found.fence)

    def _leave(self) -> None:
        for session in self._inside:
            session.close()
        self._inside = []
        self._before = None

    def _end_earlier_attempt(self, should_stop: Callable[[], None]) -> None:
        """An attempt whose Pod is gone may have left sessions at work; after the grace period they are ended."""
        until = time.monotonic() + self._wanted.grace_seconds
        while found := self._desk.rows(
            "SELECT pid FROM pg_catalog.pg_stat_activity WHERE application_name = :name AND pid <> pg_catalog.pg_backend_pid()",
            name=self._wanted.application_name,
        ):
            should_stop()
            if time.monotonic() >= until:
                for (pid,) in found:
                    with contextlib.suppress(StatementRefused):
                        self._desk.value(f"SELECT pg_catalog.pg_terminate_backend({pid:d})")
                return
            time.sleep(POLL_SECONDS)


def _reader(engine: PostgreSQL) -> AskingSession:
    session = engine.connect(statement_timeout_seconds=None)
    session.rows(
        "SELECT pg_catalog.set_config(name, '0', false) FROM pg_catalog.pg_settings WHERE name IN"
        " ('statement_timeout', 'idle_in_transaction_session_timeout', 'transaction_timeout', 'lock_timeout')"
    )
    return session


def _holders(key: int) -> str:
    """In whatever database of the server."""
    return (
        "SELECT pid FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1"
        f" AND classid = {key >> 32:d} AND objid = {key & 0xFFFFFFFF:d}"
    )


def _refuse_elsewhere(ordinary: Engine, key: int) -> None:
    """The same server, and the database that the lock is in."""
    here = "database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())"
    if _bare(ordinary, f"SELECT count(*) FROM ({_holders(key)} AND {here}) AS held") == 0:
        raise Refusal(
            RunnerReason.WRONG_DATABASE,
            "adminUrlFrom leads to another server than urlFrom: the lock that is held by the one is not seen by the other.",
        )


def _bare(ordinary: Engine, question: str) -> object:
    """Ask by the ordinary URL, which may lead through a pooler, and leave nothing behind there."""
    assert isinstance(ordinary, PostgreSQL)  # noqa: S101  # engine_for made it
    with ordinary.connect_bare() as session:
        session.run("BEGIN")
        session.run("SET LOCAL search_path = pg_catalog, pg_temp")
        answer: object = session.value(question)
        session.run("ROLLBACK")
    return answer


def _kept_name(database: str, keep_as: str) -> str:
    """`<database>_<keep_as>`, of at most 63 bytes: what tells it from others stands at the end."""
    room = NAME_BYTES - len(keep_as.encode()) - 1
    return database.encode()[: max(room, 0)].decode(errors="ignore") + "_" + keep_as
