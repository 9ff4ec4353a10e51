"""What every reason means for a run, and its remedy; docs/reference/reasons.md is rendered from here.

A test holds the table complete, the runner's words included. It must not decide.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from dbmigration.api.reasons import Reason


class ReasonClass(StrEnum):
    """What a reason means for the run."""

    PROGRESS = "Progress"  # nothing is wrong
    MENDABLE = (
        "MendableOutside"  # tried again for ever, with backoff: network, Secret, rights, quota, image, volume, lock
    )
    DECISION = "NeedsDecision"  # ends the run: the spec or a person must decide


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a reason means, and what to do about it."""

    kind: ReasonClass
    meaning: str
    remedy: str = ""


_P, _M, _D = ReasonClass.PROGRESS, ReasonClass.MENDABLE, ReasonClass.DECISION

EXPLANATIONS: dict[Reason, Explanation] = {
    Reason.PENDING: Explanation(_P, "The resource was seen and nothing has begun yet."),
    Reason.PLANNING: Explanation(_P, "A Job reads the database and the scripts; nothing is changed."),
    Reason.BACKING_UP: Explanation(_P, "A Job writes a dump and reads it back whole."),
    Reason.MIGRATING: Explanation(_P, "A Job upgrades the database and verifies the result."),
    Reason.DOWNGRADING: Explanation(_P, "A Job undoes revisions, as targetRevision wishes, and verifies the result."),
    Reason.ROLLING_BACK: Explanation(
        _P, "The migration failed; a Job undoes exactly what it applied, by the same image."
    ),
    Reason.COMPARING: Explanation(_P, "A Job compares the schema, item by item, with the one in a backup."),
    Reason.DRAINING: Explanation(_P, "The workloads of drain are scaled to zero, and their Pods end."),
    Reason.RESTORING: Explanation(
        _P, "A Job restores the backup into a fresh database and puts it in the place of the other."
    ),
    Reason.RESUMING: Explanation(_P, "The workloads get their replicas back before the run ends."),
    Reason.DRAIN_CONTESTED: Explanation(
        _M,
        "Somebody scales a drained workload back up: an autoscaler, a GitOps controller, a person.",
        "See the message for who; pause it until the run has ended.",
    ),
    Reason.WORKLOAD_NOT_FOUND: Explanation(
        _M, "A workload that drain names is not there.", "Mend drain.workloads, or create it; it is tried again."
    ),
    Reason.WORKLOADS_NOT_READY: Explanation(
        _P,
        "The workloads have their replicas back, but not all of their Pods became ready in time; told as an Event only.",
        "Look at the Pods.",
    ),
    Reason.REPLACED_DROPPED: Explanation(
        _P,
        "A database that a restore had replaced was dropped, as rollback.keepReplaced says, or was found to be gone; told as an Event only.",
    ),
    Reason.ROLLED_BACK: Explanation(
        _D,
        "The migration failed, and what it had applied was undone: revision and schema are those from before.",
        "Mend the revision and give the new image.",
    ),
    Reason.ROLLBACK_FAILED: Explanation(
        _D,
        "The migration failed, and what it had applied could not be undone, or not wholly.",
        "See the message for where the database is; restore the backup, or mend it by hand and set the retry annotation.",
    ),
    Reason.DATA_LOSS_NOT_ACCEPTED: Explanation(
        _D,
        "The downgrade would drop tables or columns that hold data.",
        "Look at status.plan.findings; set rollback.acceptDataLoss to true if the data may go, or targetRevision to another one.",
    ),
    Reason.LOOKING: Explanation(_P, "A step was lost; a Job reads what the database really is."),
    Reason.SUCCEEDED: Explanation(_P, "The database was read after the migration and is at the target."),
    Reason.UP_TO_DATE: Explanation(_P, "The database was already at the target; nothing was run and no backup taken."),
    Reason.SUSPENDED: Explanation(_P, "spec.suspend is true; nothing new is started.", "Set spec.suspend to false."),
    Reason.STOPPING: Explanation(_P, "A step's Pod is being stopped before the run goes on or ends."),
    Reason.WAITING_FOR_TURN: Explanation(_P, "Another resource is working on the same database; this one follows."),
    Reason.BACKUP_TOO_OLD: Explanation(
        _P, "The run waited for so long that its backup is older than a day; a new run plans and backs up afresh."
    ),
    Reason.STEP_WARNED: Explanation(
        _P,
        "A step succeeded and saw something that a person should know, such as a restore that could not be tried; told as an Event only.",
        "See the message.",
    ),
    Reason.FINDING_BACKUP: Explanation(
        _P,
        "A Job looks on the storage for the backup that a DatabaseRestore names, and at what the database is; nothing is changed.",
    ),
    Reason.RESTORE_ORDERED: Explanation(
        _P, "A DatabaseRestore was created: a run that had changed nothing yet makes room for it."
    ),
    Reason.RESTORED: Explanation(
        _D,
        "A backup was restored, as a DatabaseRestore orders. Where that left the database at another revision than the spec asks for, the database rests at that revision: nothing upgrades it straight back.",
        "Change the spec to what the database shall be now, or set the retry annotation to go where the spec says.",
    ),
    Reason.ORDER_WITHDRAWN: Explanation(
        _D, "The DatabaseRestore was deleted before anything was done for it.", "Create another one if it was meant."
    ),
    Reason.WAITING_FOR_RUN: Explanation(
        _P,
        "A run that has begun to change the database comes to its end before the DatabaseRestore is carried out.",
        "Wait, or set the cancel annotation of the DatabaseMigration to end a migration that hangs.",
    ),
    Reason.MIGRATION_NOT_FOUND: Explanation(
        _M,
        "The DatabaseMigration that a DatabaseRestore names is not there.",
        "Create it, or delete the DatabaseRestore; it is carried out as soon as both are there.",
    ),
    Reason.SPEC_INVALID: Explanation(_D, "The spec cannot be read.", "Mend the field that the message names."),
    Reason.SECRET_NOT_FOUND: Explanation(
        _M,
        "A Secret, or a key of it, that a step mounts is not there.",
        "Create it in the resource's namespace; the step starts by itself.",
    ),
    Reason.CONFIG_MAP_NOT_FOUND: Explanation(
        _M,
        "A ConfigMap that a step mounts is not there.",
        "Create it in the resource's namespace; the step starts by itself.",
    ),
    Reason.IMAGE_PULL_FAILED: Explanation(
        _M, "The kubelet cannot pull an image.", "Push the image, mend its name, or add podTemplate.imagePullSecrets."
    ),
    Reason.UNSCHEDULABLE: Explanation(
        _M,
        "No node takes the step's Pod.",
        "Look at the message: resources, node selector, taints, or the volume's node.",
    ),
    Reason.VOLUME_NOT_MOUNTED: Explanation(
        _M,
        "A volume of the step's Pod does not mount.",
        "Look at the message: a missing or unbound claim, or the storage itself.",
    ),
    Reason.POD_REJECTED: Explanation(
        _M,
        "The cluster refuses to create the step's Pod: a missing service account, a quota, or Pod Security.",
        "Create the service account, raise the quota, or set podTemplate.runAsUser for an image made for root.",
    ),
    Reason.CONTAINER_NOT_STARTED: Explanation(
        _M,
        "The container could not be started, for instance as its interpreter is not in the image.",
        "Set migrations.python to a program of the image.",
    ),
    Reason.STEP_LOST: Explanation(
        _M,
        "A step's Pod ended without a readable result: killed, evicted, out of memory.",
        "It is made again, a migration only after a look at the database; raise podTemplate.resources if memory ran out.",
    ),
    Reason.STEP_INTERRUPTED: Explanation(
        _M,
        "A step was told to stop by somebody else, such as a node that is drained.",
        "It is made again; after a migration the database is looked at first.",
    ),
    Reason.STEP_OVERDUE: Explanation(
        _M,
        "A step's Pod did not come to an end in time.",
        "Raise the step's limit under spec.timeouts, or mend what holds the Pod.",
    ),
    Reason.DATABASE_UNREACHABLE: Explanation(
        _M, "No connection to the server.", "Check host, port, network policy and TLS; it is tried again."
    ),
    Reason.AUTHENTICATION_FAILED: Explanation(
        _M, "The server refuses user or password.", "Mend the Secret; it is tried again."
    ),
    Reason.DATABASE_NOT_FOUND: Explanation(
        _M, "The server has no database of that name.", "Create it, or mend the URL in the Secret."
    ),
    Reason.DATABASE_READ_ONLY: Explanation(
        _M,
        "The server is a standby, or read-only.",
        "Point the URL at the primary; after a failover it is tried again.",
    ),
    Reason.CONNECTION_LOST: Explanation(
        _M, "The connection broke in mid-work and nothing was changed.", "It is tried again."
    ),
    Reason.INSUFFICIENT_PRIVILEGE: Explanation(
        _M, "The role may not do what the migration needs.", "Grant what the message names, or use the owning role."
    ),
    Reason.POOLER_DETECTED: Explanation(
        _D, "The URL leads through a transaction pooler, where no session lock holds.", "Give the server's direct URL."
    ),
    Reason.ENGINE_NOT_SUPPORTED: Explanation(
        _D,
        "The URL names a kind of server that is not supported, or leads to one.",
        "Use PostgreSQL, MariaDB or SQLite. MySQL itself is untested, and is not backed up: backup.skip says that one was made by other means.",
    ),
    Reason.DRIVER_MISSING: Explanation(
        _D, "The image has no driver for the URL.", "Install it in the image, or name the installed one in the URL."
    ),
    Reason.URL_INVALID: Explanation(
        _D,
        "The URL cannot be read, or has a parameter that is not allowed.",
        "Mend the URL in the Secret, then set the retry annotation.",
    ),
    Reason.STORAGE_NOT_SUPPORTED: Explanation(
        _D,
        "The SQLite file lies where locks do not hold, such as a network file system.",
        "Use a local or block volume.",
    ),
    Reason.INTERPRETER_UNSUITABLE: Explanation(
        _D,
        "The image's interpreter has no Alembic, or one that is too old.",
        "Python >= 3.10, SQLAlchemy >= 1.4 and Alembic >= 1.13 are needed; set migrations.python.",
    ),
    Reason.CONFIG_NOT_FOUND: Explanation(
        _D, "There is no such ini file or script folder in the image.", "Set migrations.path and migrations.config."
    ),
    Reason.CONFIG_INVALID: Explanation(_D, "The ini file cannot be read.", "Mend it in the image."),
    Reason.SCRIPT_ERROR: Explanation(
        _D,
        "A migration script cannot be loaded.",
        "Mend the file and line that the message names, and give the new image.",
    ),
    Reason.ENVIRONMENT_FAILED: Explanation(
        _D,
        "env.py raised an error.",
        "See the message and the Pod's log; perhaps migrations.urlTo or podTemplate.env is missing something.",
    ),
    Reason.ENVIRONMENT_EXITED: Explanation(_D, "env.py ended the process.", "See the Pod's log."),
    Reason.ENVIRONMENT_DID_NOTHING: Explanation(
        _D, "env.py ran no migration context.", "It must call context.configure and context.run_migrations when online."
    ),
    Reason.WRONG_DATABASE: Explanation(
        _D,
        "env.py connects to another database than the one that is backed up.",
        "Hand the URL over as the application expects it: migrations.urlTo.",
    ),
    Reason.PLAN_WRITES: Explanation(
        _D,
        "env.py writes while it is only being loaded.",
        "Move that into a revision, or set policy.planWrites to Allow.",
    ),
    Reason.MULTIPLE_HEADS: Explanation(
        _D, "The scripts have several heads.", "Merge them, or set targetRevision to heads or to one of them."
    ),
    Reason.UNKNOWN_TARGET: Explanation(
        _D, "The scripts do not have the target revision.", "Mend targetRevision or the image."
    ),
    Reason.UNKNOWN_REVISION: Explanation(
        _D,
        "The database is at a revision that the image does not have: it is ahead of the image.",
        "Give an image that has the revision.",
    ),
    Reason.DOWNGRADE_NOT_ALLOWED: Explanation(
        _D,
        "The target is behind the database.",
        "Set policy.downgrade to Allow if the database shall go back, or targetRevision to where it is, or ahead of it.",
    ),
    Reason.DOWNGRADE_IMPOSSIBLE: Explanation(
        _D,
        "A revision that would have to be undone has no downgrade, or one that only raises an error.",
        "Set another targetRevision, or restore a backup of the revision that is wanted.",
    ),
    Reason.PLAN_CHANGED: Explanation(
        _D,
        "The image tells another plan than the one that was decided on: its tag was pushed again.",
        "Pin the image by digest.",
    ),
    Reason.DATABASE_MOVED: Explanation(
        _M, "Somebody else moved the database's revision since it was planned.", "A new run plans it afresh."
    ),
    Reason.LOCK_HELD: Explanation(
        _M,
        "Another session holds the migration lock of this database, or one that keeps even readers out of a table.",
        "It is tried again; the message names the holder, which SQLite alone does not know.",
    ),
    Reason.LONG_TRANSACTION: Explanation(
        _M, "A transaction has been open for longer than checks.before allows.", "End it, or wait; it is tried again."
    ),
    Reason.REPLICATION_LAG: Explanation(
        _M, "A replica is further behind than checks.before allows.", "It is tried again."
    ),
    Reason.DISK_SPACE_LOW: Explanation(
        _M,
        "The disk has less room than checks.before asks for, or than a second copy of the database takes, which a restore needs.",
        "Make room; it is tried again, by a restore for the ten minutes that a drain is given, and then the application comes back.",
    ),
    Reason.BACKUP_NOT_FOUND: Explanation(
        _D, "A backup is not on its storage any more, or its manifest cannot be read.", "Look at the storage."
    ),
    Reason.BACKUP_OF_ANOTHER: Explanation(
        _D,
        "The backup is of another DatabaseMigration or of another database than the one that it would replace.",
        "Name a backup of this one; `dbmigration backups` lists them.",
    ),
    Reason.BACKUP_FAILED: Explanation(_M, "The dump could not be made.", "See the message; it is tried again."),
    Reason.BACKUP_CORRUPT: Explanation(
        _M,
        "The dump does not read back as it was written.",
        "Check the volume. Another backup is made; a restore of this one is given up, with the database untouched: restore another.",
    ),
    Reason.BACKUP_VOLUME_FULL: Explanation(
        _M, "The backup volume has no room.", "Enlarge it, or lower backup.retention; it is tried again."
    ),
    Reason.BACKUP_NOT_RESTORABLE: Explanation(
        _D,
        "The dump is whole, but its schema does not restore on this server.",
        "Mend the object that is named, or say in backup.skip.reason that no backup is wanted.",
    ),
    Reason.CLIENT_TOOLS_TOO_OLD: Explanation(
        _D, "The tools image has no client as new as the server.", "Set backup.image."
    ),
    Reason.LOCK_BUDGET_EXHAUSTED: Explanation(
        _M,
        "No lock was had within locks.retryFor, and nothing was changed.",
        "It is tried again; find the long transactions, or migrate at a quieter hour. An autovacuum gives way only to a locks.timeout above the server's deadlock_timeout, such as 1500ms.",
    ),
    Reason.MIGRATION_FAILED: Explanation(
        _D,
        "A revision failed; the message says where the database is now.",
        "Mend the revision and give the new image.",
    ),
    Reason.VERIFICATION_FAILED: Explanation(
        _D,
        "The migration ended without an error, but the database is not at the target.",
        "See the message and the Pod's log.",
    ),
    Reason.CHECK_FAILED: Explanation(
        _D,
        "The database is at the target, but one of checks.after does not hold.",
        "See the message; then set the retry annotation.",
    ),
    Reason.LOCK_LOST: Explanation(
        _M,
        "The session that held the migration lock broke, so the migration was stopped.",
        "It is looked at and tried again.",
    ),
    Reason.RESTORE_NEEDS_ACKNOWLEDGEMENT: Explanation(
        _D,
        "Rows were inserted, changed or deleted since the backup, or it cannot be told that none were. A restore would take the inserted ones, give the changed ones their old values and bring the deleted ones back. Nothing was changed, and the application may write.",
        "See the counts; `dbmigration restore NAME --backup BACKUP --accept-data-loss` orders it nevertheless, if that may be. Or mend the database forward.",
    ),
    Reason.RESTORE_NOT_POSSIBLE: Explanation(
        _D,
        "Something forbids a restore, and was found before the database was touched, by the plan where `rollback.onFailure` relies on one: a right of the role, a replication slot, a subscription, a prepared transaction, a name that is taken.",
        "Mend what is named, or set adminUrlFrom to a role that owns the database and may create databases.",
    ),
    Reason.RESTORE_FAILED: Explanation(
        _D,
        "The backup could not be restored beside the database, or what was restored is not what was backed up. The database itself was not touched.",
        "See the message; mend what is named, or restore another backup.",
    ),
    Reason.ALREADY_RESTORED: Explanation(
        _D,
        "A DatabaseRestore of that name was carried out before with that backup, as is recorded beside it; nothing was done again.",
        "Give another DatabaseRestore another name if the backup shall be restored once more.",
    ),
    Reason.ORDER_NAME_TAKEN: Explanation(
        _D,
        "A DatabaseRestore of that name was carried out before with another backup; nothing was done.",
        "Create the DatabaseRestore under another name.",
    ),
    Reason.SESSION_STAYS: Explanation(
        _M,
        "A session in the database may not be ended by this role, or does not end, or one of the server holds a lock on all tables; nothing can be exchanged while it stays. Nothing was changed, and the application may write.",
        "End it, or set adminUrlFrom to a role that may; it is tried again.",
    ),
    Reason.FENCED: Explanation(
        _M,
        "A restore keeps everybody out of the database, or was killed and left it so, and this role may not open it again.",
        "Wait for the restore; if there is none, the next one or any step whose role owns the database opens it.",
    ),
    Reason.TIMED_OUT: Explanation(
        _D,
        "The step took longer than spec.timeouts allows; its statement was cancelled on the server. Or, with the application drained since before the backup, all its attempts together did.",
        "Raise the step's limit under spec.timeouts.",
    ),
    Reason.CANCELLED: Explanation(
        _D, "The cancel annotation was set.", "Set the retry annotation, or change the spec, to run again."
    ),
    Reason.TASK_INVALID: Explanation(
        _D, "Operator and runner are of different releases.", "Use the tools image of the operator's release."
    ),
    Reason.INTERNAL_ERROR: Explanation(
        _D, "The runner failed in a way that it does not know.", "See the Pod's log, and report it."
    ),
}


def classify(word: str) -> tuple[Reason, ReasonClass]:
    """Find the reason of a runner's word; one that a newer runner made up needs a person."""
    try:
        reason = Reason(word)
    except ValueError:
        reason = Reason.INTERNAL_ERROR
    return reason, EXPLANATIONS[reason].kind
