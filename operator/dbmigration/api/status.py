"""What the operator says: the status of a DatabaseMigration, and its way to and from the API server.

Frozen: the next status is made by `dataclasses.replace`. It must hold no secret, no row of data, and nothing that was not
read from the database, a Job or the spec. Times are aware, UTC.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from dbmigration.api.drained import Drain
from dbmigration.api.model import Time, status_model
from dbmigration.api.restored import Order, Replaced, Restored, Revisions, Text


class Phase(StrEnum):
    """Where a resource stands, for humans; machines read the conditions."""

    PENDING = "Pending"
    PLANNING = "Planning"
    BACKING_UP = "BackingUp"
    MIGRATING = "Migrating"
    ROLLING_BACK = "RollingBack"
    DRAINING = "Draining"
    RESTORING = "Restoring"
    RESUMING = "Resuming"
    SUCCEEDED = "Succeeded"
    ROLLED_BACK = "RolledBack"
    RESTORED = "Restored"
    FAILED = "Failed"
    CANCELLED = "Cancelled"


class Outcome(StrEnum):
    """How a run ended."""

    SUCCEEDED = "Succeeded"
    ROLLED_BACK = "RolledBack"
    FAILED = "Failed"
    SUPERSEDED = "Superseded"
    CANCELLED = "Cancelled"


class Procedure(StrEnum):
    """The ordered list of stages that a run follows."""

    MIGRATE = "Migrate"
    ORDER = "Order"  # a DatabaseRestore is looked into; Restore follows it
    ROLL_BACK = "RollBack"
    RESTORE = "Restore"


class Verification(StrEnum):
    """By what a downgrade was verified beside the heads that were read back."""

    SCHEMA = "Schema"
    REVISION = "Revision"


class StepState(StrEnum):
    """What became of one attempt of a step."""

    STARTED = "Started"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    LOST = "Lost"
    STOPPED = "Stopped"


class ConditionStatus(StrEnum):
    """Kubernetes' three values."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


@status_model
class Condition:
    """One condition, as `metav1.Condition`."""

    type: Annotated[str, Field(max_length=64, description="Ready, Reconciling, Stalled, Drained or RolledBack.")]
    status: Annotated[ConditionStatus, Field(description="True, False or Unknown.")]
    reason: Annotated[
        str, Field(max_length=64, description="A stable CamelCase word; docs/reference/reasons.md explains each.")
    ]
    message: Annotated[Text, Field(description="The cause and the remedy.")]
    last_transition_time: Annotated[Time, Field(description="When `status` last changed.")]
    observed_generation: Annotated[int, Field(description="The generation that this speaks of.")]


@status_model
class Failure:
    """Why a migration failed that is being undone, or was."""

    reason: Annotated[str, Field(max_length=64, description="As a condition's.")]
    message: Annotated[
        Text, Field(description="The cause; where a restore follows a downgrade that failed, also why that failed.")
    ]


