"""The tests' cluster as a benchmark wants it: our resource's definition is there, and no operator but the benchmark's own.

One for all benchmarks of a process, and shared with the tests by their lock. What is changed is put back at the end.
"""

from __future__ import annotations

import atexit
import functools
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from dbmigration.api import names
from tests.cluster.access import Cluster, Namespace, eventually
from tests.cluster.embedded.cache import PROJECT
from tests.cluster.installation import SYSTEM
from tests.cluster.providers import chosen

_DEFINITION = PROJECT / "crds" / f"{names.GROUP}_{names.PLURAL}.yaml"
_RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}


@functools.cache
def cluster() -> Cluster:
    """The cluster that DBMIGRATION_TEST_CLUSTER chooses, until the process ends; DBMIGRATION_KEEP_CLUSTER=1 leaves it up."""
    provider = chosen()
    opened = ExitStack()
    atexit.register(opened.close)
    if os.environ.get("DBMIGRATION_KEEP_CLUSTER") != "1":
        opened.callback(provider.down)
    provider.up()
    found = Cluster(provider)
    opened.enter_context(_definition(found))
    opened.enter_context(_no_installed_operator(found))
    return found


@contextmanager
def namespace(word: str) -> Iterator[Namespace]:
    """An empty namespace; what was made in it is gone before the next benchmark begins."""
    name = f"bench-{word}-{uuid.uuid4().hex[:6]}"
    cluster().apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": _RESTRICTED}})
    made = Namespace(name, cluster())
    eventually(lambda: made.kubectl("get", "serviceaccount", "default", "--ignore-not-found"), "The service account")
    try:
        yield made
    finally:
        made.kubectl("delete", names.PLURAL, "--all", "--wait=false", "--ignore-not-found")
        cluster().kubectl("delete", "namespace", name, "--timeout=300s")
        cluster().kubectl("delete", "persistentvolume", "--selector", f"dbmigration-test/namespace={name}")


def load() -> str:
    """How busy the machine is with other things, for whoever reads the figures."""
    return (
        f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores, {time.strftime('%H:%M', time.gmtime())} UTC"
    )


@contextmanager
def _definition(found: Cluster) -> Iterator[None]:
    """The chart's own would not be installed over ours, so ours goes again."""
    name = f"{names.PLURAL}.{names.GROUP}"
    if found.kubectl("get", "customresourcedefinitions", name, "--ignore-not-found", "--output", "name"):
        yield
        return
    found.kubectl("apply", "--server-side", "--filename", str(_DEFINITION))
    found.kubectl("wait", f"customresourcedefinition/{name}", "--for=condition=Established", "--timeout=60s")
    try:
        yield
    finally:
        found.kubectl("delete", "customresourcedefinition", name, "--timeout=120s")


@contextmanager
def _no_installed_operator(found: Cluster) -> Iterator[None]:
    """One that a test session left would work on our namespaces too."""
    if not found.kubectl("get", "namespace", SYSTEM, "--ignore-not-found", "--output", "name"):
        yield
        return
    system = Namespace(SYSTEM, found)
    installed = system.kubectl("get", "deployments", "--output", "name").split()
    for deployment in installed:
        system.kubectl("scale", deployment, "--replicas=0")
    eventually(lambda: not system.kubectl("get", "pods", "--output", "name"), "The installed operator's end")
    try:
        yield
    finally:
        for deployment in installed:
            system.kubectl("scale", deployment, "--replicas=1")
