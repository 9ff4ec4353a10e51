"""What the status says of restores: which one took a database's place, what was lost, and what is kept of it.

It must hold no row of data.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from dbmigration.api.model import Time, status_model


@status_model
class TableLoss:
    """What a restore threw away of one table; never a row of it."""

    table: Annotated[str, Field(max_length=256, description="Its name.")]
    inserted: Annotated[int, Field(description="Rows that the backup had not.")] = 0
    updated: Annotated[int, Field(description="Rows that were others in the backup.")] = 0
    deleted: Annotated[int, Field(description="Rows that are back.")] = 0
    untold: Annotated[str, Field(max_length=512, description="Why it may be more than the counts tell.")] = ""


@status_model
class Restored:
    """A restore that took the place of the database."""

    backup: Annotated[str, Field(max_length=256, description="Name of the backup.")]
    kept_as: Annotated[str, Field(max_length=256, description="Under which name the replaced database is kept.")] = ""
    compared: Annotated[
        bool, Field(description="Whether it was looked for what had been written since the backup.")
    ] = False
    lost_rows: Annotated[int, Field(description="How many rows had been written since, in all tables.")] = 0
    lost: Annotated[tuple[TableLoss, ...], Field(max_length=100, description="The same by table.")] = ()
    list_file: Annotated[
        str, Field(max_length=1024, description="Where those rows are listed one by one, beside the backup.")
    ] = ""
    list_sha256: Annotated[str, Field(max_length=64, description="Of that file.")] = ""


@status_model
class Replaced:
    """A database that a restore replaced, and that is still there; it takes the space of a database."""

    name: Annotated[str, Field(max_length=256, description="Under which name it is kept.")]
    replaced_at: Annotated[Time, Field(description="When it was replaced.")]
    run: Annotated[int, Field(description="Number of the run whose restore replaced it.")]
    outlived_by: Annotated[
        int | None,
        Field(description="Number of the first later run that changed the database and succeeded; absent until then."),
    ] = None