@status_model
class Run:
    """One pass for this resource. What decides it is recorded once and never changes while it lasts."""

    number: Annotated[int, Field(description="Counts the runs of this resource, from 1.")]
    procedure: Annotated[Procedure, Field(description="The list of stages that the run follows.")] = Procedure.MIGRATE
    identity: Annotated[
        str, Field(max_length=128, description="Hash of what decides the work; a changed one starts a new run.")
    ]
    generation: Annotated[int, Field(description="metadata.generation when the run began.")]
    started_at: Annotated[Time, Field(description="When the run began.")]
    finished_at: Annotated[Time | None, Field(description="When the run ended.")] = None
    outcome: Annotated[Outcome | None, Field(description="How the run ended.")] = None
    target_revision: Annotated[str, Field(max_length=128, description="The spec's when the run began.")] = ""
    order: Annotated[Order | None, Field(description="The DatabaseRestore that this run carries out.")] = None
    reference: Annotated[
        str, Field(max_length=600, description="The image that the run's steps are given, as the spec named it.")
    ] = ""
    image: Annotated[
        str, Field(max_length=600, description="The image that ran, with its digest where the runtime tells it.")
    ] = ""
    fingerprint: Annotated[
        str, Field(max_length=128, description="Which database; runs with an equal one take turns.")
    ] = ""
    plan_hash: Annotated[str, Field(max_length=128, description="The plan that the run decided on.")] = ""
    start_revisions: Annotated[
        Revisions, Field(max_length=64, description="Heads of the database when the run decided.")
    ] = ()
    backup: Annotated[
        str, Field(max_length=256, description="Name of the verified backup that this run relies on.")
    ] = ""
    applied_revisions: Annotated[Revisions, Field(max_length=1000, description="What this run applied, in order.")] = ()
    undone_revisions: Annotated[Revisions, Field(max_length=1000, description="What this run undid, in order.")] = ()
    emptied: Annotated[
        tuple[Text, ...],
        Field(
            max_length=50,
            description="Tables and columns that a downgrade made again, and whose data the upgrade had dropped: it is in the backup.",
        ),
    ] = ()
    failure: Annotated[Failure | None, Field(description="Why the migration failed that this run went on to undo.")] = (
        None
    )
    restored: Annotated[Restored | None, Field(description="The backup that took the place of the database.")] = None
    verified_by: Annotated[
        Verification | None,
        Field(
            description="Schema: a downgrade was compared with the schema from before the upgrade. Revision: nobody had recorded that one."
        ),
    ] = None
    left_behind: Annotated[
        tuple[Text, ...],
        Field(
            max_length=50,
            description="What that comparison found, item by item.",
        ),
    ] = ()


@status_model
class PlannedRevision:
    """A pending revision."""

    id: Annotated[str, Field(max_length=256, description="Revision id.")]
    title: Annotated[str, Field(max_length=512, description="First line of its docstring.")] = ""


FINDINGS = {
    "LosesData": "a downgrade drops what holds data",
    "DowngradeEmpty": "a downgrade does nothing",
    "NotRenderable": "the SQL of a revision is not known in advance",
    "EnvironmentWrites": "env.py changed the schema while it was loaded",
    "CloneTakesRoom": "how large backup.clone's copy will be",
    "NoCreateInSchema": "the role may not create anything in the schema of the version table",
    "TablesOfOthers": "tables belong to other roles and cannot be altered",
    "NotTransactional": "tables know no transactions, so what fails there stays",
    "SchemaNoted": "status.schemaNote, as it was before this run",
}


@status_model
class Finding:
    """What the plan noticed."""

    code: Annotated[
        str,
        Field(
            max_length=64,
            description=f"A stable word: {', '.join(f'{word} ({why})' for word, why in FINDINGS.items())}.",
        ),
    ]
    message: Annotated[Text, Field(description="What was found.")]
    revision: Annotated[str | None, Field(max_length=256, description="Where.")] = None


@status_model
class Plan:
    """What lies between the database and the target."""

    hash: Annotated[str, Field(max_length=128, description="Identifies this plan.")]
    start: Annotated[
        Revisions, Field(max_length=64, alias="from", description="Heads of the database when it was planned.")
    ] = ()
    target: Annotated[Revisions, Field(max_length=64, alias="to", description="Heads when the plan is done.")] = ()
    count: Annotated[int, Field(description="How many revisions are pending.")]
    revisions: Annotated[
        tuple[PlannedRevision, ...], Field(max_length=50, description="The first of them, in order.")
    ] = ()
    statements: Annotated[int | None, Field(description="How many statements, where they can be known beforehand.")] = (
        None
    )
    findings: Annotated[tuple[Finding, ...], Field(max_length=50, description="What the plan noticed.")] = ()
    version_table: Annotated[str, Field(max_length=256, description="Where the heads are kept.")] = "alembic_version"
    catalog: Annotated[str, Field(max_length=128, description="Fingerprint of the schema when it was planned.")] = ""
    downgrade: Annotated[bool, Field(description="The revisions are undone.")] = False
    loses_data: Annotated[bool, Field(description="Undoing them drops what holds data; the findings say what.")] = False


