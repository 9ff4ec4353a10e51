"""What must hold on a MariaDB server before and after a migration.

Asks information_schema and the server's variables; what this user may not see is said to be unseen, never to be absent.
"""
# ruff: noqa: S608  # statements are made of numbers, quoted names and literals of our own

from __future__ import annotations

import contextlib
import secrets
from typing import TYPE_CHECKING

from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.contract.result import CheckReport
from dbmigration_runner.engines.interface import BeforeReport, Session
from dbmigration_runner.engines.mysql_names import SCHEMA, lock_name, parts, text_literal
from dbmigration_runner.errors import Refusal, StatementRefused

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from dbmigration_runner.contract.task import ChecksBefore

_SHOWN = 5
_OFF = ("0", "OFF", "")
_READ_ONLY = ("read_only", "super_read_only", "innodb_read_only", "tx_read_only", "transaction_read_only")
_NO_RIGHT = ("1227", "1142")


def refuse_unsuitable(session: Session, connect: Callable[[], AbstractContextManager[Session]]) -> tuple[str, ...]:
    """See interface.Engine."""
    settings = {
        str(name).lower(): str(value)
        for name, value in session.rows(
            "SHOW GLOBAL VARIABLES WHERE Variable_name IN"
            f" ('version', 'wsrep_on', {', '.join(f'{chr(39)}{name}{chr(39)}' for name in _READ_ONLY)})"
        )
    }
    if settings.get("wsrep_on", "OFF").upper() not in _OFF:
        raise Refusal(
            RunnerReason.ENGINE_NOT_SUPPORTED,
            "This server is a node of a Galera cluster, where GET_LOCK holds nobody off on the other nodes and every ALTER stops "
            "all of them: migrations there are not supported.",
        )
    for name in _READ_ONLY:
        if settings.get(name, "OFF").upper() not in _OFF:
            raise Refusal(
                RunnerReason.DATABASE_READ_ONLY,
                f"The server has {name} set to {settings[name]}: point the URL at the primary, or take the setting back.",
            )
    replicating = session.rows("SHOW GLOBAL STATUS LIKE 'Slaves_running'")
    if replicating and int(replicating[0][1]) > 0:
        raise Refusal(
            RunnerReason.DATABASE_READ_ONLY,
            "This server is a replica that could be written to: what is migrated there would part it from its primary. "
            "Point the URL at the primary.",
        )
    _refuse_pooler(session, connect)
    if "mariadb" in settings.get("version", "").lower():
        return ()
    return ("This is MySQL: everything here was tried on MariaDB alone, and never on MySQL.",)


def _refuse_pooler(session: Session, connect: Callable[[], AbstractContextManager[Session]]) -> None:
    """Behind a proxy that shares or splits sessions, locks and settings belong to whoever comes next."""
    name = text_literal(lock_name(str(session.value(f"SELECT {SCHEMA}")), f"session/{secrets.token_hex(8)}"))
    mine = session.value("SELECT CONNECTION_ID()")
    taken = session.value(f"SELECT GET_LOCK({name}, 0)")
    with connect() as other:
        theirs, holder = other.rows(f"SELECT CONNECTION_ID(), IS_USED_LOCK({name})")[0]
        again = {session.value("SELECT CONNECTION_ID()") for _ in range(3)}
    released = session.value(f"SELECT RELEASE_LOCK({name})")
    if taken != 1 or released != 1 or holder != mine or theirs == mine or again != {mine}:
        raise Refusal(
            RunnerReason.POOLER_DETECTED,
            "The URL leads through a proxy that shares sessions or sends statements to several servers: locks and settings do "
            "not stay with a session there. Give the server's own address.",
        )


def before(session: Session, checks: ChecksBefore) -> BeforeReport:
    """See interface.Engine."""
    warnings: list[str] = []
    if checks.max_transaction_age_seconds is not None:
        _refuse_long_transactions(session, checks.max_transaction_age_seconds, warnings)
    if checks.max_replication_lag_seconds is not None and session.value("SELECT @@log_bin"):
        warnings.append(
            "A MariaDB primary does not know how far its replicas are behind: checks.before.maxReplicationLag was not checked."
        )
    if checks.min_free_disk_bytes is not None:
        warnings.append(
            "The free disk space of the server cannot be seen from a session: checks.before.minFreeDisk was not checked."
        )
    return BeforeReport(tuple(warnings))


