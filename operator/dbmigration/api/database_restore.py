"""A DatabaseRestore: the order to put a backup in the place of a database, given by hand, once.

Spec and status, field by field. An order cannot be changed, so that nobody who re-applies manifests can turn it into
another one. What it orders is done by the DatabaseMigration that it names. It must not decide anything.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from dbmigration.api.model import SpecModel, Time, rules, status_model
from dbmigration.api.restored import Restored, Text
from dbmigration.api.status import Condition, Phase
from dbmigration.api.way_back import Name

BACKUP_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"


class MigrationReference(SpecModel):
    """A DatabaseMigration of the same namespace."""

    name: Annotated[Name, Field(max_length=63)] = Field(
        description="Name of the DatabaseMigration whose database it is, in the same namespace."
    )


class RestoreSpec(SpecModel):
    """The order. It is given once: nothing of it can be changed."""

    model_config = SpecModel.model_config | {
        "json_schema_extra": rules(
            ("self == oldSelf", "an order cannot be changed: create another DatabaseRestore, under another name")
        )
    }

    migration_ref: MigrationReference = Field(description="Whose database.")
    backup: Annotated[str, Field(min_length=1, max_length=200, pattern=BACKUP_NAME)] = Field(
        description="Name of the backup, as status.backups of the DatabaseMigration or `dbmigration backups` lists it."
    )
    accept_data_loss: bool = Field(
        default=False,
        description="Whether what was written since the backup may be thrown away. Without it the backup is restored only where a comparison shows that nothing was.",
    )

    @classmethod
    def parse(cls, document: dict[str, Any]) -> RestoreSpec:
        """Read a spec as the API server holds it; raises ValueError, whose text names the field."""
        return cls.model_validate(document)


@status_model
class RestoreStatus:
    """What became of an order."""

    observed_generation: Annotated[int, Field(description="The generation that the conditions speak of.")] = -1
    phase: Annotated[
        Phase, Field(description="As that of the DatabaseMigration while the order is carried out; then its end.")
    ] = Phase.PENDING
    conditions: Annotated[
        tuple[Condition, ...],
        Field(max_length=16, description="Ready, Reconciling and Stalled, as kstatus reads them."),
    ] = ()
    run: Annotated[int | None, Field(description="The run of the DatabaseMigration that carries it out.")] = None
    revision: Annotated[str, Field(max_length=1024, description="The database's revision after it, as read.")] = ""
    estimate: Annotated[
        Text,
        Field(
            description="About what was written since the backup, told before anything is begun: an estimate, by what the server notes of writes and by counting. It cannot tell which of these a restore would bring back; restored tells all of it exactly."
        ),
    ] = ""
    lost_rows: Annotated[
        int | None,
        Field(
            description="How many rows had been inserted, changed or deleted since the backup; restored tells them apart."
        ),
    ] = None
    restored: Annotated[Restored | None, Field(description="What took the place of the database.")] = None
    started_at: Annotated[Time | None, Field(description="When its run began.")] = None
    finished_at: Annotated[Time | None, Field(description="When it ended.")] = None

    @property
    def has_ended(self) -> bool:
        """An order is carried out, or not, once."""
        return self.finished_at is not None

    @classmethod
    def parse(cls, document: dict[str, Any]) -> RestoreStatus:
        """Read a status as the API server holds it; raises ValueError where it is not ours."""
        return _ADAPTER.validate_python(document)

    def document(self) -> dict[str, Any]:
        """Plain JSON values; what is not known or empty is left out."""
        dumped: dict[str, Any] = _ADAPTER.dump_python(self, mode="json", by_alias=True, exclude_defaults=True)
        return {"observedGeneration": self.observed_generation, "phase": str(self.phase), **dumped}


_ADAPTER = TypeAdapter(RestoreStatus)
