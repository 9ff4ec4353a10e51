"""The operator as a user installs it: by its chart, for the whole cluster, under Pod Security "restricted"."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.cluster.access import Cluster, Namespace, eventually
from tests.cluster.embedded import cache, catalog

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm" / "dbmigration-operator"
SYSTEM = "dbmigration-system"
RELEASE = "dbmigration"
NAME = f"{RELEASE}-dbmigration-operator"  # of the Deployment, the service account, the Lease
ACCOUNT = f"system:serviceaccount:{SYSTEM}:{NAME}"


def helm(cluster: Cluster, *arguments: str) -> str:
    """Run helm against the cluster; raises CalledProcessError, with what it said, where it fails."""
    program = subprocess.run([ROOT / "scripts" / "helm"], capture_output=True, text=True, check=True).stdout.strip()
    ended = subprocess.run(
        [program, "--kubeconfig", cluster.kubeconfig, *arguments], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, f"helm {' '.join(arguments)}: {ended.stdout}{ended.stderr}"
    return ended.stdout


def image_values(key: str, reference: str) -> list[str]:
    """The chart's values for an image under the key; a node's own name for it has no registry."""
    repository, _, tag = reference.rpartition(":")
    return ["--set", f"{key}.repository={repository}", "--set", f"{key}.tag={tag}"]


def chart_images(cluster: Cluster) -> list[str]:
    """The chart's values for the images of this tree."""
    return [
        *image_values("image", cluster.image(catalog.CONTROLLER)),
        *image_values("tools.image", cluster.image(catalog.TOOLS)),
    ]


def install_for_all_workers(cluster: Cluster, *values: str) -> Namespace:
    """Install it once for all workers of a test run: the first one does, the others find it."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", "")
    with cache.lock("operator-installation"):
        found = ("get", "deployments", "--namespace", SYSTEM, "--output", "jsonpath={.items[*].metadata.annotations}")
        if run and run in cluster.kubectl(*found):
            return Namespace(SYSTEM, cluster)
        operator = install(cluster, *values)
        operator.kubectl("annotate", f"deployment/{NAME}", "--overwrite", f"dbmigration-test/run={run}")
        return operator


def install(cluster: Cluster, *values: str, chart: Path = CHART) -> Namespace:
    """Install the operator by its chart for the whole cluster, under Pod Security "restricted"; or upgrade it."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM, "labels": labels}})
    # A kept cluster's Pod would go on with the image that it was started with, whatever its tag means now.
    images = [*chart_images(cluster), "--set-string", f"podAnnotations.installed={uuid.uuid4().hex}"]
    helm(
        cluster,
        "upgrade",
        "--install",
        RELEASE,
        str(chart),
        "--namespace",
        SYSTEM,
        "--wait",
        "--timeout",
        "2m",
        *images,
        *values,
    )
    return Namespace(SYSTEM, cluster)


@contextmanager
def at_rest(operator: Namespace) -> Iterator[None]:
    """The installed operator works on no namespace meanwhile; where several workers want that, the last one wakes it."""
    deployment = operator.kubectl("get", "deployments", "--output", "name").strip()
    try:
        with cache.lock("operator-at-rest", shared=True):
            operator.kubectl("scale", deployment, "--replicas=0")
            eventually(lambda: not operator.kubectl("get", "pods", "--output", "name"), "The installed operator's end")
            yield
    finally:
        with suppress(BlockingIOError), cache.lock("operator-at-rest", wait=False):
            operator.kubectl("scale", deployment, "--replicas=1")
            operator.kubectl("rollout", "status", deployment, "--timeout=120s")


# Retries as they are would make a test wait for minutes; everything else is as a user installs it.
QUICK = (
    *("--set", "extraEnv[0].name=DBMIGRATION_FIRST_RETRY", "--set-string", "extraEnv[0].value=1"),
    *("--set", "extraEnv[1].name=DBMIGRATION_LONGEST_RETRY", "--set-string", "extraEnv[1].value=4"),
)


def operator_log(namespace: Namespace) -> str:
    return namespace.kubectl(
        "logs", "--selector", "app.kubernetes.io/name=dbmigration-operator", "--tail=-1", "--prefix"
    )
