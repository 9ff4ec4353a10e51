"""The cluster that the other tests stand on does what they take for granted."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from tests.cluster.access import Cluster, KubectlError
from tests.cluster.audit import Write
from tests.cluster.embedded.catalog import POSTGRESQL

RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
}


@pytest.fixture(scope="session")
def image(cluster: Cluster) -> str:
    return cluster.image(POSTGRESQL)


def pod(image: str, *command: str, **container: Any) -> dict[str, Any]:
    """A Pod that Pod Security "restricted" lets in, and that runs one command."""
    return {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 0,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "runAsGroup": 65532,
            "fsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": "main",
                "image": image,
                "imagePullPolicy": "IfNotPresent",
                "securityContext": RESTRICTED,
                **({"command": list(command)} if command else {}),
                **container,
            }
        ],
    }


def job(name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"backoffLimit": 0, "template": {"spec": dict(spec)}},
    }


def ending_of(pod_seen: Mapping[str, Any]) -> Mapping[str, Any]:
    return pod_seen["status"]["containerStatuses"][0]["state"]["terminated"]


def test_the_node_is_ready(cluster):
    nodes = json.loads(cluster.kubectl("get", "nodes", "--output", "json"))["items"]

    (node,) = nodes
    conditions = {item["type"]: item["status"] for item in node["status"]["conditions"]}
    assert conditions["Ready"] == "True"
    assert {"type": "InternalIP", "address": cluster.node_address} in node["status"]["addresses"]


def test_a_job_runs_and_its_last_words_are_read(namespace, image):
    namespace.apply(
        job("speaker", pod(image, "sh", "-c", "echo to the log; echo last words > /dev/termination-log; exit 3"))
    )

    ending = ending_of(namespace.wait_for_job("speaker"))

    assert ending["exitCode"] == 3
    assert ending["message"] == "last words\n"
    assert namespace.kubectl("logs", "job/speaker") == "to the log\n"


def test_a_database_is_reached_by_the_name_of_its_service(namespace, image):
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "shop-db"},
        "stringData": {"password": "a word with 'quotes' and $igns"},
    }
    server = pod(
        image,
        env=[
            {"name": "POSTGRES_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "shop-db", "key": "password"}}},
            {"name": "POSTGRES_DATABASE", "value": "shop"},
        ],
        volumeMounts=[{"name": "data", "mountPath": "/data"}, {"name": "tmp", "mountPath": "/tmp"}],
        readinessProbe={"exec": {"command": ["pg_isready", "--host", "127.0.0.1"]}, "periodSeconds": 1},
    ) | {"volumes": [{"name": "data", "emptyDir": {}}, {"name": "tmp", "emptyDir": {}}]}
    database = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "shop-db", "labels": {"app": "shop-db"}},
        "spec": server,
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "shop-db"},
        "spec": {"selector": {"app": "shop-db"}, "ports": [{"port": 5432}]},
    }
    namespace.apply(secret, database, service)
    namespace.kubectl("wait", "pod/shop-db", "--for=condition=Ready", "--timeout=120s")

    asking = "psql --no-align --tuples-only --command 'select current_database()' --command 'show fsync'"
    client = pod(
        image,
        "sh",
        "-c",
        f"{asking} > /dev/termination-log",
        env=[
            {"name": "PGPASSWORD", "valueFrom": {"secretKeyRef": {"name": "shop-db", "key": "password"}}},
            {"name": "PGHOST", "value": f"shop-db.{namespace}.svc.cluster.local"},
            {"name": "PGUSER", "value": "postgres"},
            {"name": "PGDATABASE", "value": "shop"},
        ],
    )
    namespace.apply(job("client", client))
    seen = namespace.wait_for_job("client")

    assert ending_of(seen).get("message") == "shop\non\n", namespace.kubectl("logs", "job/client")


def test_a_secret_a_configmap_and_a_claim_are_there_under_restricted(namespace, image):
    volume = namespace.volume("backups")
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "given"}, "stringData": {"key": "secret"}}
    settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "given"}, "data": {"key": "setting"}}
    writer = pod(
        image,
        "sh",
        "-c",
        "cat /secret/key /settings/key > /backups/copy && cat /backups/copy > /dev/termination-log",
        volumeMounts=[{"name": name, "mountPath": f"/{name}"} for name in ("secret", "settings", "backups")],
    )
    volumes = [
        {"name": "secret", "secret": {"secretName": "given", "defaultMode": 0o440}},
        {"name": "settings", "configMap": {"name": "given"}},
        {"name": "backups", "persistentVolumeClaim": {"claimName": volume.claim}},
    ]
    namespace.apply(secret, settings, job("writer", writer | {"volumes": volumes}))

    ending = ending_of(namespace.wait_for_job("writer"))

    assert ending["exitCode"] == 0
    assert ending["message"] == "secretsetting"
    assert namespace.get("pvc", "backups")["status"]["phase"] == "Bound"


def test_a_small_volume_is_full_after_its_size(namespace, image):
    volume = namespace.volume("small", size_mib=16)
    writer = pod(
        image,
        "sh",
        "-c",
        "head --bytes 32M /dev/zero > /small/too-much 2> /dev/termination-log",
        volumeMounts=[{"name": "small", "mountPath": "/small"}],
    ) | {"volumes": [{"name": "small", "persistentVolumeClaim": {"claimName": volume.claim}}]}
    namespace.apply(job("writer", writer))

    ending = ending_of(namespace.wait_for_job("writer"))

    assert ending["exitCode"] != 0
    assert "No space left on device" in ending["message"]


def test_a_pod_that_is_not_restricted_is_refused(namespace, image):
    asking_for_root = pod(image, "id") | {"securityContext": {"runAsUser": 0}}
    manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "root"}, "spec": asking_for_root}

    with pytest.raises(KubectlError, match='violates PodSecurity "restricted'):
        namespace.apply(manifest)


def test_the_audit_log_counts_a_write(cluster, namespace):
    before = cluster.audit.moment()
    namespace.kubectl("create", "configmap", "counted")
    namespace.kubectl("label", "configmap", "counted", "more=1")
    between = cluster.audit.moment()
    namespace.kubectl("delete", "configmap", "counted")
    after = cluster.audit.moment()

    first = cluster.audit.writes(before, between, namespace=namespace.name)
    second = cluster.audit.writes(between, after, namespace=namespace.name)
    assert first == {Write("kubectl", "create", "configmaps"): 1, Write("kubectl", "patch", "configmaps"): 1}
    assert second == {Write("kubectl", "delete", "configmaps"): 1}
