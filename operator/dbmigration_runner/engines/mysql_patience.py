"""Statements of a restore or its trial that wait for a lock of the whole server: in short tries, as no driver hears a stop.

FLUSH TABLES WITH READ LOCK, and BACKUP STAGE BLOCK_DDL of a backup program, keep everybody from making a table, in whatever
database, for as long as their session likes; the server's own limit to such a wait is a day.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.engines.messages import short
from dbmigration_runner.errors import RunnerError, StatementRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dbmigration_runner.engines.interface import Session

PATIENCE_SECONDS = 60  # what a restore's session waits for a lock, in one statement or in several tries
TRY_SECONDS = 1


@contextlib.contextmanager
def briefly(desk: Session) -> Iterator[None]:
    """Within, a statement waits for one try only."""
    desk.run(f"SET SESSION lock_wait_timeout = {TRY_SECONDS:d}")
    try:
        yield
    finally:
        desk.run(f"SET SESSION lock_wait_timeout = {PATIENCE_SECONDS:d}")


def despite_locks(desk: Session, work: Callable[[], object], alive: Callable[[], None]) -> None:
    """See `retried`. Raises RunnerError (SessionStays) where the lock stays."""
    try:
        retried(desk, work, alive)
    except StatementRefused as error:
        raise (held(error) if error.is_lock_timeout else error) from None


def retried(desk: Session, work: Callable[[], object], alive: Callable[[], None]) -> None:
    """Try it again and again; `alive` is asked between the tries. It must be such as can be begun anew.

    Raises StatementRefused, also where a lock stays.
    """
    until = time.monotonic() + PATIENCE_SECONDS
    with briefly(desk):
        while True:
            alive()
            try:
                work()
            except StatementRefused as error:
                if not error.is_lock_timeout or time.monotonic() >= until:
                    raise
            else:
                return


def held(error: StatementRefused) -> RunnerError:
    """What a lock timeout of such a statement says. Pure."""
    return RunnerError(
        RunnerReason.SESSION_STAYS,
        short(
            f"A session keeps the server from making or changing databases and tables ({error.message}), as FLUSH TABLES WITH READ "
            "LOCK does, or the BACKUP STAGE of a backup program: end it, or wait for its end. Nothing was restored."
        ),
    )
