"""What a test of an installation stands on: the scenarios' stage, and a second namespace beside it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from tests.cluster.access import Cluster, Namespace
from tests.cluster.operator.conftest import bare_stage, stage  # noqa: F401  # fixtures


@pytest.fixture
def elsewhere(cluster: Cluster) -> Iterator[Namespace]:
    """A namespace with a resource in it, which an operator that sees it begins to work on."""
    name = f"elsewhere-{uuid.uuid4().hex[:6]}"
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    namespace = Namespace(name, cluster)
    namespace.apply(
        {
            "apiVersion": "dbmigration.io/v1alpha1",
            "kind": "DatabaseMigration",
            "metadata": {"name": "other"},
            "spec": {
                "database": {"urlFrom": {"secretKeyRef": {"name": "absent", "key": "url"}}},
                "migrations": {"source": {"configMap": {"name": "absent"}}},
                "backup": {"skip": {"reason": "It is never reached."}},
            },
        }
    )
    yield namespace
    cluster.kubectl("delete", "namespace", name, "--wait=false")
