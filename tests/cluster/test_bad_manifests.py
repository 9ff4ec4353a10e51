"""Bad manifests are refused by the API server itself, with a message that helps, before any operator sees them.

Each row is a mistake that somebody could make, and words that the refusal must hold.
"""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from tests.cluster.access import KubectlError, Namespace

DELETE = object()

GOOD: dict[str, Any] = {
    "apiVersion": "dbmigration.io/v1alpha1",
    "kind": "DatabaseMigration",
    "metadata": {"name": "shop"},
    "spec": {
        "database": {"urlFrom": {"secretKeyRef": {"name": "shop-db", "key": "url"}}},
        "migrations": {"source": {"image": {"reference": "shop:1.0"}}},
        "backup": {"storage": {"persistentVolumeClaim": {"claimName": "backups"}}},
    },
}

IMAGE = {"reference": "shop:1.0"}

MISTAKES: dict[str, tuple[str, Any, str]] = {
    "no database": ("spec.database", DELETE, "spec.database: Required value"),
    "no migrations": ("spec.migrations", DELETE, "spec.migrations: Required value"),
    "no backup": ("spec.backup", DELETE, "spec.backup: Required value"),
    "a backup that is neither stored nor skipped": (
        "spec.backup",
        {},
        "state in backup.skip.reason why no backup is wanted",
    ),
    "a backup that is both stored and skipped": (
        "spec.backup.skip",
        {"reason": "no"},
        "set backup.storage, or state in backup.skip.reason",
    ),
    "skipped without a reason": ("spec.backup", {"skip": {"reason": ""}}, "should be at least 1 chars long"),
    "no source": ("spec.migrations.source", {}, "set exactly one of image, configMap and persistentVolumeClaim"),
    "two sources": (
        "spec.migrations.source",
        {"image": IMAGE, "configMap": {"name": "scripts"}},
        "set exactly one of image, configMap and persistentVolumeClaim",
    ),
    "the URL inline": ("spec.database.url", "postgresql://u:p@h/d", 'unknown field "spec.database.url"'),
    "a Secret of another namespace": ("spec.database.urlFrom.secretKeyRef.namespace", "prod", "unknown field"),
    "a relative step up": ("spec.targetRevision", "+1", "spec.targetRevision"),
    "a relative step down": ("spec.targetRevision", "-1", "spec.targetRevision"),
    "a range": ("spec.targetRevision", "a1:b2", "spec.targetRevision"),
    "a duration without a unit": ("spec.locks", {"timeout": "100"}, "spec.locks.timeout"),
    "a duration in words": ("spec.timeouts", {"migrate": "an hour"}, "spec.timeouts.migrate"),
    "nothing kept": ("spec.backup.retention", {"keepLast": 0}, "should be greater than or equal to 1"),
    "a path that is not absolute": ("spec.migrations.path", "app", "spec.migrations.path"),
    "an ini file that is absolute": ("spec.migrations.config", "/etc/alembic.ini", "spec.migrations.config"),
    "an image with a space": ("spec.migrations.source", {"image": {"reference": "shop 1.0"}}, "reference"),
    "an unknown pull policy": (
        "spec.migrations.source",
        {"image": IMAGE | {"pullPolicy": "Sometimes"}},
        "Unsupported value",
    ),
    "an environment variable with a dash": (
        "spec.migrations.urlTo",
        {"env": {"DATABASE-URL": "url"}},
        "letters, digits and underscores",
    ),
    "a part of the URL that there is not": (
        "spec.migrations.urlTo",
        {"env": {"DATABASE_URL": "dsn"}},
        "Unsupported value",
    ),
    "a misspelt field": ("spec.target", "head", 'unknown field "spec.target"'),
    "suspended by a word": ("spec.suspend", "yes", "Invalid value"),
    "root": ("spec.podTemplate", {"runAsUser": 0}, "should be greater than or equal to 1"),
    "a privileged Pod": ("spec.podTemplate", {"securityContext": {"privileged": True}}, "unknown field"),
    "a folder that climbs out of the volume": ("spec.backup.storage.persistentVolumeClaim.path", "../other", "path"),
    "a name that no label can hold": ("metadata.name", "a" * 64, "metadata.name"),
}


pytestmark = pytest.mark.usefixtures("operator")  # its chart brings the definition


def changed(path: str, value: Any) -> dict[str, Any]:
    manifest = copy.deepcopy(GOOD)
    *parents, last = path.split(".")
    node = manifest
    for parent in parents:
        node = node.setdefault(parent, {})
    if value is DELETE:
        del node[last]
    else:
        node[last] = value
    return manifest


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_refused_with_a_message_that_helps(namespace: Namespace, mistake: str):
    path, value, words = MISTAKES[mistake]
    with pytest.raises(KubectlError) as refusal:
        namespace.apply(changed(path, value))
    assert words in str(refusal.value)


def test_the_good_manifest_is_taken_and_is_not_done_yet(namespace: Namespace):
    # Only tried: an operator that is installed would look at a real one at once.
    arguments = ("create", "--dry-run=server", "--output", "json", "--filename", "-")
    made = json.loads(namespace.kubectl(*arguments, input=json.dumps(GOOD)))
    assert made["status"]["observedGeneration"] == -1
    assert made["spec"]["targetRevision"] == "head"
