"""The operator as its chart installs it, a database server, and a stage for each scenario."""

from __future__ import annotations

import re
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.access import Cluster, Namespace, eventually
from tests.cluster.embedded import catalog
from tests.cluster.operator.stage import QUOTED_PASSWORD, Server, Stage, server

ROOT = Path(__file__).resolve().parents[3]
SYSTEM = "dbmigration-system"


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


def install(cluster: Cluster, *values: str) -> Namespace:
    """Install the operator by its chart for the whole cluster, under Pod Security "restricted"."""
    images = [
        *image_values("image", cluster.image(catalog.CONTROLLER)),
        *image_values("tools.image", cluster.image(catalog.TOOLS)),
    ]
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM, "labels": labels}})
    chart = str(ROOT / "helm" / "dbmigration-operator")
    # A kept cluster's Pod would go on with the image that it was started with, whatever its tag means now.
    images += ["--set-string", f"podAnnotations.installed={uuid.uuid4().hex}"]
    helm(
        cluster,
        "upgrade",
        "--install",
        "dbmigration",
        chart,
        "--namespace",
        SYSTEM,
        "--wait",
        "--timeout",
        "2m",
        *images,
        *values,
    )
    return Namespace(SYSTEM, cluster)


# Retries as they are would make a test wait for minutes; everything else is as a user installs it.
QUICK = (
    *("--set", "extraEnv[0].name=DBMIGRATION_FIRST_RETRY", "--set-string", "extraEnv[0].value=1"),
    *("--set", "extraEnv[1].name=DBMIGRATION_LONGEST_RETRY", "--set-string", "extraEnv[1].value=4"),
)


@pytest.fixture(scope="session")
def operator(cluster: Cluster) -> Iterator[Namespace]:
    """The installed operator; its log is searched for tracebacks and passwords at the end."""
    namespace = install(cluster, *QUICK)
    yield namespace
    log = operator_log(namespace)
    assert "Traceback" not in log, log[max(log.index("Traceback") - 500, 0) :][:4000]
    assert QUOTED_PASSWORD not in log


def operator_log(namespace: Namespace) -> str:
    return namespace.kubectl(
        "logs", "--selector", "app.kubernetes.io/name=dbmigration-operator", "--tail=-1", "--prefix"
    )


@pytest.fixture(scope="session")
def postgresql(cluster: Cluster) -> Server:
    return server(cluster, cluster.image(catalog.POSTGRESQL))


@pytest.fixture
def bare_stage(namespace: Namespace, postgresql: Server) -> Iterator[Stage]:
    """A stage on which no operator has to play; whoever uses it starts one."""
    word = re.sub("[^a-z0-9]", "", uuid.uuid4().hex)[:8]
    stage = Stage(namespace, postgresql, f"db_{word}", f"role_{word}")
    stage.prepare()
    yield stage
    leaks = stage.secrets_that_leaked()
    namespace.kubectl("delete", "dbm", "--all", "--wait=false")
    assert not leaks, leaks


@pytest.fixture
def stage(operator: Namespace, bare_stage: Stage) -> Stage:
    """A stage with the installed operator."""
    eventually(
        lambda: operator.kubectl("get", "deploy", "--output", "jsonpath={.items[0].status.readyReplicas}") == "1",
        "The operator",
    )
    return bare_stage
