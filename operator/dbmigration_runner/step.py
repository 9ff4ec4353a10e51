"""What every step's parent shares: the task, the engine, the clock, the signals, and looking at the database.

The report is true because of `look`: what a result says about the database was read from it after the act.
"""

from __future__ import annotations

import hashlib
import random
import signal
import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.contract.result import DatabaseFacts, Outcome, Result, StorageReport
from dbmigration_runner.contract.task import StepKind
from dbmigration_runner.engines import read_catalog
from dbmigration_runner.errors import Refusal, RunnerError, StatementRefused, Stopped

if TYPE_CHECKING:
    from dbmigration_runner.contract.task import RunIdentity, Task
    from dbmigration_runner.engines.catalog import Catalog
    from dbmigration_runner.engines.interface import AskingSession, Engine, Session
    from dbmigration_runner.log import Log
    from dbmigration_runner.process import Process

DEFAULT_VERSION_TABLE = "alembic_version"
POLL_SECONDS = 0.25
FIRST_LOOK_SECONDS = 5
QUICK_LOOK_SECONDS = 2
QUICK_LOOK_LOCK_SECONDS = 0.1
TERMINATED_SECONDS = 10  # how long a terminated session may take to vanish


@dataclass(frozen=True)
class Seen:
    """The database at one moment; None where it could not be read. `version_table` as it was known when it was read."""

    heads: tuple[str, ...] | None = None
    schema: Catalog | None = None
    version_table: str = DEFAULT_VERSION_TABLE

    @property
    def catalog(self) -> str | None:
        """The fingerprint of the schema, without the version table."""
        return self.schema.fingerprint(self.version_table) if self.schema is not None else None

    def told(self, heads: tuple[str, ...] | None, version_table: str) -> Seen:
        """The same moment, as env.py tells it: before it ran nobody knew where its heads are."""
        return replace(self, heads=heads, version_table=version_table)


