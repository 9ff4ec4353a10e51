"""The Pod of a step: the application's image with the runner injected, or the tools image.

Plan, migrate, downgrade and look run what the application brings: its interpreter, its Alembic, its driver. A backup, a comparison and a restore need none of it,
nor does a look behind a restore, and scripts from a ConfigMap or a volume bring none. It must not know Jobs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from dbmigration.api import names
from dbmigration.api.spec import Image, MigrationSpec
from dbmigration.cluster.manifests.security import container_security, pod_security
from dbmigration.cluster.manifests.volumes import (
    BACKUPS_DIRECTORY,
    PROJECT_DIRECTORY,
    RUNNER_DIRECTORY,
    SOURCE_DIRECTORY,
    Mounts,
    database_mounts,
    mount,
)
from dbmigration_runner.contract.task import TASK_VARIABLE, StepKind, Task

RUNNER = "runner"
PREPARE = "prepare"

_INJECTED = "/opt/dbmigration/inject"
_TMP = "/tmp"  # noqa: S108  # the container's own
# A runner that is told to stop cancels its statement, reads the database and reports; a cancelled index build takes its time.
_GRACE_SECONDS = 120
_RESOURCES: dict[str, Any] = {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}}
_PREPARE_RESOURCES: dict[str, Any] = {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}}

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Tools:
    """The operator's tools image."""

    image: str
    pull_policy: str | None = None


