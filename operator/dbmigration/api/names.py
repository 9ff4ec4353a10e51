"""The names that users and clusters know us by; all of them, in one place. It must not hold logic."""

from __future__ import annotations

GROUP = "dbmigration.io"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "DatabaseMigration"
PLURAL = "databasemigrations"
SINGULAR = "databasemigration"
SHORT_NAME = "dbm"
CATEGORY = "dbmigration"

RESTORE_KIND = "DatabaseRestore"
RESTORE_PLURAL = "databaserestores"
RESTORE_SINGULAR = "databaserestore"
RESTORE_SHORT_NAME = "dbr"

FINALIZER = f"{GROUP}/running-step"

LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGED_BY = "dbmigration-operator"
LABEL_MIGRATION = f"{GROUP}/migration"
LABEL_UID = f"{GROUP}/migration-uid"
LABEL_RUN = f"{GROUP}/run"
LABEL_STEP = f"{GROUP}/step"
LABEL_ATTEMPT = f"{GROUP}/attempt"

ANNOTATION_RETRY = f"{GROUP}/retry"
ANNOTATION_CANCEL = f"{GROUP}/cancel"
# What a user may set on a resource, and what it does.
ANNOTATIONS = {
    ANNOTATION_RETRY: "Any text that was not there before, such as the time, starts a new run once the present one is over.",
    ANNOTATION_CANCEL: "Any text that was not there before ends the present run: what runs is stopped on the server, and the database is read. A DatabaseRestore is given up, and the replicas come back, until its restore step is started; a way back that has begun goes to its end.",
}

# What the operator notes on its Jobs.
ANNOTATION_NONCE = f"{GROUP}/nonce"
ANNOTATION_DEADLINE = f"{GROUP}/deadline-seconds"
