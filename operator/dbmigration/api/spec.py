"""What a user may ask for: the spec of a DatabaseMigration, field by field, with its bounds.

The CRD is rendered from these classes, so a description here is what `kubectl explain` prints. It must not hold a field
that nothing acts on, nor decide anything.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field

from dbmigration.api.checks import Checks
from dbmigration.api.model import SpecModel, rules
from dbmigration.api.pod_template import PodTemplate
from dbmigration.api.units import Duration
from dbmigration.api.way_back import Drain, Name, Rollback

KeyName = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")]
AbsolutePath = Annotated[str, Field(min_length=1, max_length=1024, pattern=r"^/[^\x00]*$")]
Sentence = Annotated[str, Field(min_length=1, max_length=1024)]


class SecretKeySelector(SpecModel):
    """One key of a Secret in the resource's own namespace."""

    name: Name = Field(description="Name of the Secret.")
    key: KeyName = Field(description="Key of the Secret that holds the value.")


class UrlSource(SpecModel):
    """Where a database URL comes from."""

    secret_key_ref: SecretKeySelector = Field(
        description="A Secret of the same namespace whose key holds a SQLAlchemy URL, such as postgresql+psycopg://user:password@host/database."
    )


class ClaimMount(SpecModel):
    """A PersistentVolumeClaim and where it is mounted."""

    claim_name: Name = Field(description="Name of the PersistentVolumeClaim, in the same namespace.")
    mount_path: AbsolutePath = Field(
        description="Where every step sees the volume, so that one URL holds for all of them."
    )


class LocalReference(SpecModel):
    """An object of the same namespace, by name."""

    name: Name = Field(description="Name of the object, in the same namespace.")


class ClaimReference(SpecModel):
    """A PersistentVolumeClaim, by name."""

    claim_name: Name = Field(description="Name of the PersistentVolumeClaim, in the same namespace.")


class Tls(SpecModel):
    """Certificates for the connection."""

    secret_ref: LocalReference = Field(
        description="A Secret whose keys (ca.crt, tls.crt, tls.key) are mounted at /etc/dbmigration/tls; name them in the URL."
    )


class Database(SpecModel):
    """Which database."""

    url_from: UrlSource = Field(description="The URL that the migration uses.")
    admin_url_from: UrlSource | None = Field(
        default=None,
        description="A URL that goes past a connection pooler and whose role may create and rename databases. Only the steps that back up and restore, and the look at what became of a restore, are given it; they run the operator's image, or that of backup.image, and nothing of the application's.",
    )
    persistent_volume_claim: ClaimMount | None = Field(
        default=None, description="For SQLite: the volume on which the database file lives."
    )
    tls: Tls | None = Field(default=None, description="Certificates for the connection.")


class PullPolicy(StrEnum):
    """When the kubelet pulls an image."""

    ALWAYS = "Always"
    IF_NOT_PRESENT = "IfNotPresent"
    NEVER = "Never"


class Image(SpecModel):
    """A container image."""

    reference: Annotated[str, Field(min_length=1, max_length=512, pattern=r"^[^\s]+$")] = Field(
        description="The image, such as registry.example/shop:1.4 or, better, with @sha256:…"
    )
    pull_policy: PullPolicy | None = Field(default=None, description="Kubernetes' default where it is not set.")


class Source(SpecModel):
    """Where the migration scripts are. Exactly one."""

    model_config = SpecModel.model_config | {
        "json_schema_extra": rules(
            (
                "[has(self.image), has(self.configMap), has(self.persistentVolumeClaim)].filter(x, x).size() == 1",
                "set exactly one of image, configMap and persistentVolumeClaim",
            )
        )
    }

    image: Image | None = Field(
        default=None, description="The application's own image: its scripts, interpreter, Alembic and driver are used."
    )
    config_map: LocalReference | None = Field(
        default=None,
        description="A ConfigMap with the project's files, a path's slashes written as two underscores; run in the tools image, whose drivers, psycopg and PyMySQL, must do.",
    )
    persistent_volume_claim: ClaimReference | None = Field(
        default=None,
        description="A volume with the Alembic project at its root; run in the tools image, whose drivers, psycopg and PyMySQL, must do.",
    )


