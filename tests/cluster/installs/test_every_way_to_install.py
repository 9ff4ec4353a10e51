"""However it is installed, the operator brings a database to its revision, and acts nowhere else than it was told to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.access import Cluster, Namespace, eventually
from tests.cluster.installation import at_rest
from tests.cluster.installs.ways import WAYS, Way
from tests.cluster.operator.history import ADD_TOTAL, CREATE_ORDERS, chain
from tests.cluster.operator.stage import Stage


@pytest.fixture(scope="module", autouse=True)
def _no_other_operator(operator: Namespace) -> Iterator[None]:
    """The shared operator works on every namespace; it brings the definition, and rests."""
    with at_rest(operator):
        yield


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_a_database_comes_to_its_revision_and_nothing_else_is_touched(
    way: Way, cluster: Cluster, bare_stage: Stage, elsewhere: Namespace, tmp_path: Path
):
    begin = cluster.audit.moment()
    watched = bare_stage.namespace
    bare_stage.scripts(*chain(CREATE_ORDERS, ADD_TOTAL))
    bare_stage.apply()
    with way(cluster, watched, tmp_path) as installed:
        labels = cluster.kubectl(
            "get", "namespace", installed.namespace.name, "--output", "jsonpath={.metadata.labels}"
        )
        assert '"pod-security.kubernetes.io/enforce":"restricted"' in labels

        assert bare_stage.succeeded()["run"]["appliedRevisions"] == ["r1", "r2"]
        assert bare_stage.heads() == ["r2"]

        impersonated = ("--as", installed.account, "--namespace", elsewhere.name)
        may = cluster.kubectl("auth", "can-i", "create", "jobs.batch", *impersonated, check=False).strip()
        if installed.everywhere:
            assert may == "yes"
            eventually(lambda: elsewhere.kubectl("get", "jobs", "--output", "name"), "A step in another namespace")
        else:
            assert may == "no"
            assert elsewhere.kubectl("get", "jobs", "--output", "name") == ""
            assert elsewhere.get("dbm", "other")["status"] == {"observedGeneration": -1, "phase": "Pending"}
        for namespace in (watched, installed.namespace, elsewhere):
            reader = ("--as", installed.account, "--namespace", namespace.name)
            assert cluster.kubectl("auth", "can-i", "get", "secrets", *reader, check=False).strip() == "no"

        asked = cluster.audit.asked(begin, cluster.audit.moment(), user=installed.account)
        assert {request for request in asked if not request.allowed} == set()
        if not installed.everywhere:
            assert {request.namespace for request in asked} == {watched.name, installed.namespace.name}
        assert "Traceback" not in installed.log()
