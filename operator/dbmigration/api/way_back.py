"""What a user may ask for when a migration fails: which way back, what may be lost on it, and what is drained for it.

Part of the spec, field by field, with its bounds. It must not decide anything.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from dbmigration.api.model import SpecModel
from dbmigration.api.units import Duration

Name = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]
RoleName = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[^\x00]+$")]


class OnFailure(StrEnum):
    """What follows a migration that failed after it had applied something."""

    NONE = "None"
    DOWNGRADE = "Downgrade"
    DOWNGRADE_OR_RESTORE = "DowngradeOrRestore"
    RESTORE = "Restore"

    @property
    def undoes(self) -> bool:
        """The application's own downgrades are tried first."""
        return self in {OnFailure.DOWNGRADE, OnFailure.DOWNGRADE_OR_RESTORE}

    @property
    def restores(self) -> bool:
        """The backup is restored where nothing else leads back."""
        return self in {OnFailure.DOWNGRADE_OR_RESTORE, OnFailure.RESTORE}


class Rollback(SpecModel):
    """The way back when a migration fails, and what may be lost on any way back."""

    on_failure: OnFailure = Field(
        default=OnFailure.NONE,
        description="None leaves the database where the failure left it. Downgrade undoes exactly the revisions that the run applied, by the same image, and compares the schema with the one before. DowngradeOrRestore restores the backup where that is not possible or fails, with the workloads of drain scaled to zero meanwhile; Restore does so at once.",
    )
    accept_data_loss: bool = Field(
        default=False,
        description="Whether a downgrade that is wished for by targetRevision may drop tables or columns that hold data, and whether a restore may throw away what was written since the backup. Without it a restore goes on only where a comparison shows that nothing was.",
    )
    keep_replaced: Duration = Field(
        default="168h",
        description="How long the database that a restore replaced is kept, at least. It stays in any case until a later run has applied or undone something and succeeded, and until the backup of a run after that one was verified, which then drops it.",
    )
    spared_users: tuple[RoleName, ...] = Field(
        default=(),
        max_length=16,
        description="Roles whose sessions a restore lets be until the names are exchanged, such as a monitoring agent's that only reads; what they write meanwhile would be lost without being counted. The role of urlFrom is never spared.",
    )


class WorkloadKind(StrEnum):
    """What can be drained."""

    DEPLOYMENT = "Deployment"
    STATEFUL_SET = "StatefulSet"


class Workload(SpecModel):
    """Something that writes to the database."""

    kind: WorkloadKind = Field(description="Deployment or StatefulSet.")
    name: Name = Field(description="Its name, in the same namespace.")


class DrainWhen(StrEnum):
    """For what the workloads are scaled to zero."""

    ON_RESTORE = "OnRestore"
    ALWAYS = "Always"


class Drain(SpecModel):
    """What is scaled to zero while a backup is restored, or over the whole run, and back afterwards, whatever comes of it."""

    workloads: tuple[Workload, ...] = Field(
        min_length=1, max_length=32, description="Every Deployment and StatefulSet that writes to the database."
    )
    when: DrainWhen = Field(
        default=DrainWhen.ON_RESTORE,
        description="OnRestore drains only where a backup is restored. Always drains before the backup is taken, where something is pending, until the run has ended: the application stands still over the migration, and a restore by that run can lose nothing that was written since, so it needs neither a comparison nor acceptDataLoss.",
    )
