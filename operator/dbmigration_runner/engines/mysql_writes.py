"""When each table was written to last, as MariaDB remembers it to the second. See writes.py.

It forgets when it starts. Its counters of rows are switched off by default, so how many were written is not known from it.
MySQL tells such times from a cache that may be a day old: nothing is asked there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbmigration_runner.engines.writes import WHOLE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dbmigration_runner.engines.interface import Session

_CLOCK_SECONDS = 2  # when the server started is told with so much error
_STARTED = (
    "SELECT CAST(UNIX_TIMESTAMP() - variable_value AS SIGNED) FROM information_schema.global_status"
    " WHERE variable_name = 'UPTIME'"
)
_TABLES = (
    "SELECT table_name, COALESCE(CAST(update_time AS CHAR), '') FROM information_schema.tables"
    " WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE'"
)


def marks(session: Session) -> dict[str, str]:
    """See writes.marks."""
    if "MariaDB" not in str(session.value("SELECT VERSION()")):
        return {}
    tables = {str(table): str(written) for table, written in session.rows(_TABLES)}
    return {WHOLE: str(session.value(_STARTED)), **tables}


def changed(before: Mapping[str, str], now: Mapping[str, str]) -> dict[str, int | None] | None:
    """See writes.changed."""
    if abs(int(before[WHOLE]) - int(now[WHOLE])) > _CLOCK_SECONDS:
        return None
    return dict.fromkeys(
        sorted(table for table in (before.keys() | now.keys()) - {WHOLE} if before.get(table) != now.get(table))
    )
