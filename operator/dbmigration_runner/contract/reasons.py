"""The reasons a runner may give for what it did not do: stable words, part of the contract.

What each means for the run (try again, or ask somebody to decide) and its remedy are told by the operator's own table,
which a test holds complete. Nothing here must depend on an engine.
"""

from __future__ import annotations

from enum import Enum


class RunnerReason(str, Enum):
    """CamelCase words, as they appear in a condition's `reason`."""

    DONE = "Done"

    # Reaching the database.
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

    # The application's environment.
    INTERPRETER_UNSUITABLE = "InterpreterUnsuitable"
    CONFIG_NOT_FOUND = "ConfigNotFound"
    CONFIG_INVALID = "ConfigInvalid"
    SCRIPT_ERROR = "ScriptError"
    ENVIRONMENT_FAILED = "EnvironmentFailed"
    ENVIRONMENT_EXITED = "EnvironmentExited"
    ENVIRONMENT_DID_NOTHING = "EnvironmentDidNothing"
    WRONG_DATABASE = "WrongDatabase"
    PLAN_WRITES = "PlanWrites"

    # The revisions.
    MULTIPLE_HEADS = "MultipleHeads"
    UNKNOWN_TARGET = "UnknownTarget"
    UNKNOWN_REVISION = "UnknownRevision"
    DOWNGRADE_NOT_ALLOWED = "DowngradeNotAllowed"
    DOWNGRADE_IMPOSSIBLE = "DowngradeImpossible"
    PLAN_CHANGED = "PlanChanged"
    DATABASE_MOVED = "DatabaseMoved"

    # What must hold before a migration.
    LOCK_HELD = "LockHeld"
    LONG_TRANSACTION = "LongTransaction"
    REPLICATION_LAG = "ReplicationLag"
    DISK_SPACE_LOW = "DiskSpaceLow"

    # The backup.
    BACKUP_NOT_FOUND = "BackupNotFound"
    BACKUP_OF_ANOTHER = "BackupOfAnother"
    BACKUP_FAILED = "BackupFailed"
    BACKUP_CORRUPT = "BackupCorrupt"
    BACKUP_VOLUME_FULL = "BackupVolumeFull"
    BACKUP_NOT_RESTORABLE = "BackupNotRestorable"
    CLIENT_TOOLS_TOO_OLD = "ClientToolsTooOld"

    # The restore.
    RESTORE_NEEDS_ACKNOWLEDGEMENT = "RestoreNeedsAcknowledgement"
    RESTORE_NOT_POSSIBLE = "RestoreNotPossible"
    RESTORE_FAILED = "RestoreFailed"
    ALREADY_RESTORED = "AlreadyRestored"
    ORDER_NAME_TAKEN = "OrderNameTaken"
    SESSION_STAYS = "SessionStays"
    FENCED = "Fenced"

    # The migration.
    LOCK_BUDGET_EXHAUSTED = "LockBudgetExhausted"
    MIGRATION_FAILED = "MigrationFailed"
    VERIFICATION_FAILED = "VerificationFailed"
    CHECK_FAILED = "CheckFailed"
    LOCK_LOST = "LockLost"

    # Any step.
    TIMED_OUT = "TimedOut"
    CANCELLED = "Cancelled"
    TASK_INVALID = "TaskInvalid"
    INTERNAL_ERROR = "InternalError"
