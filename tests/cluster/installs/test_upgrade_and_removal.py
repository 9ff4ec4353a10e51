"""A release of the chart comes, changes and goes; what belongs to the users stays, and nothing that was done is done again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.access import Cluster, Namespace, eventually
from tests.cluster.installation import CHART, NAME, QUICK, RELEASE, SYSTEM, helm, install
from tests.cluster.installs.ways import DEFINITION
from tests.cluster.operator.history import ADD_TOTAL, CREATE_ORDERS, INDEX_NOTE, chain
from tests.cluster.operator.stage import Stage

NEWER_FIELD = "hostAliases"


@pytest.fixture(autouse=True)
def _installed_again(cluster: Cluster, operator: Namespace) -> Iterator[None]:  # it must have been there
    """Leave the shared operator to the next test as it was."""
    yield
    install(cluster, *QUICK)


@pytest.fixture
def done(stage: Stage) -> Stage:
    """A stage on which a migration has succeeded."""
    stage.scripts(*chain(CREATE_ORDERS, ADD_TOTAL))
    stage.apply()
    stage.succeeded()
    return stage


@pytest.fixture
def older_chart(tmp_path: Path) -> Path:
    """The chart as if it were of an earlier release: its definition knows one field less."""
    chart = tmp_path / "older"
    shutil.copytree(CHART, chart)
    definition = chart / "files" / "crds" / "dbmigration.io_databasemigrations.yaml"
    content = yaml.safe_load(definition.read_text(encoding="utf-8"))
    del _pod_template(content)[NEWER_FIELD]
    definition.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return chart


def _pod_template(definition: dict[str, Any]) -> dict[str, Any]:
    spec = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    fields: dict[str, Any] = spec["properties"]["podTemplate"]["properties"]
    return fields


def knows_the_newer_field(cluster: Cluster) -> bool:
    found = json.loads(cluster.kubectl("get", "customresourcedefinition", DEFINITION, "--output", "json"))
    return NEWER_FIELD in _pod_template(found)


def has_looked(stage: Stage) -> None:
    """Wait until today's operator has worked on something that came later, so it has seen all that was there."""
    stage.apply("later")
    stage.until("UpToDate", "later")
    stage.namespace.kubectl("delete", "dbm/later")


def goes_on(stage: Stage) -> None:
    """The resource is the operator's: what it asks for anew is done, as its next run."""
    run = stage.status()["run"]["number"]
    stage.scripts(*chain(CREATE_ORDERS, ADD_TOTAL, INDEX_NOTE), name="next")
    stage.apply(migrations={"source": {"configMap": {"name": "next"}}})
    status = stage.succeeded()
    assert (status["run"]["number"], status["run"]["appliedRevisions"]) == (run + 1, ["r3"])
    assert stage.heads() == ["r3"]


def test_an_upgrade_touches_no_resource(done: Stage, cluster: Cluster, older_chart: Path):
    install(cluster, *QUICK, "--set", "logFormat=text", "--set", "maxRuns=3", chart=older_chart)
    assert not knows_the_newer_field(cluster)
    before, jobs = done.resource(), done.jobs()

    install(cluster, *QUICK)

    assert knows_the_newer_field(cluster)
    has_looked(done)
    assert done.resource() == before
    assert done.jobs() == jobs
    goes_on(done)


def test_an_uninstalled_operator_leaves_what_is_the_users_and_takes_it_up_again(done: Stage, cluster: Cluster):
    before, jobs = done.resource(), done.jobs()
    kinds = "secrets,configmaps,persistentvolumeclaims,jobs,databasemigrations"
    belongings = done.namespace.kubectl("get", kinds, "--output", "name")

    told = helm(cluster, "uninstall", RELEASE, "--namespace", SYSTEM, "--wait")

    assert DEFINITION in told
    system = Namespace(SYSTEM, cluster)
    eventually(lambda: not system.kubectl("get", "pods", "--output", "name"), "The operator's end")
    rest = cluster.kubectl("get", "clusterroles,clusterrolebindings", "--output", "name")
    assert NAME not in rest
    assert done.namespace.kubectl("get", kinds, "--output", "name") == belongings
    assert done.resource() == before

    install(cluster, *QUICK)

    has_looked(done)
    assert done.resource() == before
    assert done.jobs() == jobs
    goes_on(done)


def test_the_notes_of_the_chart_show_a_resource_that_the_cluster_takes(cluster: Cluster, namespace: Namespace):
    notes = helm(cluster, "get", "notes", RELEASE, "--namespace", SYSTEM)
    assert "watches all namespaces" in notes
    example = notes[notes.index("  apiVersion:") : notes.index("\nThen")]
    namespace.kubectl("create", "--dry-run=server", "--filename", "-", input=example)
    commands = [line.split() for line in notes.splitlines() if line.startswith("  kubectl ")]
    assert ["kubectl", "get", "databasemigrations", "--watch"] in commands