class UrlPartName(StrEnum):
    """What of the URL an environment variable gets."""

    URL = "url"
    DRIVER = "driver"
    HOST = "host"
    PORT = "port"
    USER = "user"
    PASSWORD = "password"  # noqa: S105  # the name of a part, not a password
    DATABASE = "database"


EnvironmentName = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class UrlTo(SpecModel):
    """How the application's env.py is given the URL; several ways may be used at once."""

    ini_option: Annotated[str, Field(max_length=128)] = Field(
        default="sqlalchemy.url",
        description="The option of the ini file that is set to the URL. An empty string sets none.",
    )
    env: dict[EnvironmentName, UrlPartName] = Field(
        default_factory=dict,
        max_length=32,
        description="Environment variables and which part of the URL each gets: url, driver, host, port, user, password or database.",
        json_schema_extra=rules(
            (
                "self.all(name, name.matches('^[A-Za-z_][A-Za-z0-9_]{0,127}$'))",
                "the name of an environment variable is made of letters, digits and underscores, and begins with no digit",
            )
        ),
    )
    x_arguments: tuple[Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9_.-]+$")], ...] = Field(
        default=(), max_length=8, description="Names for which `-x NAME=URL` is given, as on Alembic's command line."
    )
    connection: bool = Field(
        default=False,
        description="Also hand a fresh connection over as config.attributes['connection']; for an env.py that takes nothing else.",
    )


class Migrations(SpecModel):
    """Which scripts, and how they are run."""

    source: Source = Field(description="Where the scripts are.")
    path: AbsolutePath = Field(
        default="/app", description="The folder of the project inside the image; it becomes the working directory."
    )
    config: Annotated[str, Field(min_length=1, max_length=512, pattern=r"^[^/\x00][^\x00]*$")] = Field(
        default="alembic.ini", description="Alembic's configuration file, relative to path."
    )
    python: Annotated[str, Field(min_length=1, max_length=512, pattern=r"^[^\s\x00]+$")] = Field(
        default="python3",
        description="The application's interpreter, 3.10 or newer: a name on its PATH, or a path such as /venv/bin/python.",
    )
    url_to: UrlTo = Field(default_factory=UrlTo, description="How env.py gets the URL.")


class PlanWritesPolicy(StrEnum):
    """What an env.py that writes while it is loaded means."""

    REFUSE = "Refuse"
    ALLOW = "Allow"


class DowngradePolicy(StrEnum):
    """What a target behind the database means."""

    REFUSE = "Refuse"
    ALLOW = "Allow"


class Policy(SpecModel):
    """What is refused unless it is meant."""

    downgrade: DowngradePolicy = Field(
        default=DowngradePolicy.REFUSE,
        description="Whether a target behind the database is a wish (Allow: the revisions after it are undone, after a backup) or an accident.",
    )
    plan_writes: PlanWritesPolicy = Field(
        default=PlanWritesPolicy.REFUSE,
        description="Whether an env.py may write to the database while it is only being loaded. With Allow the backup is taken first.",
    )


class BackupStorage(SpecModel):
    """Where backups are kept."""

    claim_name: Name = Field(description="Name of the PersistentVolumeClaim, in the same namespace.")
    path: Annotated[
        str, Field(max_length=512, pattern=r"^([A-Za-z0-9_-][A-Za-z0-9_.-]*(/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*)?$")
    ] = Field(default="", description="A folder on the volume; the resource's own folder is made below it.")


class Storage(SpecModel):
    """The kinds of storage. A claim in the same cluster is no protection against the loss of that cluster."""

    persistent_volume_claim: BackupStorage = Field(description="A volume in the same namespace.")


class Retention(SpecModel):
    """Which backups are kept."""

    keep_last: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=5,
        description="How many verified backups are kept; the last verified one is never removed, nor the newest one of another revision or schema.",
    )


class Skip(SpecModel):
    """The stated risk of having no backup."""

    reason: Sentence = Field(description="Why no backup is wanted; repeated in status and Events.")


