"""What a restore was ordered to do, what it did, and what is kept of it: the words that both kinds' statuses share.

Part of the statuses. It must hold no row of data, and decide nothing.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from dbmigration.api.model import Time, status_model

Text = Annotated[str, Field(max_length=4096)]
Revisions = tuple[Annotated[str, Field(max_length=256)], ...]


@status_model
class TableLoss:
    """What of one table differed from the backup when it was restored; never a row of it."""

    table: Annotated[str, Field(max_length=256, description="Its name.")]
    inserted: Annotated[int, Field(description="Rows inserted since: they went.")] = 0
    updated: Annotated[int, Field(description="Rows changed since: they went back to their old values.")] = 0
    deleted: Annotated[int, Field(description="Rows deleted since: they came back.")] = 0
    untold: Annotated[str, Field(max_length=512, description="Why it may be more than the counts tell.")] = ""


@status_model
class Restored:
    """A restore that took the place of the database."""

    backup: Annotated[str, Field(max_length=256, description="Name of the backup.")]
    kept_as: Annotated[str, Field(max_length=256, description="Under which name the replaced database is kept.")] = ""
    compared: Annotated[
        bool, Field(description="Whether it was looked for what had been written since the backup.")
    ] = False
    lost_rows: Annotated[
        int, Field(description="How many rows had been inserted, changed or deleted since, in all tables.")
    ] = 0
    inserted: Annotated[int, Field(description="Of these, inserted since: they went.")] = 0
    updated: Annotated[int, Field(description="Of these, changed since: they went back to their old values.")] = 0
    deleted: Annotated[int, Field(description="Of these, deleted since: they came back.")] = 0
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


@status_model
class Order:
    """A DatabaseRestore as it was when its run began: from then on the run needs nothing of it."""

    name: Annotated[str, Field(max_length=63, description="Its name.")]
    uid: Annotated[str, Field(max_length=64, description="Its uid.")]
    backup: Annotated[str, Field(max_length=256, description="The backup that it names.")]
    accept_data_loss: Annotated[bool, Field(description="Whether what was written since the backup may go.")] = False
    rests: Annotated[
        bool,
        Field(description="The run before it had done what the spec asks for, so an order that fails changes nothing."),
    ] = False
    defers: Annotated[
        bool,
        Field(description="Work that the spec asks for was put off for it, and is begun where the order is given up."),
    ] = False
    sha256: Annotated[str, Field(max_length=64, description="Of the backup, as its manifest tells.")] = ""
    revisions: Annotated[Revisions, Field(max_length=64, description="Heads in the backup.")] = ()
    version_table: Annotated[str, Field(max_length=256, description="Where the backup keeps its heads.")] = (
        "alembic_version"
    )
    estimate: Annotated[
        Text,
        Field(description="About what was written since the backup, told before the restore is begun: an estimate."),
    ] = ""
