"""What the operator creates is let in by Pod Security "restricted", ends by itself, and holds no secret and no token."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from dbmigration.api import names
from dbmigration.cluster.manifests.job import job
from dbmigration.cluster.manifests.pod import Tools
from dbmigration.cluster.manifests.volumes import places
from dbmigration.lifecycle.decision import StartStep
from dbmigration.lifecycle.observed import StepRef
from dbmigration_runner.contract.task import (
    CHANGING,
    BackupOrder,
    DatabaseAccess,
    Migrations,
    RestoreOrder,
    RunIdentity,
    StepKind,
    Task,
)
from tests.pod_security import restricted_violations
from tests.unit.cluster.documents import UID, resource

TOOLS = Tools("registry.example/tools:0.1.0", "IfNotPresent")
IMAGE = {"source": {"image": {"reference": "registry.example/shop:1.1", "pullPolicy": "Always"}}, "path": "/srv/shop"}
SOURCES = {
    "image": IMAGE,
    "configMap": {"source": {"configMap": {"name": "scripts"}}},
    "volume": {"source": {"persistentVolumeClaim": {"claimName": "scripts"}}},
}
EVERYTHING = {
    "metadata": {"labels": {"team": "shop", names.LABEL_UID: "forged"}, "annotations": {"mesh": "off"}},
    "serviceAccountName": "shop",
    "env": [{"name": "APP", "value": "1"}, {"name": "DBMIGRATION_TASK", "value": "forged"}],
    "envFrom": [{"configMapRef": {"name": "shop"}}],
    "volumes": [{"name": "extra", "emptyDir": {}}],
    "volumeMounts": [{"name": "extra", "mountPath": "/extra"}],
    "resources": {"limits": {"memory": "2Gi"}},
    "runAsUser": 1000,
    "runAsGroup": 1000,
    "fsGroup": 2000,
    "nodeSelector": {"disk": "fast"},
    "tolerations": [{"key": "db", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "priorityClassName": "high",
    "imagePullSecrets": [{"name": "registry"}],
    "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["db"]}],
}


def made(kind: StepKind = StepKind.PLAN, name: str = "shop", *, restored: bool = False, **spec: Any) -> dict[str, Any]:
    owner = resource(name, **spec)
    assert owner.spec is not None
    seen = places(owner.spec, name)
    task = Task(
        kind=kind,
        nonce="n",
        run=RunIdentity("prod", name, UID, 1, 1),
        database=DatabaseAccess(seen.url_file, seen.admin_url_file, seen.tls_directory),
        timeout_seconds=300,
        migrations=Migrations(seen.project),
        backup=BackupOrder(seen.backups, "b") if kind is StepKind.BACKUP else None,
        restore=RestoreOrder(seen.backups, "b", "f" * 64, "kept") if restored else None,
    )
    return job(StartStep(StepRef(1, kind, 1), task, timedelta(seconds=300)), owner, TOOLS)


def pod_of(manifest: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = manifest["spec"]["template"]["spec"]
    return found


def containers_of(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    pod = pod_of(manifest)
    return [*pod.get("initContainers", []), *pod["containers"]]


def runner_of(manifest: dict[str, Any]) -> dict[str, Any]:
    (runner,) = pod_of(manifest)["containers"]
    return runner


@pytest.mark.parametrize("template", [{}, EVERYTHING], ids=["bare", "everything"])
@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("kind", StepKind)
def test_every_pod_is_restricted_and_bounded(kind, source, template):
    manifest = made(kind, migrations=SOURCES[source], podTemplate=template)

    pod = pod_of(manifest)
    assert restricted_violations(pod) == []
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    assert pod["restartPolicy"] == "Never"
    assert pod["activeDeadlineSeconds"] == 420
    assert "activeDeadlineSeconds" not in manifest["spec"]
    assert manifest["spec"]["backoffLimit"] == 0
    assert manifest["spec"]["podReplacementPolicy"] == "Failed"
    assert all(container["resources"] for container in containers_of(manifest))
    annotations = manifest["spec"]["template"]["metadata"]["annotations"]
    assert annotations["cluster-autoscaler.kubernetes.io/safe-to-evict"] == "false"


@pytest.mark.parametrize("kind", StepKind)
def test_every_step_gets_the_memory_that_the_template_gives(kind):
    """It is the remedy that is told when one ran out of it."""
    (runner,) = pod_of(made(kind, podTemplate=EVERYTHING))["containers"]
    assert runner["resources"] == EVERYTHING["resources"]


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("kind", StepKind)
def test_what_is_mounted_is_there(kind, source):
    pod = pod_of(made(kind, migrations=SOURCES[source], podTemplate=EVERYTHING))

    volumes = [volume["name"] for volume in pod["volumes"]]
    assert len(volumes) == len(set(volumes))
    for container in [*pod.get("initContainers", []), *pod["containers"]]:
        assert {mount["name"] for mount in container["volumeMounts"]} <= set(volumes)
        paths = [mount["mountPath"] for mount in container["volumeMounts"]]
        assert len(paths) == len(set(paths))


def test_a_migration_is_not_owned_by_its_resource_and_everything_else_is():
    owned = {kind: bool(made(kind)["metadata"].get("ownerReferences")) for kind in StepKind}

    assert {kind for kind, is_owned in owned.items() if not is_owned} == CHANGING


def test_an_owner_does_not_block_its_deletion():
    (owner,) = made(StepKind.PLAN)["metadata"]["ownerReferences"]

    assert owner["uid"] == UID
    assert owner["controller"] is True
    assert owner["blockOwnerDeletion"] is False


def test_names_and_labels_fit_however_long_the_resource_s_name_is():
    manifest = made(StepKind.MIGRATE, name="a" * 63)

    assert len(manifest["metadata"]["name"]) <= 63
    assert all(len(value) <= 63 for value in manifest["metadata"]["labels"].values())


def test_the_application_is_run_by_its_own_interpreter_with_the_runner_injected():
    manifest = made(StepKind.MIGRATE, migrations=IMAGE | {"python": "/venv/bin/python"})

    runner, (inject,) = runner_of(manifest), pod_of(manifest)["initContainers"]
    assert runner["image"] == "registry.example/shop:1.1"
    assert runner["imagePullPolicy"] == "Always"
    assert runner["command"] == ["/venv/bin/python", "/dbm"]
    assert runner["workingDir"] == "/srv/shop"
    assert runner["securityContext"]["readOnlyRootFilesystem"] is False
    assert inject["image"] == TOOLS.image
    assert inject["securityContext"]["readOnlyRootFilesystem"] is True


def test_a_backup_needs_nothing_of_the_application():
    manifest = made(StepKind.BACKUP, podTemplate=EVERYTHING)

    runner = runner_of(manifest)
    assert runner["image"] == TOOLS.image
    assert "initContainers" not in pod_of(manifest)
    assert {"name", "value"} == set(runner["env"][0])
    assert "envFrom" not in runner
    assert {mount["mountPath"] for mount in runner["volumeMounts"]} == {"/etc/dbmigration/url", "/backups", "/tmp"}
    assert json.loads(runner["env"][-1]["value"]).get("migrations") is None


def test_an_image_for_backups_is_used_for_backups_alone():
    backup = {"storage": {"persistentVolumeClaim": {"claimName": "b"}}, "image": {"reference": "tools-18:1"}}

    assert runner_of(made(StepKind.BACKUP, backup=backup))["image"] == "tools-18:1"
    assert pod_of(made(StepKind.PLAN, backup=backup))["initContainers"][0]["image"] == TOOLS.image


def test_a_user_s_environment_cannot_forge_a_task_nor_labels():
    manifest = made(StepKind.PLAN, podTemplate=EVERYTHING)

    task = [item["value"] for item in runner_of(manifest)["env"] if item["name"] == "DBMIGRATION_TASK"][-1]
    assert json.loads(task)["nonce"] == "n"
    assert manifest["spec"]["template"]["metadata"]["labels"][names.LABEL_UID] == UID
    assert manifest["spec"]["template"]["metadata"]["labels"]["team"] == "shop"


def test_the_ids_and_the_place_hold_for_every_pod():
    for kind in StepKind:
        pod = pod_of(made(kind, podTemplate=EVERYTHING))
        security = pod["securityContext"]
        assert (security["runAsUser"], security["runAsGroup"], security["fsGroup"]) == (1000, 1000, 2000)
        assert pod["nodeSelector"] == {"disk": "fast"}
        assert pod["imagePullSecrets"] == [{"name": "registry"}]


def test_the_group_that_reads_the_url_is_set_where_nobody_sets_one():
    pod = pod_of(made())

    (url,) = [volume for volume in pod["volumes"] if volume["name"] == "dbmigration-url"]
    assert pod["securityContext"]["fsGroup"] == 65532
    assert url["projected"]["defaultMode"] == 0o440


def test_urls_and_certificates_come_as_files_and_never_as_environment():
    database = {
        "urlFrom": {"secretKeyRef": {"name": "app", "key": "dsn"}},
        "adminUrlFrom": {"secretKeyRef": {"name": "admin", "key": "dsn"}},
        "tls": {"secretRef": {"name": "certificates"}},
    }
    manifest = made(StepKind.BACKUP, database=database)

    url, tls = pod_of(manifest)["volumes"][:2]
    assert url["projected"]["sources"] == [
        {"secret": {"name": "app", "items": [{"key": "dsn", "path": "url"}]}},
        {"secret": {"name": "admin", "items": [{"key": "dsn", "path": "admin-url"}]}},
    ]
    assert tls["secret"]["secretName"] == "certificates"
    task = json.loads(runner_of(manifest)["env"][-1]["value"])
    assert task["database"] == {
        "url_file": "/etc/dbmigration/url/url",
        "admin_url_file": "/etc/dbmigration/url/admin-url",
        "tls_directory": "/etc/dbmigration/tls",
    }
    assert not any("valueFrom" in item for item in runner_of(manifest)["env"])


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("kind", StepKind)
def test_the_administrator_s_url_is_in_no_pod_that_runs_the_application(kind, source):
    """Who may create and drop databases is nobody whom an env.py could pretend to be."""
    database = {name: {"secretKeyRef": {"name": name.lower(), "key": "dsn"}} for name in ("urlFrom", "adminUrlFrom")}
    manifest = made(kind, migrations=SOURCES[source], database=database)

    (url,) = [volume for volume in pod_of(manifest)["volumes"] if volume["name"] == "dbmigration-url"]
    secrets = [item["secret"]["name"] for item in url["projected"]["sources"]]
    is_ours_alone = kind in {StepKind.BACKUP, StepKind.RESTORE}
    assert secrets == (["urlfrom", "adminurlfrom"] if is_ours_alone else ["urlfrom"])
    assert ("adminurlfrom" in json.dumps(manifest)) is is_ours_alone
    if is_ours_alone:
        assert "initContainers" not in pod_of(manifest)
        assert runner_of(manifest)["image"] == TOOLS.image


@pytest.mark.parametrize("source", SOURCES)
def test_a_look_behind_a_restore_is_given_what_the_restore_was_and_nothing_of_the_application(source):
    database = {name: {"secretKeyRef": {"name": name.lower(), "key": "dsn"}} for name in ("urlFrom", "adminUrlFrom")}
    look = made(StepKind.LOOK, migrations=SOURCES[source], database=database, restored=True)
    restore = made(StepKind.RESTORE, migrations=SOURCES[source], database=database, restored=True)

    for name in ("volumes", "containers", "initContainers"):
        of_both = [json.dumps(pod_of(manifest).get(name)) for manifest in (look, restore)]
        assert of_both[0].replace('\\"look\\"', '\\"restore\\"') == of_both[1]
    assert "migrations" not in json.loads(runner_of(look)["env"][-1]["value"])


def test_a_claim_that_is_wanted_twice_is_one_volume_with_two_mounts():
    claim = {"claimName": "data", "mountPath": "/data"}
    manifest = made(
        StepKind.BACKUP,
        database={"urlFrom": {"secretKeyRef": {"name": "app", "key": "url"}}, "persistentVolumeClaim": claim},
        backup={"storage": {"persistentVolumeClaim": {"claimName": "data", "path": "dumps"}}},
    )

    claims = [volume for volume in pod_of(manifest)["volumes"] if "persistentVolumeClaim" in volume]
    assert len(claims) == 1
    mounts = [mount["mountPath"] for mount in runner_of(manifest)["volumeMounts"] if mount["name"] == claims[0]["name"]]
    assert mounts == ["/data", "/backups"]


@pytest.mark.parametrize("kind", StepKind)
def test_sqlite_s_volume_is_in_every_step(kind):
    claim = {"claimName": "data", "mountPath": "/data"}
    database = {"urlFrom": {"secretKeyRef": {"name": "app", "key": "url"}}, "persistentVolumeClaim": claim}

    assert "/data" in {mount["mountPath"] for mount in runner_of(made(kind, database=database))["volumeMounts"]}


@pytest.mark.parametrize(("path", "directory"), [("", "/backups/shop"), ("team/a", "/backups/team/a/shop")])
def test_every_resource_has_a_folder_of_its_own_on_the_storage(path, directory):
    owner = resource(backup={"storage": {"persistentVolumeClaim": {"claimName": "b", "path": path}}})

    assert owner.spec is not None
    assert places(owner.spec, "shop").backups == directory


def test_the_same_order_makes_the_same_job():
    assert made(StepKind.MIGRATE) == made(StepKind.MIGRATE)
