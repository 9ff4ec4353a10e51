"""PostgreSQL's counters of written rows, which each table has. See writes.py.

They begin anew with each database, after a crash, and when somebody resets them; a row that is written twice counts twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbmigration_runner.engines.postgresql_copy import qualified
from dbmigration_runner.engines.writes import WHOLE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dbmigration_runner.engines.interface import Session

_WHOLE = (
    "SELECT pg_catalog.concat(datid, ' ', stats_reset) FROM pg_catalog.pg_stat_database"
    " WHERE datname = pg_catalog.current_database()"
)
_TABLES = (
    "SELECT schemaname::text, relname::text, n_tup_ins + n_tup_upd + n_tup_del FROM pg_catalog.pg_stat_user_tables"
    " WHERE pg_catalog.left(schemaname, 3) <> 'pg_'"
)


def marks(session: Session) -> dict[str, str]:
    """See writes.marks."""
    tables = {qualified(schema, table): str(count) for schema, table, count in session.rows(_TABLES)}
    return {WHOLE: str(session.value(_WHOLE)), **tables}


def changed(before: Mapping[str, str], now: Mapping[str, str]) -> dict[str, int | None] | None:
    """See writes.changed."""
    grown = {table: int(count) - int(before.get(table, 0)) for table, count in now.items() if table != WHOLE}
    if before[WHOLE] != now[WHOLE] or any(count < 0 for count in grown.values()):
        return None
    # The counters of a table that is gone are gone too: that it is not there is all that is known.
    gone: dict[str, int | None] = dict.fromkeys(sorted(before.keys() - now.keys()))
    return {**gone, **{table: count for table, count in grown.items() if count}}