class Backup(SpecModel):
    """The way back that is made before anything is changed: a storage, or the reason for having none."""

    model_config = SpecModel.model_config | {
        "json_schema_extra": rules(
            (
                "has(self.storage) != has(self.skip)",
                "set backup.storage, or state in backup.skip.reason why no backup is wanted",
            )
        )
    }

    storage: Storage | None = Field(default=None, description="Where backups are kept.")
    retention: Retention = Field(default_factory=Retention, description="Which backups are kept.")
    clone: bool = Field(
        default=False,
        description="Also have PostgreSQL copy the database on its own server, so that a restore takes seconds at any size; it needs the room for a second one until the next run's backup, and drain.when: Always. Where the copy cannot be made the run goes on with its dump, and says so.",
    )
    skip: Skip | None = Field(default=None, description="Instead of storage: no backup is taken, and why.")
    image: Image | None = Field(
        default=None,
        description="Overrides the operator's tools image; its database clients must be as new as the server.",
    )


class Locks(SpecModel):
    """How much the application may feel of the migration."""

    timeout: Duration = Field(
        default="100ms", description="How long a statement waits for a lock; MariaDB rounds up to whole seconds."
    )
    retry_for: Duration = Field(
        default="10m", description="How long a revision that got no lock is tried again before the step gives up."
    )


class Timeouts(SpecModel):
    """How long a step's program may work, from its start."""

    plan: Duration = Field(default="5m", description="Plan and look.")
    backup: Duration = Field(default="4h", description="Backup with its verification.")
    migrate: Duration = Field(
        default="4h",
        description="Upgrade with its verification; then the running statement is cancelled on the server.",
    )
    downgrade: Duration = Field(default="4h", description="The same for a downgrade.")
    restore: Duration = Field(default="4h", description="Restore of a backup, with all its attempts.")


RESTORE_NEEDS = (
    "!(has(self.rollback) && has(self.rollback.onFailure) && self.rollback.onFailure in ['DowngradeOrRestore', 'Restore'])"
    " || (has(self.drain) && has(self.backup.storage))"
)


CLONE_NEEDS = (
    "!(has(self.backup.clone) && self.backup.clone)"
    " || (has(self.backup.storage) && has(self.drain) && has(self.drain.when) && self.drain.when == 'Always')"
)


class MigrationSpec(SpecModel):
    """The wish: this database belongs at this revision of this image."""

    model_config = SpecModel.model_config | {
        "json_schema_extra": rules(
            (
                RESTORE_NEEDS,
                "a rollback.onFailure that restores needs backup.storage, and drain.workloads: what writes to the database meanwhile",
            ),
            (
                CLONE_NEEDS,
                "backup.clone needs backup.storage and drain.when: Always: nobody may write while it is made",
            ),
        )
    }

    database: Database = Field(description="Which database.")
    migrations: Migrations = Field(description="Which scripts, and how they are run.")
    target_revision: Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[^\s\x00:+-][^\s\x00:]*$")] = Field(
        default="head",
        description="head, heads, base, or a revision id. One behind the database needs policy.downgrade. Relative steps are not a target: they mean another one tomorrow.",
    )
    policy: Policy = Field(default_factory=Policy, description="What is refused unless it is meant.")
    backup: Backup = Field(description="The way back that is made before anything is changed.")
    checks: Checks = Field(default_factory=Checks, description="What must hold around the migration.")
    locks: Locks = Field(default_factory=Locks, description="How much the application may feel of the migration.")
    timeouts: Timeouts = Field(default_factory=Timeouts, description="How long each step may take.")
    rollback: Rollback = Field(
        default_factory=Rollback, description="The way back when a migration fails, and what may be lost on it."
    )
    drain: Drain | None = Field(
        default=None,
        description="What is scaled to zero while a backup is restored, or with when: Always from before the backup on, and back afterwards.",
    )
    suspend: bool = Field(
        default=False, description="Start nothing new. A migration that has begun goes on to its end."
    )
    pod_template: PodTemplate = Field(
        default_factory=PodTemplate, description="What the steps' Pods need; a closed list."
    )

    @classmethod
    def parse(cls, document: dict[str, Any]) -> MigrationSpec:
        """Read a spec as the API server holds it; raises ValueError, whose text names the field."""
        return cls.model_validate(document)