@status_model
class Backup:
    """A backup that was written, checksummed and fully decoded."""

    name: Annotated[str, Field(max_length=256, description="Unique on its storage.")]
    location: Annotated[str, Field(max_length=1024, description="Where it is.")]
    size_bytes: Annotated[int, Field(description="As stored.")]
    sha256: Annotated[str, Field(max_length=64, description="Of the file as stored.")]
    revisions: Annotated[Revisions, Field(max_length=64, description="Heads of the database in it.")] = ()
    image: Annotated[str, Field(max_length=600, description="The image whose migrations it was taken for.")] = ""
    taken_at: Annotated[Time, Field(description="When its snapshot was taken.")]
    verified_at: Annotated[Time, Field(description="When it was read back whole.")]
    restorable: Annotated[
        bool | None, Field(description="What the restore probe found; absent where it could not be made.")
    ] = None
    note: Annotated[str, Field(max_length=2048, description="Why the probe could not be made.")] = ""
    catalog: Annotated[str, Field(max_length=128, description="Fingerprint of the schema in it.")] = ""
    schema_note: Annotated[Text, Field(description="How it differs from an earlier one of its revision.")] = ""
    clone: Annotated[
        str,
        Field(
            max_length=63,
            description="The copy of it on the server, until a restore takes it or the next backup is made.",
        ),
    ] = ""


@status_model
class Step:
    """One attempt of one step."""

    name: Annotated[
        str, Field(max_length=32, description="plan, find, backup, migrate, downgrade, restore, compare or look.")
    ]
    attempt: Annotated[int, Field(description="Counts the attempts of this step in this run, from 1.")]
    job: Annotated[str, Field(max_length=63, description="Name of its Job.")]
    state: Annotated[StepState, Field(description="What became of it.")]
    started_at: Annotated[Time, Field(description="When it was started.")]
    finished_at: Annotated[Time | None, Field(description="When it ended.")] = None
    reason: Annotated[str, Field(max_length=64, description="Why it failed.")] = ""


@status_model
class Metrics:
    """What the last run cost."""

    duration_seconds: Annotated[float, Field(description="Of the whole run.")] = 0
    peak_cpu_percent: Annotated[float | None, Field(description="Of one core.")] = None
    peak_memory_bytes: Annotated[int | None, Field(description="Of the migration's process.")] = None
    peak_disk_percent: Annotated[float | None, Field(description="Of the fullest disk.")] = None
    lock_waits: Annotated[int, Field(description="How often a statement got no lock in time and was tried again.")] = 0


@status_model
class HistoryEntry:
    """A run that ended."""

    number: Annotated[int, Field(description="Number of the run.")]
    outcome: Annotated[Outcome, Field(description="How it ended.")]
    reason: Annotated[str, Field(max_length=64, description="Why.")]
    procedure: Annotated[Procedure, Field(description="The list of stages that it ended in.")] = Procedure.MIGRATE
    order: Annotated[str, Field(max_length=63, description="The DatabaseRestore that it carried out.")] = ""
    image: Annotated[str, Field(max_length=600, description="The image that ran.")] = ""
    reference: Annotated[str, Field(max_length=600, description="As the spec named it.")] = ""
    start_revisions: Annotated[Revisions, Field(max_length=64, alias="from", description="Heads before.")] = ()
    end_revisions: Annotated[
        Revisions, Field(max_length=64, alias="to", description="Heads after, as read from the database.")
    ] = ()
    started_at: Annotated[Time, Field(description="When it began.")]
    finished_at: Annotated[Time, Field(description="When it ended.")]
    backup: Annotated[str, Field(max_length=256, description="Its backup.")] = ""
    applied: Annotated[
        Revisions, Field(max_length=100, description="What it applied, in order; the last of them.")
    ] = ()
    catalog: Annotated[str, Field(max_length=128, description="Fingerprint of the schema before it.")] = ""


