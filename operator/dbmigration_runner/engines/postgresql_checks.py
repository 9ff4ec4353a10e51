"""What must hold on a PostgreSQL server before and after a migration.

Asks the catalog and the statistics views; what this role may not see is said to be unseen, never to be absent.
"""
# ruff: noqa: S608  # statements are made of numbers, quoted names and literals of our own

from __future__ import annotations

from typing import TYPE_CHECKING

from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.contract.result import CheckReport
from dbmigration_runner.engines.interface import BeforeReport, Session
from dbmigration_runner.engines.postgresql_names import parts
from dbmigration_runner.errors import Refusal

if TYPE_CHECKING:
    from dbmigration_runner.contract.task import ChecksBefore

_SEES_ALL = "SELECT pg_catalog.pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')"
_SHOWN = 5


def before(session: Session, checks: ChecksBefore) -> BeforeReport:
    """See interface.Engine."""
    warnings: list[str] = []
    if checks.max_transaction_age_seconds is not None:
        _refuse_long_transactions(session, checks.max_transaction_age_seconds, warnings)
    if checks.max_replication_lag_seconds is not None:
        _refuse_lag(session, checks.max_replication_lag_seconds, warnings)
    if checks.min_free_disk_bytes is not None:
        warnings.append(
            "The free disk space of the server cannot be seen from a session: checks.before.minFreeDisk was not checked."
        )
    return BeforeReport(tuple(warnings))


def _refuse_long_transactions(session: Session, seconds: int, warnings: list[str]) -> None:
    """Any open transaction stalls a lock queue or CREATE INDEX CONCURRENTLY until it ends; prepared ones never do."""
    found = session.rows(
        "SELECT a.pid, a.application_name, CAST(EXTRACT(epoch FROM pg_catalog.now() - a.xact_start) AS integer)"
        " FROM pg_catalog.pg_stat_activity a WHERE a.datname = pg_catalog.current_database()"
        " AND a.pid <> pg_catalog.pg_backend_pid() AND a.backend_type = 'client backend'"
        f" AND EXTRACT(epoch FROM pg_catalog.now() - a.xact_start) > {seconds:d} ORDER BY a.xact_start"
    )
    prepared = session.rows(
        "SELECT CAST(EXTRACT(epoch FROM pg_catalog.now() - p.prepared) AS integer) FROM pg_catalog.pg_prepared_xacts p"
        " WHERE p.database = pg_catalog.current_database()"
        f" AND EXTRACT(epoch FROM pg_catalog.now() - p.prepared) > {seconds:d} ORDER BY p.prepared"
    )
    sentences = [f"{name or 'unnamed'} (pid {pid}) for {age} s" for pid, name, age in found[:_SHOWN]]
    sentences += [f"a prepared transaction for {age} s" for (age,) in prepared[:_SHOWN]]
    if sentences:
        raise Refusal(
            RunnerReason.LONG_TRANSACTION,
            f"{len(found) + len(prepared)} transactions are open for more than {seconds} s: {', '.join(sentences)}. "
            "End them, or raise checks.before.maxTransactionAge.",
        )
    if not session.value(_SEES_ALL):
        warnings.append(
            "This role does not see other roles' transactions (grant pg_read_all_stats): their age was not checked."
        )


def _refuse_lag(session: Session, seconds: int, warnings: list[str]) -> None:
    standbys = session.rows(
        "SELECT r.application_name, CAST(EXTRACT(epoch FROM r.replay_lag) AS integer), r.state FROM pg_catalog.pg_stat_replication r"
    )
    late = [f"{name or 'unnamed'} by {lag} s" for name, lag, _ in standbys if lag is not None and lag > seconds]
    if late:
        raise Refusal(
            RunnerReason.REPLICATION_LAG,
            f"Standbys are behind: {', '.join(late[:_SHOWN])}; at most {seconds} s are allowed by checks.before.maxReplicationLag.",
        )
    if not session.value(_SEES_ALL):
        warnings.append(
            "This role does not see replication (grant pg_read_all_stats): the lag of standbys was not checked."
        )


def has_table(session: Session, name: str) -> bool:
    """Tables, views and partitioned tables; an unqualified name is looked for in every schema but the system's."""
    schema, table = parts(name)
    return bool(
        session.value(
            "SELECT count(*) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
            " WHERE c.relname = :table AND c.relkind IN ('r', 'p', 'v', 'm', 'f')"
            " AND (n.nspname = :schema OR (:schema = '' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'))",
            table=table,
            schema=schema or "",
        )
    )


def has_column(session: Session, name: str) -> bool:
    """See interface.Engine."""
    qualified, column = parts(name)
    schema, table = parts(qualified or "")
    return bool(
        session.value(
            "SELECT count(*) FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid"
            " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
            " WHERE c.relname = :table AND a.attname = :column AND a.attnum > 0 AND NOT a.attisdropped"
            " AND (n.nspname = :schema OR (:schema = '' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'))",
            table=table,
            column=column,
            schema=schema or "",
        )
    )


def integrity(session: Session) -> tuple[CheckReport, ...]:
    """An invalid index is a failed build that costs writes and serves nobody; a constraint not yet valid may be meant."""
    indexes = _invalid_indexes(session)
    constraints = session.rows(
        "SELECT n.nspname, c.conname FROM pg_catalog.pg_constraint c JOIN pg_catalog.pg_namespace n ON n.oid = c.connamespace"
        " WHERE NOT c.convalidated AND n.nspname !~ '^pg_' ORDER BY 1, 2"
    )
    return (
        CheckReport(
            "integrity: indexes",
            not indexes,
            indexes,
        ),
        CheckReport(
            "integrity: constraints",
            passed=True,
            message=f"{len(constraints)} not validated: {_named(constraints)}" if constraints else "",
        ),
    )


def unfinished(session: Session) -> tuple[str, ...]:
    """See interface.Engine. No dump holds an invalid index: after a restore it is gone."""
    indexes = _invalid_indexes(session)
    return (f"Indexes: {indexes}",) if indexes else ()


def in_the_way(session: Session) -> tuple[str, ...]:
    """See interface.Engine. The deparser of views and defaults locks what they are of as a reader does."""
    found = session.rows(
        "SELECT DISTINCT l.pid, a.application_name, c.relname FROM pg_catalog.pg_locks l"
        " JOIN pg_catalog.pg_class c ON c.oid = l.relation LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid"
        " WHERE l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock' AND l.granted AND c.relkind <> 'i' AND l.database ="
        " (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()) ORDER BY l.pid, c.relname"
    )
    return tuple(
        f"{name or 'unnamed'} (pid {pid}) that of {table}"
        if pid is not None
        else f"a prepared transaction that of {table}"
        for pid, name, table in found[:_SHOWN]
    )


def _invalid_indexes(session: Session) -> str:
    """Which, and the remedy; "" where there is none. That of a partitioned table only waits for its partitions'."""
    indexes = session.rows(
        "SELECT n.nspname, c.relname FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid"
        " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        " WHERE NOT i.indisvalid AND c.relkind = 'i' AND n.nspname !~ '^pg_' ORDER BY 1, 2"
    )
    return f"{len(indexes)} invalid: {_named(indexes)}. Drop them or REINDEX." if indexes else ""


def _named(rows: list[tuple[str, ...]]) -> str:
    shown = ", ".join(".".join(row) for row in rows[:_SHOWN])
    return shown if len(rows) <= _SHOWN else f"{shown} …"
