"""What forbids that a MariaDB database is put back from a backup, and can be known without one.

Asked where a run is planned, again before its backup, and before a restore begins: the words stand here once. It only reads, so
whether the role may make databases is not known here; the backup's probe tries that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbmigration_runner.engines.mysql_tools import series_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dbmigration_runner.engines.interface import Engine, Session

OLDEST = (10, 6)  # from there on a rename of several tables outlives the server's end whole or not at all
_SHOWN = 5
_REFERRING = (
    "SELECT DISTINCT concat(CONSTRAINT_SCHEMA, '.', TABLE_NAME) FROM information_schema.REFERENTIAL_CONSTRAINTS"
    " WHERE UNIQUE_CONSTRAINT_SCHEMA = DATABASE() AND CONSTRAINT_SCHEMA <> DATABASE() ORDER BY 1"
)


def blockers(engine: Engine, admin: Engine | None, *, with_rights: bool) -> tuple[str, ...]:
    """See engines.restore.blockers."""
    from dbmigration_runner.engines.mysql import MySQL

    del with_rights  # which rights a role has on databases that are not there, nobody can be asked
    url = engine.url if admin is None else admin.url.set(database=engine.url.database)
    with MySQL(url, "dbmigration/restorable").connect() as session:
        return tuple(in_the_way(session))


def in_the_way(session: Session) -> Iterator[str]:
    """What would forbid the exchange of the tables, or be left at the replaced ones; foreign keys as far as the role sees them."""
    series = series_of(str(session.value("SELECT VERSION()")))
    if series < OLDEST:
        yield f"The server is of the series {series[0]}.{series[1]}; only from MariaDB 10.6 on a rename outlives its end."
    referring = [str(row[0]) for row in session.rows(_REFERRING)]
    if referring:
        more = f" and {len(referring) - _SHOWN} more" if len(referring) > _SHOWN else ""
        yield (
            f"Foreign keys of other databases refer to this one, of {', '.join(referring[:_SHOWN])}{more}: a restore would leave "
            "them at the tables that it replaces; drop them."
        )
