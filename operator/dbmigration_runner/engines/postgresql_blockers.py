"""What forbids that a PostgreSQL database is put back from a backup, and can be known without one.

Asked where a run is planned, again before its backup, before a restore begins, and once more when nobody is in the database any
more: the words stand here once. It only reads.
"""
# ruff: noqa: S608  # statements are made of literals of our own

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dbmigration_runner.engines.interface import Engine, Session

MAY_NOT_CREATE = "give the role CREATEDB, or set adminUrlFrom"
_SHOWN = 5
_OID = "SELECT oid FROM pg_catalog.pg_database WHERE datname = :name"
_PREPARED = (
    "prepared transactions: commit or roll back",
    "SELECT gid FROM pg_catalog.pg_prepared_xacts WHERE database = :name",
)
_LASTING = (
    (
        "logical replication slots, which would stay with the replaced database: drop",
        "SELECT slot_name::text FROM pg_catalog.pg_replication_slots WHERE database = :name",
    ),
    (
        "subscriptions, which would go on writing into it: drop",
        f"SELECT subname::text FROM pg_catalog.pg_subscription WHERE subdbid = ({_OID})",
    ),
)


def blockers(engine: Engine, admin: Engine | None, *, with_rights: bool) -> tuple[str, ...]:
    """See engines.restore.blockers."""
    from dbmigration_runner.engines.postgresql import PostgreSQL

    url = engine.url if admin is None else admin.url.set(database=engine.url.database)
    with PostgreSQL(url, "dbmigration/restorable").connect() as session:
        name = str(session.value("SELECT pg_catalog.current_database()"))
        return (*(rights(session, name) if with_rights else ()), *_found(session, name, _LASTING))


def rights(session: Session, name: str) -> Iterator[str]:
    """What the session's role may not do with the database of that name."""
    creates, owns = session.rows(
        "SELECT r.rolsuper OR r.rolcreatedb, pg_catalog.pg_has_role(d.datdba, 'USAGE')"
        " FROM pg_catalog.pg_roles r, pg_catalog.pg_database d WHERE r.rolname = current_user AND d.datname = :name",
        name=name,
    )[0]
    if not creates:
        yield f"The role may not create or rename databases: {MAY_NOT_CREATE}."
    if not owns:
        yield "The role does not own the database, and only an owner may rename it: set adminUrlFrom."


def in_the_way(session: Session, name: str) -> Iterator[str]:
    """What would forbid the exchange of names, or be silently left with the replaced database.

    Prepared transactions are asked for only here, at the restore: at work they come and go, within the fence they stay.
    """
    yield from _found(session, name, (_PREPARED, *_LASTING))


def _found(session: Session, name: str, asked: tuple[tuple[str, str], ...]) -> Iterator[str]:
    for what, question in asked:
        found = [str(row[0]) for row in session.rows(f"{question} ORDER BY 1", name=name)]
        if found:
            more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
            yield f"The database has {what} {', '.join(found[:_SHOWN])}{more}."
