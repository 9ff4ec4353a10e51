"""What makes several sessions see one instant: nobody writes while each of them begins its snapshot.

LOCK TABLES … READ of the dumped database alone, for as long as the programs take to begin: neither RELOAD nor any other right
over the server is asked for. A writer waits that long.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.engines.mysql_names import quoted
from dbmigration_runner.errors import Refusal, RunnerError, StatementRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from dbmigration_runner.engines.interface import Engine, Session
    from dbmigration_runner.engines.mysql_tables import Table

# How long each try waits. While one waits, whoever writes queues behind it: so at first none does, and between two
# transactions of others the locks are had. A second is the least that the server knows then.
TRIES = (*(0,) * 20, 1, 1)
TRIES_FOR_OTHERS = (*TRIES, *(1,) * 60)  # where there is no way without the lock
PAUSE_SECONDS = 0.1
_NOT_ALLOWED = ("1044", "1142", "1227")
_SHOWN = 5
# A session that waits for a dump must not be ended for it. The last of them is MariaDB's alone.
_PATIENCE = (
    "SET SESSION wait_timeout = 31536000",
    "SET SESSION max_statement_time = 0",
)


@dataclass
class ReadLock:
    """A session that holds locks until it is released."""

    session: Session

    def check(self) -> None:
        """Is it still there? Raises SessionLost."""
        self.session.value("SELECT 1")

    def release(self) -> None:
        """Give the locks back; never raises."""
        self.session.close()


def lock_for_reading(
    source: Engine, tables: Iterable[Table], alive: Callable[[], None], tries: tuple[int, ...] = TRIES
) -> ReadLock | str:
    """The locks, or why there are none."""
    listed = ", ".join(f"{quoted(table.name)} READ" for table in tables)
    session = source.connect(statement_timeout_seconds=None)
    try:
        for statement in _PATIENCE:
            session.run(statement)
        for seconds in tries:
            alive()
            session.run(f"SET SESSION lock_wait_timeout = {seconds}")
            try:
                session.run(f"LOCK TABLES {listed}")
            except StatementRefused as error:
                if error.code in _NOT_ALLOWED:
                    session.close()
                    return f"the role may not lock them ({error.message})"
                if not error.is_lock_timeout:
                    raise
                time.sleep(PAUSE_SECONDS)
            else:
                return ReadLock(session)
    except BaseException:
        session.close()
        raise
    session.close()
    return f"somebody held one of them in each of {len(tries)} tries"


def lock_the_others(source: Engine, tables: tuple[Table, ...], alive: Callable[[], None]) -> ReadLock | None:
    """Of tables that are in no snapshot, for as long as their rows are read; None where there are no such tables.

    Reading one of them keeps its writers out anyhow, row by row; under a lock all of them are of the snapshot's instant.
    Raises Refusal where they cannot be locked: rows of another instant would be no way back.
    """
    if not tables:
        return None
    held = lock_for_reading(source, tables, alive, TRIES_FOR_OTHERS)
    if isinstance(held, ReadLock):
        return held
    names = ", ".join(f"{table.name} ({table.engine})" for table in tables[:_SHOWN])
    more = f" and {len(tables) - _SHOWN} more" if len(tables) > _SHOWN else ""
    remedy = "GRANT LOCK TABLES on the database, or make them InnoDB"
    raise (Refusal if "may not" in held else RunnerError)(
        RunnerReason.INSUFFICIENT_PRIVILEGE if "may not" in held else RunnerReason.BACKUP_FAILED,
        f"{names}{more}: these tables are in no snapshot and must be locked while they are read, but {held}. {remedy}.",
    )


def position(session: Session) -> str:
    """Where the server's binary log is now, "" where there is none or the role may not see it."""
    with contextlib.suppress(StatementRefused):
        for file, offset, *_ in session.rows("SHOW MASTER STATUS"):
            gtid = session.value(f"SELECT BINLOG_GTID_POS({_text(str(file))}, {int(offset)})")
            return f"{file}:{offset}" + (f", GTID {gtid}" if gtid else "")
    return ""


def _text(name: str) -> str:
    return f"X'{name.encode().hex()}'"
