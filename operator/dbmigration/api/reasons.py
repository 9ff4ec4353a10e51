"""Every reason that a condition can show, as a stable word.

The words of the runner are part of the contract and are repeated here. What each means stands in explanations.py. It must not
decide.
"""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """CamelCase words, stable."""

    # Progress.
    PENDING = "Pending"
    PLANNING = "Planning"
    BACKING_UP = "BackingUp"
    MIGRATING = "Migrating"
    DOWNGRADING = "Downgrading"
    ROLLING_BACK = "RollingBack"
    COMPARING = "Comparing"
    DRAINING = "Draining"
    RESTORING = "Restoring"
    RESUMING = "Resuming"
    LOOKING = "Looking"
    SUCCEEDED = "Succeeded"
    UP_TO_DATE = "UpToDate"
    SUSPENDED = "Suspended"
    STOPPING = "Stopping"
    WAITING_FOR_TURN = "WaitingForTurn"
    BACKUP_TOO_OLD = "BackupTooOld"
    STEP_WARNED = "StepWarned"

    # The way back.
    ROLLED_BACK = "RolledBack"
    ROLLBACK_FAILED = "RollbackFailed"
    DRAIN_CONTESTED = "DrainContested"
    WORKLOAD_NOT_FOUND = "WorkloadNotFound"
    WORKLOADS_NOT_READY = "WorkloadsNotReady"
    DATA_LOSS_NOT_ACCEPTED = "DataLossNotAccepted"

    # What only the cluster knows.
    SPEC_INVALID = "SpecInvalid"
    SECRET_NOT_FOUND = "SecretNotFound"  # noqa: S105
    CONFIG_MAP_NOT_FOUND = "ConfigMapNotFound"
    IMAGE_PULL_FAILED = "ImagePullFailed"
    UNSCHEDULABLE = "Unschedulable"
    VOLUME_NOT_MOUNTED = "VolumeNotMounted"
    POD_REJECTED = "PodRejected"
    CONTAINER_NOT_STARTED = "ContainerNotStarted"
    STEP_LOST = "StepLost"
    STEP_INTERRUPTED = "StepInterrupted"
    STEP_OVERDUE = "StepOverdue"

    # What the runner tells (dbmigration_runner.contract.reasons).
    DATABASE_UNREACHABLE = "DatabaseUnreachable"
    AUTHENTICATION_FAILED = "AuthenticationFailed"
    DATABASE_NOT_FOUND = "DatabaseNotFound"
    DATABASE_READ_ONLY = "DatabaseReadOnly"
    CONNECTION_LOST = "ConnectionLost"
    INSUFFICIENT_PRIVILEGE = "InsufficientPrivilege"
    POOLER_DETECTED = "PoolerDetected"
    ENGINE_NOT_SUPPORTED = "EngineNotSupported"
    DRIVER_MISSING = "DriverMissing"
    URL_INVALID = "UrlInvalid"
    STORAGE_NOT_SUPPORTED = "StorageNotSupported"
    INTERPRETER_UNSUITABLE = "InterpreterUnsuitable"
    CONFIG_NOT_FOUND = "ConfigNotFound"
    CONFIG_INVALID = "ConfigInvalid"
    SCRIPT_ERROR = "ScriptError"
    ENVIRONMENT_FAILED = "EnvironmentFailed"
    ENVIRONMENT_EXITED = "EnvironmentExited"
    ENVIRONMENT_DID_NOTHING = "EnvironmentDidNothing"
    WRONG_DATABASE = "WrongDatabase"
    PLAN_WRITES = "PlanWrites"
    MULTIPLE_HEADS = "MultipleHeads"
    UNKNOWN_TARGET = "UnknownTarget"
    UNKNOWN_REVISION = "UnknownRevision"
    DOWNGRADE_NOT_ALLOWED = "DowngradeNotAllowed"
    DOWNGRADE_IMPOSSIBLE = "DowngradeImpossible"
    PLAN_CHANGED = "PlanChanged"
    DATABASE_MOVED = "DatabaseMoved"
    LOCK_HELD = "LockHeld"
    LONG_TRANSACTION = "LongTransaction"
    REPLICATION_LAG = "ReplicationLag"
    DISK_SPACE_LOW = "DiskSpaceLow"
    BACKUP_NOT_FOUND = "BackupNotFound"
    BACKUP_FAILED = "BackupFailed"
    BACKUP_CORRUPT = "BackupCorrupt"
    BACKUP_VOLUME_FULL = "BackupVolumeFull"
    BACKUP_NOT_RESTORABLE = "BackupNotRestorable"
    CLIENT_TOOLS_TOO_OLD = "ClientToolsTooOld"
    LOCK_BUDGET_EXHAUSTED = "LockBudgetExhausted"
    MIGRATION_FAILED = "MigrationFailed"
    VERIFICATION_FAILED = "VerificationFailed"
    CHECK_FAILED = "CheckFailed"
    LOCK_LOST = "LockLost"
    RESTORE_NEEDS_ACKNOWLEDGEMENT = "RestoreNeedsAcknowledgement"
    TIMED_OUT = "TimedOut"
    CANCELLED = "Cancelled"
    TASK_INVALID = "TaskInvalid"
    INTERNAL_ERROR = "InternalError"