class Step:
    """One task, on the parent's side."""

    def __init__(self, task: Task, engine: Engine, log: Log) -> None:
        self.task = task
        self.engine = engine
        self.log = log
        self.application_name = application_name(task.run)
        self.facts: DatabaseFacts | None = None
        self.warnings: list[str] = []
        self.storage: StorageReport | None = None  # told whatever becomes of the step
        self._deadline = time.monotonic() + task.timeout_seconds
        self._signalled = threading.Event()
        self._child: Process | None = None

    def keep_child(self, child: Process) -> None:
        """A process that waits to run env.py, made while this one had nothing opened."""
        self._child = child

    def take_child(self) -> Process | None:
        """That process, for the first who asks."""
        child, self._child = self._child, None
        return child

    def obey_signals(self) -> None:
        """From now on SIGTERM and SIGINT end the step in good order, also one that came before and was held back."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._signalled.set())
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM, signal.SIGINT))

    def check(self) -> None:
        """Raises Stopped where the step was told to end, or its time is over."""
        if self._signalled.is_set():
            raise Stopped(RunnerReason.CANCELLED, "The step was told to stop.")
        if time.monotonic() >= self._deadline:
            raise Stopped(RunnerReason.TIMED_OUT, f"The step was not done within {self.task.timeout_seconds} s.")

    @property
    def seconds_left(self) -> float:
        """Until the step's time is over."""
        return max(self._deadline - time.monotonic(), 0)

    def sleep(self, seconds: float) -> None:
        """Wait, but not when told to stop."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.check()
            time.sleep(min(POLL_SECONDS, max(until - time.monotonic(), 0)))

    def jitter(self, seconds: float) -> None:
        """Wait between nothing and this long, so that two that collided do not collide again."""
        self.sleep(random.uniform(0.1, seconds))  # noqa: S311  # no secret

    @property
    def version_table(self) -> str:
        """Where the heads are, as far as the task knows."""
        expected, backup = self.task.expected, self.task.backup
        if expected is not None and expected.version_table:
            return expected.version_table
        return backup.version_table if backup is not None else DEFAULT_VERSION_TABLE

    def meet(self, session: Session) -> None:
        """Learn which database this is, and refuse one that cannot be worked on. Raises Refusal."""
        self.recognise(session)
        told = self.engine.refuse_unsuitable(session)
        if self.task.kind is StepKind.PLAN:  # the run's later steps find the same
            self.warnings += told

    def recognise(self, session: Session) -> None:
        """Learn which database this is. Raises Refusal (DatabaseMoved) where another one was planned."""
        self.facts = self.engine.facts(session)
        expected = self.task.expected
        if expected is not None and expected.fingerprint and expected.fingerprint != self.facts.fingerprint:
            raise Refusal(
                RunnerReason.DATABASE_MOVED,
                "The URL now leads to another database than was planned; it is planned again.",
            )

    def first_session(self) -> AskingSession:
        """A session for what is asked before anything is begun: it need not outwait anybody, for the step can come again."""
        return self.engine.connect(lock_timeout_seconds=FIRST_LOOK_SECONDS)

    def first_look(self, session: Session) -> Seen:
        """As `look`, before anything is begun. Raises Refusal (LockHeld) where somebody's lock keeps even readers out."""
        heads: tuple[str, ...] | None = None
        try:
            heads = self.engine.heads(session, self.version_table)
            return Seen(heads, read_catalog(self.engine, session), self.version_table)
        except StatementRefused as error:
            if error.is_lock_timeout:
                raise self._kept_out(session) from None
            return self._unread(heads, error)
        except RunnerError as error:
            return self._unread(heads, error)

    def quick_look(self, version_table: str | None) -> Seen | None:
        """As `look`, while a migration is at work: None where it would take time, or hold up whoever watches over it."""
        place = version_table or self.version_table
        try:
            with self.engine.connect(
                statement_timeout_seconds=QUICK_LOOK_SECONDS, lock_timeout_seconds=QUICK_LOOK_LOCK_SECONDS
            ) as session:
                heads = self.engine.heads(session, place)
                return Seen(heads, read_catalog(self.engine, session), place)
        except RunnerError:
            return None

    def look(self, version_table: str | None = None) -> Seen:
        """Read heads and catalog on a session of its own; never raises: what cannot be read is None."""
        heads: tuple[str, ...] | None = None
        place = version_table or self.version_table
        try:
            with self.engine.connect() as session:
                heads = self.engine.heads(session, place)
                return Seen(heads, read_catalog(self.engine, session), place)
        except RunnerError as error:
            return self._unread(heads, error)

    def await_guests(self, session: Session) -> None:
        """Wait for sessions that outlived an earlier attempt; after the grace period end them.

        Only under the run's lock: without it they could be somebody's who is at work.
        """
        grace = time.monotonic() + self.task.locks.grace_seconds
        while guests := self.engine.guests(session):
            if time.monotonic() >= grace:
                names = ", ".join(f"{guest.application_name or 'unnamed'} (pid {guest.session})" for guest in guests)
                self.warnings.append(f"Sessions left over from an earlier attempt were ended: {names}.")
                self.engine.terminate(session, guests)
                self._await_end(session)
                return
            self.sleep(POLL_SECONDS)

    def say_lock_timeout(self, revision: str | None, statement: str, tries: int, **facts: int) -> None:
        """For whoever watches: a lock was not to be had in time, so often by now, and it is tried again."""
        seconds = self.task.locks.retry_for_seconds
        self.log.say(
            "lock-timeout", revision=revision, statement=statement, tries=tries, retry_for_seconds=seconds, **facts
        )

    def result(self, outcome: Outcome, reason: RunnerReason, message: str, **facts: Any) -> Result:
        """An answer to this task."""
        return Result(
            kind=self.task.kind,
            nonce=self.task.nonce,
            outcome=outcome,
            reason=reason.value,
            message=message,
            database=self.facts,
            storage=self.storage,
            **facts,
        )

    def failed(self, error: RunnerError, **facts: Any) -> Result:
        """The answer to an error of ours."""
        return self.result(Outcome.FAILED, error.reason, error.message, **facts)

    def _unread(self, heads: tuple[str, ...] | None, error: RunnerError) -> Seen:
        self.warnings.append(f"The database could not be read: {error.message}")
        return Seen(heads)

    def _kept_out(self, session: Session) -> Refusal:
        holders = ", ".join(self.engine.in_the_way(session)) or "another session"
        return Refusal(
            RunnerReason.LOCK_HELD,
            f"Heads and schema could not be read within {FIRST_LOOK_SECONDS} s, for somebody holds an exclusive lock: {holders}. "
            "It is tried again; end the session if it is stuck.",
        )

    def _await_end(self, session: Session) -> None:
        until = time.monotonic() + TERMINATED_SECONDS
        while guests := self.engine.guests(session):
            if time.monotonic() >= until:
                raise Refusal(
                    RunnerReason.LOCK_HELD,
                    f"The session {guests[0].session} of an earlier attempt could not be ended by this role.",
                )
            self.sleep(POLL_SECONDS)


def application_name(run: RunIdentity) -> str:
    """Shown by the server for all our sessions, and the same for all attempts of one run and for nobody else.

    PostgreSQL keeps 63 bytes: so what tells two runs apart stands before names that may be long.
    """
    owner = hashlib.sha256(run.uid.encode()).hexdigest()[:8]
    name = f"dbmigration/{owner}/{run.number}/{run.namespace}/{run.name}"
    return name.encode()[:63].decode(errors="ignore")


def changed(before: Seen, after: Seen, *, committed: bool) -> bool | None:
    """Did the step leave anything behind? None where it cannot be told.

    Heads and schema are compared; `committed` says that rows stay, which neither of them shows.
    """
    if before.heads is not None and after.heads is not None and before.heads != after.heads:
        return True
    if before.catalog is not None and after.catalog is not None and before.catalog != after.catalog:
        return True
    if committed:
        return True
    return None if None in (before.heads, before.catalog, after.heads, after.catalog) else False
