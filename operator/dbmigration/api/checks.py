"""What a user may ask to be checked around a migration. Part of the spec, field by field, with its bounds.

It must not decide anything.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from dbmigration.api.model import SpecModel
from dbmigration.api.units import Duration, Quantity

Identifier = Annotated[str, Field(min_length=1, max_length=256)]


class ChecksBefore(SpecModel):
    """What must hold before the migration; it is tried again until it does."""

    max_replication_lag: Duration | None = Field(default=None, description="The longest replay lag of any replica.")
    max_transaction_age: Duration | None = Field(default=None, description="The oldest transaction that may be open.")
    min_free_disk: Quantity | None = Field(
        default=None, description="Free space that the server's disk must have, where it can be known."
    )


class QueryCheck(SpecModel):
    """A query and what it must answer."""

    name: Annotated[str, Field(min_length=1, max_length=64)] = Field(description="What the check is called in status.")
    sql: Annotated[str, Field(min_length=1, max_length=4096)] = Field(description="One SELECT, run read-only.")
    equals: Annotated[str, Field(max_length=1024)] = Field(
        description="What the first value of its first row must be, as text."
    )


class ChecksAfter(SpecModel):
    """What must hold after the last revision; one that does not makes the migration failed."""

    queries: tuple[QueryCheck, ...] = Field(
        default=(), max_length=32, description="Queries and their expected answers."
    )
    tables: tuple[Identifier, ...] = Field(
        default=(), max_length=256, description="Tables that must exist, as name or schema.name."
    )
    columns: tuple[Identifier, ...] = Field(
        default=(), max_length=256, description="Columns that must exist, as [schema.]table.column."
    )
    command: tuple[Annotated[str, Field(max_length=4096)], ...] = Field(
        default=(),
        max_length=64,
        description="A program and its arguments, run in the application's image; it must exit with 0.",
    )
    integrity: bool = Field(
        default=False, description="Let the engine check itself: PostgreSQL's indexes, MariaDB's tables, all of SQLite."
    )


class Checks(SpecModel):
    """What must hold around the migration."""

    before: ChecksBefore = Field(default_factory=ChecksBefore, description="Before anything is changed.")
    after: ChecksAfter = Field(default_factory=ChecksAfter, description="After the last revision.")
