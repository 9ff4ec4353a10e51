"""May the role that env.py works as migrate at all? What is plain is refused, what is doubtful is a finding."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.contract.result import Finding
from dbmigration_runner.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dbmigration_runner.engines.interface import Rights

SHOWN = 10


def judge(rights: Rights, version_table: str) -> Iterator[Finding]:
    """Raises Refusal (InsufficientPrivilege)."""
    who = rights.grantee
    if rights.writes_version_table is False:
        raise _refusal(
            f"{who.told} may not read and write {version_table} in {who.place}: "
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON {who.table} TO {who.name}."
        )
    if rights.writes_version_table is None and rights.creates_in_schema is False:
        raise _refusal(
            f"{who.told} may not create {version_table} in {who.place}: GRANT CREATE ON {who.schema} TO {who.name}."
        )
    if rights.creates_somewhere is False:
        raise _refusal(
            f"{who.told} may create nothing in any schema of this database: grant CREATE on the application's schema."
        )
    if rights.tables and not rights.owned_tables:
        raise _refusal(
            f"{who.told} owns none of the {rights.tables} tables: only an owner may alter them. Grant the owning role."
        )
    if rights.creates_in_schema is False:
        yield Finding("NoCreateInSchema", f"{who.told} may not create anything in {who.place}.")
    if rights.owned_tables < rights.tables:
        missing = rights.tables - rights.owned_tables
        yield Finding(
            "TablesOfOthers", f"{missing} of {rights.tables} tables belong to other roles and cannot be altered."
        )

    if rights.untransactional:
        shown = ", ".join(rights.untransactional[:SHOWN]) + (" …" if len(rights.untransactional) > SHOWN else "")
        yield Finding(
            "NotTransactional",
            f"{len(rights.untransactional)} tables know no transactions: {shown}. What a revision writes there stays when it "
            "fails, and cannot be undone but by a restore.",
        )


def _refusal(message: str) -> Refusal:
    return Refusal(RunnerReason.INSUFFICIENT_PRIVILEGE, message)
