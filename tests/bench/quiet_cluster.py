"""The tests' cluster as a benchmark wants it: our resource's definition is there, and no operator but the benchmark's own.

One for all benchmarks of a process, and shared with the tests by their lock. What is changed is put back at the end, a stop by
a signal included. A killed benchmark leaves nothing that a test session would stumble over, and the next one takes it away.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import signal
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from dbmigration.api import names
from tests.cluster.access import Cluster, Namespace, eventually
from tests.cluster.installation import ROOT, SYSTEM, helm
from tests.cluster.providers import chosen

_LABELS = {"dbmigration-bench": "1", "pod-security.kubernetes.io/enforce": "restricted"}
_RELEASE = "dbmigration"
_DEFINITION = f"customresourcedefinitions/{names.PLURAL}.{names.GROUP}"


@functools.cache
def cluster() -> Cluster:
    """The cluster that DBMIGRATION_TEST_CLUSTER chooses, until the process ends; DBMIGRATION_KEEP_CLUSTER=1 leaves it up."""
    provider = chosen()
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))  # or nothing would be put back
    opened = ExitStack()
    atexit.register(opened.close)
    if os.environ.get("DBMIGRATION_KEEP_CLUSTER") != "1":
        opened.callback(provider.down)
    provider.up()
    found = Cluster(provider)
    _remove_what_was_left(found)
    opened.enter_context(_no_installed_operator(found))
    return found


@contextmanager
def namespace(word: str) -> Iterator[Namespace]:
    """An empty namespace; what was made in it is gone before the next benchmark begins."""
    name = f"bench-{word}-{uuid.uuid4().hex[:6]}"
    cluster().apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": _LABELS}})
    made = Namespace(name, cluster())
    eventually(lambda: made.kubectl("get", "serviceaccount", "default", "--ignore-not-found"), "The service account")
    try:
        yield made
    finally:
        _remove(made)


def load() -> str:
    """How busy the machine is with other things, for whoever reads the figures."""
    return (
        f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores, {time.strftime('%H:%M', time.gmtime())} UTC"
    )


def _remove(made: Namespace) -> None:
    """A namespace and its volumes. No operator is left who would take a finalizer away."""
    resources = made.kubectl("get", names.PLURAL, "--output", "json")
    for resource in json.loads(resources)["items"]:
        if resource["metadata"].get("finalizers"):
            name = resource["metadata"]["name"]
            made.kubectl("patch", names.SINGULAR, name, "--type=merge", "--patch", '{"metadata":{"finalizers":null}}')
    made.cluster.kubectl("delete", "namespace", made.name, "--timeout=300s")
    made.cluster.kubectl("delete", "persistentvolume", "--selector", f"dbmigration-test/namespace={made.name}")


def _remove_what_was_left(found: Cluster) -> None:
    selector = ",".join(f"{name}={value}" for name, value in _LABELS.items())
    left = found.kubectl("get", "namespaces", "--selector", selector, "--output", "jsonpath={.items[*].metadata.name}")
    for name in left.split():
        print(f"Namespace {name} was left by a killed benchmark; it goes.", file=sys.stderr)
        _remove(Namespace(name, found))
    _let_the_installed_operator_work(found)


@contextmanager
def _no_installed_operator(found: Cluster) -> Iterator[None]:
    """One that a test session left would work on our namespaces too, so it is given no Pods.

    Where none is installed the chart is installed like that, for the resource's definition, which stays. What a test session
    finds after a killed benchmark is a release that it upgrades as any other.
    """
    chart = str(ROOT / "helm" / "dbmigration-operator")
    values = ("--reuse-values", "--set", "replicas=0")
    helm(found, "upgrade", "--install", "--create-namespace", _RELEASE, chart, "--namespace", SYSTEM, *values)
    found.kubectl("wait", _DEFINITION, "--for=condition=Established", "--timeout=60s")
    system = Namespace(SYSTEM, found)
    eventually(lambda: not system.kubectl("get", "pods", "--output", "name"), "The installed operator's end")
    try:
        yield
    finally:
        _let_the_installed_operator_work(found)


def _let_the_installed_operator_work(found: Cluster) -> None:
    """Undo the release's newest revision if it is a benchmark's."""
    releases: list[dict[str, Any]] = json.loads(helm(found, "list", "--namespace", SYSTEM, "--output", "json"))
    for release in releases:
        asked = ("values", _RELEASE, "--namespace", SYSTEM, "--output", "json")
        if release["name"] != _RELEASE or (json.loads(helm(found, "get", *asked)) or {}).get("replicas") != 0:
            continue
        before = int(release["revision"]) - 1
        undo = ("rollback", _RELEASE, str(before)) if before else ("uninstall", _RELEASE)
        helm(found, *undo, "--namespace", SYSTEM)
