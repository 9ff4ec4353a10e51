"""A real cluster for the tests of this folder, and a namespace of its own for each of them.

Several workers share a cluster that is up, and the installed operator on it; each has its own database servers. They
work on one folder at a time: what lies in `faults` wants that operator at rest, what lies in `operator` wants it awake,
and what lies in `installs` or here wants both, or the whole machine. `scripts/test-cluster` does so.
"""

import os
import re
import uuid
from collections.abc import Iterator

import pytest

from tests.cluster.access import Cluster, Namespace, eventually
from tests.cluster.embedded import catalog
from tests.cluster.installation import ACCOUNT, QUICK, install_for_all_workers, operator_log
from tests.cluster.operator.stage import QUOTED_PASSWORD, Server, server
from tests.cluster.providers import chosen


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The cluster that DBMIGRATION_TEST_CLUSTER chooses, up for the session; DBMIGRATION_KEEP_CLUSTER=1 leaves it up."""
    provider = chosen()
    try:
        provider.up()
        yield Cluster(provider)
    finally:
        if os.environ.get("DBMIGRATION_KEEP_CLUSTER") != "1":
            provider.down()


@pytest.fixture
def namespace(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[Namespace]:
    """An empty namespace that enforces Pod Security "restricted", deleted after the test."""
    readable = re.sub(r"[^a-z0-9]+", "-", request.node.name.removeprefix("test_").lower())[:40].strip("-")
    name = f"{readable}-{uuid.uuid4().hex[:6]}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    made = Namespace(name, cluster)
    # A Pod that is created before its service account is refused.
    eventually(lambda: made.kubectl("get", "serviceaccount", "default", "--ignore-not-found"), "The service account")
    yield made
    # Not waited for: the next test has a namespace of its own, and the session's end takes the cluster.
    cluster.kubectl("delete", "namespace", name, "--wait=false")
    cluster.kubectl("delete", "persistentvolume", "--selector", f"dbmigration-test/namespace={name}", "--wait=false")


@pytest.fixture(scope="session")
def operator(cluster: Cluster) -> Iterator[Namespace]:
    """The installed operator; at the end its log is searched for tracebacks and passwords, and the audit log for refusals."""
    begin = cluster.audit.moment() if cluster.audit_log else 0
    namespace = install_for_all_workers(cluster, *QUICK)
    yield namespace
    if cluster.audit_log:
        asked = cluster.audit.asked(begin, cluster.audit.moment(), user=ACCOUNT)
        # An uninstalled operator may ask for its Lease once more: helm takes its rights before its Pod has ended.
        assert not [request for request in asked if not request.allowed and request.resource != "leases"]
    log = operator_log(namespace)
    assert "Traceback" not in log, log[max(log.index("Traceback") - 500, 0) :][:4000]
    assert QUOTED_PASSWORD not in log


@pytest.fixture(scope="session")
def postgresql(cluster: Cluster) -> Server:
    return server(cluster, cluster.image(catalog.POSTGRESQL))