@status_model
class HandledOrder:
    """A DatabaseRestore that came to its end here; one of that name and backup that was carried out is not carried out again."""

    name: Annotated[str, Field(max_length=63, description="Its name.")]
    uid: Annotated[str, Field(max_length=64, description="Its uid.")]
    backup: Annotated[str, Field(max_length=256, description="The backup that it names.")]
    run: Annotated[int, Field(description="The run that carried it out.")]
    outcome: Annotated[Outcome, Field(description="How it ended.")]
    reason: Annotated[str, Field(max_length=64, description="Why.")]
    message: Annotated[Text, Field(description="The same as a sentence.")]
    started_at: Annotated[Time, Field(description="When its run began.")]
    finished_at: Annotated[Time, Field(description="When it ended.")]
    revision: Annotated[str, Field(max_length=1024, description="The database's revision after it.")] = ""
    restored: Annotated[Restored | None, Field(description="What took the place of the database.")] = None


@status_model
class Status:
    """The whole status."""

    observed_generation: Annotated[int, Field(description="The generation that the conditions speak of.")] = -1
    phase: Annotated[Phase, Field(description="Where the resource stands.")] = Phase.PENDING
    conditions: Annotated[
        tuple[Condition, ...],
        Field(max_length=16, description="Ready, Reconciling and Stalled, as kstatus reads them."),
    ] = ()
    revision: Annotated[str, Field(max_length=1024, description="The database's revision, for humans.")] = ""
    current_revisions: Annotated[
        Revisions | None, Field(max_length=64, description="Heads, as read from the database.")
    ] = None
    target_revisions: Annotated[Revisions, Field(max_length=64, description="Heads that the target means.")] = ()
    catalog: Annotated[
        str, Field(max_length=128, description="Fingerprint of the schema, where it was read with the heads.")
    ] = ""
    schema_note: Annotated[Text, Field(description="What is known to be amiss with the schema as it is.")] = ""
    observed_at: Annotated[Time | None, Field(description="When the database was last read.")] = None
    run: Annotated[Run | None, Field(description="The current run, or the last one.")] = None
    plan: Annotated[Plan | None, Field(description="The current run's plan, or the last one.")] = None
    backups: Annotated[tuple[Backup, ...], Field(max_length=100, description="Verified backups, newest first.")] = ()
    backups_untold: Annotated[int, Field(description="Older ones on the storage that are not listed.")] = 0
    replaced: Annotated[
        tuple[Replaced, ...],
        Field(max_length=50, description="Databases that restores replaced and that are kept still, newest first."),
    ] = ()
    replaced_untold: Annotated[
        int,
        Field(
            description="How many older ones that list has had no room for: the operator does not drop those any more."
        ),
    ] = 0
    drain: Annotated[Drain | None, Field(description="What is scaled to zero at the moment.")] = None
    steps: Annotated[
        tuple[Step, ...], Field(max_length=100, description="Attempts of the current run's steps, or the last one's.")
    ] = ()
    progress: Annotated[str, Field(max_length=128, description="How far the current step is.")] = ""
    metrics: Annotated[Metrics | None, Field(description="What the last run cost.")] = None
    next_retry_time: Annotated[Time | None, Field(description="When it is tried again.")] = None
    last_handled_retry: Annotated[
        str, Field(max_length=256, description="The retry annotation that was last acted on.")
    ] = ""
    last_handled_cancel: Annotated[
        str, Field(max_length=256, description="The cancel annotation that was last acted on.")
    ] = ""
    history: Annotated[
        tuple[HistoryEntry, ...], Field(max_length=10, description="Runs that ended, newest first.")
    ] = ()
    orders: Annotated[
        tuple[HandledOrder, ...], Field(max_length=10, description="DatabaseRestores that ended, newest first.")
    ] = ()

    @property
    def is_fresh(self) -> bool:
        """Nobody has looked at this resource yet."""
        return self.observed_generation < 0

    @classmethod
    def parse(cls, document: dict[str, Any]) -> Status:
        """Read a status as the API server holds it; raises ValueError where it is not ours."""
        return _ADAPTER.validate_python(document)

    def document(self) -> dict[str, Any]:
        """Plain JSON values; what is not known or empty is left out."""
        dumped: dict[str, Any] = _ADAPTER.dump_python(self, mode="json", by_alias=True, exclude_defaults=True)
        return {"observedGeneration": self.observed_generation, "phase": str(self.phase), **dumped}


_ADAPTER = TypeAdapter(Status)
