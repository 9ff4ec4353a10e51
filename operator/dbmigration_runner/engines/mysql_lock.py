"""The run's lock on MariaDB and MySQL: GET_LOCK on a session of its own, and a random name as the proof.

A named lock belongs to the server and to the session that took it; nothing of it is replicated. Polls, never waits on the
server: who waits there could not be stopped.
"""
# ruff: noqa: S608  # statements are made of numbers, quoted names and literals of our own

from __future__ import annotations

import contextlib
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.engines.mysql_names import SCHEMA, lock_name, owner_lock, run_lock, text_literal
from dbmigration_runner.errors import Refusal, RunnerError, StatementRefused, Stopped

if TYPE_CHECKING:
    from dbmigration_runner.engines.session import AlchemySession


@dataclass(frozen=True)
class Holder:
    """Who holds the run's lock. `user` is "" where it cannot be seen; `ours` says that it is of this very run."""

    session: int
    user: str
    ours: bool

    def __str__(self) -> str:
        return f"session {self.session}" + (f" of {self.user}" if self.user else ", of another user")


class MySQLLock:
    """See interface.Lock."""

    def __init__(self, session: AlchemySession, application_name: str) -> None:
        self._session = session
        self._number, self._schema = self._whom()
        self._run = run_lock(self._schema)
        self._owner = owner_lock(self._schema, application_name)
        self._proof = lock_name(self._schema, f"proof/{secrets.token_hex(10)}")
        self._held: list[str] = []
        self._is_asked = False  # by check, which may be in another thread

    @property
    def proof(self) -> dict[str, str]:
        """See interface.Lock."""
        return {"lock": self._proof, "session": str(self._number), "schema": self._schema}

    @property
    def files(self) -> tuple[int, ...]:
        """See interface.Lock."""
        return ()

    def prove(self) -> None:
        """Hold a name that nobody can guess: who sees our session hold it is on this server, now."""
        self._take(self._proof)

    def try_exclusive(self) -> bool:
        """One try for the run's lock. The name of its owner is held longer than it: so there is no holder without one."""
        return self._take(self._owner) and self._take(self._run)

    def holder(self) -> Holder | None:
        """Who holds the run's lock; None where nobody does any more."""
        number, ours = self._session.rows(
            f"SELECT IS_USED_LOCK({text_literal(self._run)}), IS_USED_LOCK({text_literal(self._owner)})"
        )[0]
        if number is None:
            return None
        seen = self._session.rows(
            f"SELECT p.user, p.host FROM information_schema.PROCESSLIST p WHERE p.id = {int(number):d}"
        )
        return Holder(int(number), f"{seen[0][0]}@{seen[0][1]}" if seen else "", ours=number == ours)

    def terminate(self, number: int) -> None:
        """End this session."""
        with contextlib.suppress(StatementRefused):  # it ended by itself, or is another user's: the lock tells
            self._session.run(f"KILL {number:d}")

    def check(self) -> None:
        """See interface.Lock."""
        self._is_asked = True
        mine = " + ".join(f"(IS_USED_LOCK({text_literal(name)}) <=> CONNECTION_ID())" for name in self._held)
        try:
            held = self._session.value(f"SELECT {mine}")
        except RunnerError as error:
            raise Stopped(RunnerReason.LOCK_LOST, f"The session that held the lock was lost: {error.message}") from None
        finally:
            self._is_asked = False
        if held != len(self._held):
            raise Stopped(RunnerReason.LOCK_LOST, "The lock on the database is no longer ours.")

    def release(self) -> None:
        """See interface.Lock."""
        if self._is_asked:
            return  # the heartbeat hangs in it, and whoever asks it too would hang: it ends with this process
        with contextlib.suppress(Exception):  # ending the session gives them back too, a moment later
            for name in reversed(self._held):
                self._session.value(f"SELECT RELEASE_LOCK({text_literal(name)})")
        self._session.close()

    def _take(self, name: str) -> bool:
        if name in self._held:
            return True
        taken = bool(self._session.value(f"SELECT GET_LOCK({text_literal(name)}, 0)"))
        if taken:
            self._held.append(name)
        return taken

    def _whom(self) -> tuple[int, str]:
        number, schema = self._session.rows(f"SELECT CONNECTION_ID(), {SCHEMA}")[0]
        if schema is None:
            raise no_schema()
        return int(number), str(schema)


def no_schema() -> Refusal:
    """A URL that ends with the server."""
    return Refusal(
        RunnerReason.URL_INVALID, "The URL names a server and no database on it: it must end with the database's name."
    )