def _refuse_long_transactions(session: Session, seconds: int, warnings: list[str]) -> None:
    """Any open transaction that touched a table keeps it from being altered. Of all databases: it does not say of which."""
    try:
        found = session.rows(
            "SELECT t.trx_mysql_thread_id, p.user, TIMESTAMPDIFF(SECOND, t.trx_started, NOW())"
            " FROM information_schema.INNODB_TRX t"
            " LEFT JOIN information_schema.PROCESSLIST p ON p.id = t.trx_mysql_thread_id"
            " WHERE t.trx_mysql_thread_id <> CONNECTION_ID() AND (p.db IS NULL OR p.db = DATABASE())"
            f" AND TIMESTAMPDIFF(SECOND, t.trx_started, NOW()) > {seconds:d} ORDER BY t.trx_started"
        )
    except StatementRefused as error:
        if error.code not in _NO_RIGHT:
            raise
        warnings.append("This user does not see transactions (grant PROCESS): their age was not checked.")
        return
    if found:
        named = ", ".join(
            f"{user or 'a prepared one'} (session {number}) for {age} s" for number, user, age in found[:_SHOWN]
        )
        raise Refusal(
            RunnerReason.LONG_TRANSACTION,
            f"{len(found)} transactions are open for more than {seconds} s: {named}. "
            "End them, or raise checks.before.maxTransactionAge.",
        )


def has_table(session: Session, name: str) -> bool:
    """Tables and views; an unqualified name is looked for in the URL's own database, for the others are somebody else's."""
    schema, table = parts(name)
    return bool(
        session.value(
            "SELECT count(*) FROM information_schema.TABLES"
            " WHERE TABLE_SCHEMA = coalesce(:schema, DATABASE()) AND TABLE_NAME = :table AND TABLE_TYPE <> 'SEQUENCE'",
            table=table,
            schema=schema,
        )
    )


def has_column(session: Session, name: str) -> bool:
    """See interface.Engine."""
    qualified, column = parts(name)
    schema, table = parts(qualified or "")
    return bool(
        session.value(
            "SELECT count(*) FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = coalesce(:schema, DATABASE())"
            " AND TABLE_NAME = :table AND COLUMN_NAME = :column",
            table=table,
            column=column,
            schema=schema,
        )
    )


def integrity(session: Session) -> tuple[CheckReport, ...]:
    """A table that cannot be opened is damaged; a view that leads nowhere may have done so before this migration."""
    # Only who asks for the rows makes the server open each of them, and see.
    found = session.rows(
        "SELECT TABLE_NAME, TABLE_TYPE, ENGINE, TABLE_ROWS, TABLE_COMMENT FROM information_schema.TABLES"
        " WHERE TABLE_SCHEMA = DATABASE() ORDER BY 1"
    )
    broken = [name for name, kind, engine, _, _ in found if kind != "VIEW" and engine is None]
    views = [name for name, kind, _, _, comment in found if kind == "VIEW" and comment != "VIEW"]
    return (
        CheckReport(
            "integrity: tables", not broken, f"{len(broken)} cannot be opened: {_named(broken)}." if broken else ""
        ),
        CheckReport(
            "integrity: views",
            passed=True,
            message=f"{len(views)} refer to what is not there: {_named(views)}" if views else "",
        ),
    )


def unfinished(session: Session) -> tuple[str, ...]:
    """See interface.Engine. What an ALTER that died with its server left beside the table that it was copying."""
    tables = session.rows(
        "SELECT TABLE_NAME FROM information_schema.TABLES"
        " WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME LIKE '#mysql50##sql%' ORDER BY 1"
    )
    return (
        (f"Tables: {len(tables)} left over from an ALTER: {_named([name for (name,) in tables])}. Drop them.",)
        if tables
        else ()
    )


def in_the_way(session: Session) -> tuple[str, ...]:
    """See interface.Engine. Only a plugin tells, and few servers have it loaded."""
    with contextlib.suppress(StatementRefused):
        found = session.rows(
            "SELECT DISTINCT m.THREAD_ID, p.user, m.TABLE_NAME FROM information_schema.METADATA_LOCK_INFO m"
            " LEFT JOIN information_schema.PROCESSLIST p ON p.id = m.THREAD_ID"
            " WHERE m.TABLE_SCHEMA = DATABASE() AND m.LOCK_MODE IN ('MDL_EXCLUSIVE', 'MDL_SHARED_NO_READ_WRITE')"
            " AND m.THREAD_ID <> CONNECTION_ID() ORDER BY 1, 3"
        )
        return tuple(
            f"{user or 'another user'} (session {number}) that of {table}" for number, user, table in found[:_SHOWN]
        )
    return ()


def _named(names: list[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} …"
