"""What can go wrong in a runner, as a tree.

RunnerError                 a contract reason and a message (cause and remedy), never a secret and never a row of data
├── Refusal                 a fact forbids the step; nothing of it was begun
├── SessionNotOpened        a session of ours could not be opened: network, authentication, name, driver
├── SessionLost             a session of ours ended under our hands
├── StatementRefused        the server refused a statement of ours; `code` is its SQLSTATE, number or SQLite's error name
└── Stopped                 somebody wants the step to end: a signal, the time limit, a lost lock

Raised where it is known, translated from driver exceptions in engines/ alone, caught in supervisor.py and child.py.
"""

from __future__ import annotations

from dbmigration_runner.contract.reasons import RunnerReason

LOCK_TIMEOUTS = frozenset({"55P03", "1205", "SQLITE_BUSY", "SQLITE_LOCKED"})
STATEMENT_TIMEOUTS = frozenset({"57014", "1969", "3024", "SQLITE_INTERRUPT"})


class RunnerError(Exception):
    """A step cannot go on; `reason` is for machines, `message` names cause and remedy."""

    def __init__(self, reason: RunnerReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class Refusal(RunnerError):  # noqa: N818  # the tree says what happened
    """A fact forbids the step, and it was found before anything was begun."""


class SessionNotOpened(RunnerError):  # noqa: N818  # the tree says what happened
    """A session of ours could not be opened."""


class SessionLost(RunnerError):  # noqa: N818  # the tree says what happened
    """A session of ours ended: the server restarted, the network broke, or somebody terminated it."""

    def __init__(self, message: str) -> None:
        super().__init__(RunnerReason.CONNECTION_LOST, message)


class StatementRefused(RunnerError):  # noqa: N818  # the tree says what happened
    """The server refused a statement of ours; the primary message only, for details hold data."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(RunnerReason.INTERNAL_ERROR, message)
        self.code = code

    @property
    def is_lock_timeout(self) -> bool:
        """Somebody else's lock was in the way for longer than the session waits."""
        return self.code in LOCK_TIMEOUTS

    @property
    def is_timeout(self) -> bool:
        """It took longer than the session lets a statement run."""
        return self.code in STATEMENT_TIMEOUTS


class Stopped(RunnerError):  # noqa: N818  # the tree says what happened
    """The step was told to end; `reason` is Cancelled, TimedOut or LockLost."""