def pod(task: Task, spec: MigrationSpec, tools: Tools, *, deadline_seconds: int, labels: dict[str, str]) -> Document:
    """The template of the step's Pod; the deadline stands on the Pod, for a Job's would take its last words away."""
    image = spec.migrations.source.image
    if not task.runs_application:
        body = _beside_the_application(task, spec, tools)
        task = replace(task, migrations=None)  # the project is not in this Pod
    elif image is not None:
        body = _in_the_application(spec, _of_the_run(image, task), tools)
    else:
        body = _in_the_tools(spec, tools)
    runner = body["containers"][0]
    runner["env"] = [*runner.get("env", ()), {"name": TASK_VARIABLE, "value": task.to_json()}]
    template = spec.pod_template
    return {
        "metadata": {
            "labels": template.metadata.labels | labels,
            "annotations": template.metadata.annotations
            | {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false", "karpenter.sh/do-not-disrupt": "true"},
        },
        "spec": {
            **body,
            "restartPolicy": "Never",
            "activeDeadlineSeconds": deadline_seconds,
            "terminationGracePeriodSeconds": _GRACE_SECONDS,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": pod_security(template),
            **_placement(spec),
        },
    }


def _of_the_run(image: Image, task: Task) -> Image:
    """The image that the run began with, whatever the spec names by now."""
    began = task.migrations.image if task.migrations is not None else ""
    return image.model_copy(update={"reference": began}) if began else image


def _beside_the_application(task: Task, spec: MigrationSpec, tools: Tools) -> Document:
    made = database_mounts(spec, administered=task.is_administered)
    if spec.backup.storage is not None:
        made.add_claim(spec.backup.storage.persistent_volume_claim.claim_name, BACKUPS_DIRECTORY)
    image = spec.backup.image
    container = _tools_container(RUNNER, image.reference if image else tools.image, _pull_policy(image, tools))
    container |= {"command": ["python3", _INJECTED], "resources": spec.pod_template.resources or _RESOURCES}
    return _with(container, made)


def _in_the_application(spec: MigrationSpec, image: Image, tools: Tools) -> Document:
    made = database_mounts(spec)
    made.add("runner", {"emptyDir": {}}, RUNNER_DIRECTORY)
    container: Document = {
        "name": RUNNER,
        "image": image.reference,
        **({"imagePullPolicy": image.pull_policy.value} if image.pull_policy else {}),
        "command": [spec.migrations.python, RUNNER_DIRECTORY],
        "workingDir": spec.migrations.path,
        "securityContext": container_security(read_only_root=False),
    }
    inject = _tools_container(PREPARE, tools.image, tools.pull_policy)
    inject |= {"command": ["cp", "-r", f"{_INJECTED}/.", RUNNER_DIRECTORY], "resources": _PREPARE_RESOURCES}
    inject["volumeMounts"] = [mount("runner", RUNNER_DIRECTORY)]
    return _with(_wished(container, made, spec), made, inject)


def _in_the_tools(spec: MigrationSpec, tools: Tools) -> Document:
    made, source = database_mounts(spec), spec.migrations.source
    container = _tools_container(RUNNER, tools.image, tools.pull_policy)
    container |= {"command": ["python3", _INJECTED], "workingDir": PROJECT_DIRECTORY}
    if source.persistent_volume_claim is not None:
        made.add_claim(source.persistent_volume_claim.claim_name, PROJECT_DIRECTORY, read_only=True)
        return _with(_wished(container, made, spec), made)
    assert source.config_map is not None  # noqa: S101  # the API server's rule: exactly one source
    made.add("project", {"emptyDir": {}}, PROJECT_DIRECTORY)
    made.volumes.append({"name": "dbmigration-source", "configMap": {"name": source.config_map.name}})
    unpack = _tools_container(PREPARE, tools.image, tools.pull_policy)
    unpack |= {
        "command": ["python3", "-m", "dbmigration_runner.unpack", SOURCE_DIRECTORY, PROJECT_DIRECTORY],
        "workingDir": _INJECTED,
        "resources": _PREPARE_RESOURCES,
    }
    unpack["volumeMounts"] = [mount("source", SOURCE_DIRECTORY, read_only=True), mount("project", PROJECT_DIRECTORY)]
    return _with(_wished(container, made, spec), made, unpack)


def _tools_container(name: str, image: str, pull_policy: str | None) -> Document:
    return {
        "name": name,
        "image": image,
        **({"imagePullPolicy": pull_policy} if pull_policy else {}),
        "securityContext": container_security(read_only_root=True),
        # What prepares prints nothing of anybody's; a runner's log may hold what its application prints.
        **({"terminationMessagePolicy": "FallbackToLogsOnError"} if name == PREPARE else {}),
    }


def _pull_policy(image: Image | None, tools: Tools) -> str | None:
    if image is None:
        return tools.pull_policy
    return image.pull_policy.value if image.pull_policy else None


def _wished(container: Document, made: Mounts, spec: MigrationSpec) -> Document:
    """What the user's template adds to the container that runs the user's code; ours comes after it and wins."""
    template = spec.pod_template
    made.volumes.extend(template.volumes)
    made.mounts.extend(template.volume_mounts)
    container["resources"] = template.resources or _RESOURCES
    if template.env:
        container["env"] = list(template.env)
    if template.env_from:
        container["envFrom"] = list(template.env_from)
    return container


def _with(container: Document, made: Mounts, prepare: Document | None = None) -> Document:
    """A Pod's body. A root that cannot be written gets a /tmp that can."""
    mounts = list(made.mounts)
    has_one = any(known["mountPath"] == _TMP for known in mounts)
    if container["securityContext"]["readOnlyRootFilesystem"] and not has_one:
        made.volumes.append({"name": "dbmigration-tmp", "emptyDir": {}})
        mounts.append(mount("tmp", _TMP))
    body: Document = {"containers": [container | {"volumeMounts": mounts}], "volumes": made.volumes}
    if prepare is not None:
        body["initContainers"] = [prepare]
    return body


def _placement(spec: MigrationSpec) -> Document:
    """Where the Pods of this resource may run, and as whom; the same for all of them."""
    template = spec.pod_template
    wishes: Document = {
        "serviceAccountName": template.service_account_name,
        "nodeSelector": template.node_selector,
        "tolerations": list(template.tolerations),
        "affinity": template.affinity,
        "priorityClassName": template.priority_class_name,
        "imagePullSecrets": list(template.image_pull_secrets),
        "hostAliases": list(template.host_aliases),
    }
    return {name: wish for name, wish in wishes.items() if wish}


def step_labels(name: str, uid: str, run: int, kind: StepKind, attempt: int) -> dict[str, str]:
    """What the server selects Jobs and Pods by."""
    return {
        names.LABEL_MANAGED_BY: names.MANAGED_BY,
        names.LABEL_MIGRATION: name,
        names.LABEL_UID: uid,
        names.LABEL_RUN: str(run),
        names.LABEL_STEP: kind.value,
        names.LABEL_ATTEMPT: str(attempt),
    }
