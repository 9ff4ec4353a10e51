"""What the chart renders: the operator's rights, its Pod, its definitions, and what it refuses."""

import re
import subprocess
from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from dbmigration.settings import Settings
from tests.packaging.conftest import CHART, PROJECT
from tests.packaging.rendered import Documents, of_kind, one, rights
from tests.pod_security import restricted_violations

Render = Callable[..., Documents]

NAME = "ops-dbmigration-operator"
ACCOUNT = f"operators/{NAME}"
CRDS = ["dbmigration.io_databasemigrations.yaml", "dbmigration.io_databaserestores.yaml"]

# Measured: with exactly these, under a service account's token, every call of the operator is allowed.
WATCHED = {
    ("dbmigration.io", "databasemigrations", "get"),
    ("dbmigration.io", "databasemigrations", "list"),
    ("dbmigration.io", "databasemigrations", "watch"),
    ("dbmigration.io", "databasemigrations", "patch"),
    ("dbmigration.io", "databasemigrations/status", "patch"),
    ("dbmigration.io", "databaserestores", "list"),
    ("dbmigration.io", "databaserestores", "watch"),
    ("dbmigration.io", "databaserestores/status", "patch"),
    ("batch", "jobs", "get"),
    ("batch", "jobs", "list"),
    ("batch", "jobs", "watch"),
    ("batch", "jobs", "create"),
    ("batch", "jobs", "delete"),
    ("apps", "deployments", "get"),
    ("apps", "deployments/scale", "patch"),
    ("apps", "statefulsets", "get"),
    ("apps", "statefulsets/scale", "patch"),
    ("", "pods", "list"),
    ("", "pods", "watch"),
    ("", "pods/log", "get"),
    ("events.k8s.io", "events", "create"),
    ("events.k8s.io", "events", "list"),
}
LEASES = {("operators", "coordination.k8s.io", "leases", verb) for verb in ("get", "create", "update")}

LISTED = ("watch.scope=Listed", "watch.namespaces={shop,billing}")
SCOPES = [
    pytest.param((), ["*"], "", id="all"),
    pytest.param(("watch.scope=Own",), ["operators"], "operators", id="own"),
    pytest.param(LISTED, ["shop", "billing"], "shop,billing", id="listed"),
]


def _pod(documents: Documents) -> dict[str, Any]:
    pod: dict[str, Any] = one(documents, "Deployment")["spec"]["template"]["spec"]
    return pod


def _environment(documents: Documents) -> dict[str, Any]:
    return {variable["name"]: variable.get("value") for variable in _pod(documents)["containers"][0]["env"]}


def test_helm_finds_no_fault(helm: Path) -> None:
    ended = subprocess.run([helm, "lint", "--strict", CHART], check=False, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout


@pytest.mark.parametrize(("values", "namespaces", "_variable"), SCOPES)
def test_the_operator_may_do_what_it_does_and_nothing_else(
    chart: Render, values: tuple[str, ...], namespaces: list[str], _variable: str
) -> None:
    expected = {(namespace, *right) for namespace in namespaces for right in WATCHED}
    assert rights(chart(*values), ACCOUNT) == expected | LEASES


@pytest.mark.parametrize(("values", "_namespaces", "_variable"), SCOPES)
def test_no_role_names_a_secret_or_a_wildcard(
    chart: Render, values: tuple[str, ...], _namespaces: list[str], _variable: str
) -> None:
    documents = chart(*values)
    for role in of_kind(documents, "Role") + of_kind(documents, "ClusterRole"):
        for rule in role["rules"]:
            words = {*rule["apiGroups"], *rule["resources"], *rule["verbs"]}
            assert not words & {"secrets", "*"}


@pytest.mark.parametrize(("values", "namespaces", "variable"), SCOPES)
def test_the_operator_is_told_the_namespaces_that_its_rights_cover(
    chart: Render, values: tuple[str, ...], namespaces: list[str], variable: str
) -> None:
    documents = chart(*values)
    assert _environment(documents)["DBMIGRATION_WATCH_NAMESPACES"] == variable
    assert bool(of_kind(documents, "ClusterRoleBinding")) is (namespaces == ["*"])


def test_roles_for_people_are_bound_to_nobody_by_the_chart(chart: Render) -> None:
    documents = chart()
    bound = {binding["roleRef"]["name"] for binding in of_kind(documents, "ClusterRoleBinding")}
    people = {role["metadata"]["name"] for role in of_kind(documents, "ClusterRole")} - bound
    assert people == {f"{NAME}-view", f"{NAME}-edit"}
    assert not [
        role for role in of_kind(chart("rbac.aggregate=false"), "ClusterRole") if role["metadata"]["name"] in people
    ]


def test_pods_pass_pod_security_restricted(chart: Render) -> None:
    for values in ((), LISTED, ("replicas=3", "networkPolicy.enabled=true")):
        documents = chart(*values)
        assert restricted_violations(_pod(documents)) == []
        assert all(
            container["securityContext"]["readOnlyRootFilesystem"] for container in _pod(documents)["containers"]
        )
        assert of_kind(documents, "Job") == of_kind(documents, "Pod") == of_kind(documents, "DaemonSet") == []


def test_the_check_for_restricted_pods_sees_what_is_missing(chart: Render) -> None:
    pod = _pod(chart())
    pod["containers"][0]["securityContext"] = {}
    del pod["securityContext"]["seccompProfile"]
    assert restricted_violations(
        pod | {"hostNetwork": True, "volumes": [{"name": "root", "hostPath": {"path": "/"}}]}
    ) == [
        "hostNetwork",
        "volume root",
        "controller: seccompProfile",
        "controller: allowPrivilegeEscalation",
        "controller: capabilities",
    ]


def test_the_charts_definitions_are_the_projects() -> None:
    assert sorted(path.name for path in (CHART / "files" / "crds").iterdir()) == sorted(CRDS)
    for name in CRDS:
        assert (CHART / "files" / "crds" / name).read_text() == (PROJECT / "crds" / name).read_text()


def test_the_definitions_are_rendered_unchanged_and_outlive_the_release(chart: Render) -> None:
    definitions = of_kind(chart(), "CustomResourceDefinition")
    for definition in definitions:
        assert definition["metadata"].pop("annotations") == {"helm.sh/resource-policy": "keep"}
    assert definitions == [yaml.safe_load((PROJECT / "crds" / name).read_text()) for name in CRDS]


def test_the_definitions_can_be_left_to_somebody_else(chart: Render) -> None:
    assert of_kind(chart("crds.install=false"), "CustomResourceDefinition") == []


def test_images_are_of_the_charts_release_unless_named(chart: Render) -> None:
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
    documents = chart()
    assert _pod(documents)["containers"][0]["image"] == f"dbmigration-operator/controller:{version}"
    assert _environment(documents)["DBMIGRATION_TOOLS_IMAGE"] == f"dbmigration-operator/tools:{version}"
    digest = "sha256:" + "a" * 64
    documents = chart("image.registry=registry.example/team", "image.tag=x", f"tools.image.digest={digest}")
    assert _pod(documents)["containers"][0]["image"] == "registry.example/team/dbmigration-operator/controller:x"
    assert _environment(documents)["DBMIGRATION_TOOLS_IMAGE"] == f"dbmigration-operator/tools@{digest}"


def test_the_chart_is_of_the_projects_version() -> None:
    metadata = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert f'version = "{metadata["appVersion"]}"\n' in (PROJECT / "pyproject.toml").read_text()


def test_a_disruption_budget_is_made_only_where_another_operator_can_take_over(chart: Render) -> None:
    assert of_kind(chart(), "PodDisruptionBudget") == []
    assert one(chart("replicas=2"), "PodDisruptionBudget")["spec"]["minAvailable"] == 1
    assert of_kind(chart("replicas=2", "podDisruptionBudget.enabled=false"), "PodDisruptionBudget") == []


def test_what_selects_the_operators_pods_matches_them(chart: Render) -> None:
    documents = chart("replicas=2", "networkPolicy.enabled=true", "serviceMonitor.enabled=true", "podLabels.team=a")
    labels = one(documents, "Deployment")["spec"]["template"]["metadata"]["labels"]
    service = one(documents, "Service")
    for selector, selected in (
        (one(documents, "Deployment")["spec"]["selector"]["matchLabels"], labels),
        (service["spec"]["selector"], labels),
        (one(documents, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"], labels),
        (one(documents, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"], labels),
        (one(documents, "ServiceMonitor")["spec"]["selector"]["matchLabels"], service["metadata"]["labels"]),
    ):
        assert selector.items() <= selected.items()
    assert labels["team"] == "a"


def test_patience_with_a_drain_is_handed_to_the_operator_as_it_reads_it(chart: Render) -> None:
    for given, seconds in (((), 600), (("drainPatienceSeconds=90",), 90)):
        (container,) = one(chart(*given), "Deployment")["spec"]["template"]["spec"]["containers"]
        environment = {variable["name"]: variable.get("value", "") for variable in container["env"]}
        assert Settings.from_environment(environment).pace.drain_patience == timedelta(seconds=seconds)


def test_argo_cd_gets_the_health_check_under_the_key_that_it_reads(chart: Render) -> None:
    settings = one(chart("argocd.healthCheck=true"), "ConfigMap")["data"]
    script = (CHART / "files" / "argocd" / "health.lua").read_text()
    kinds = ("DatabaseMigration", "DatabaseRestore")
    assert settings == {f"resource.customizations.health.dbmigration.io_{kind}": script for kind in kinds}


@pytest.mark.parametrize(
    "value",
    [
        "replicas=many",
        "logFormat=xml",
        "watch.scope=Everywhere",
        "watch.scope=Listed",
        "watch.namespaces={shop}",
        "maxRuns=0",
        "drainPatienceSeconds=0",
        "image.digest=latest",
        "image.pullPolicy=Sometimes",
        "no.such=value",
    ],
)
def test_a_value_that_means_nothing_is_refused(helm: Path, value: str) -> None:
    ended = subprocess.run(
        [helm, "template", "ops", CHART, "--set", value], check=False, capture_output=True, text=True
    )
    assert ended.returncode != 0
    assert "values don't meet the specifications of the schema" in ended.stderr


def test_every_value_is_described() -> None:
    above, below = (CHART / "values.yaml").read_text().split("\nresources:\n")
    _described_by_kubernetes, below = below.split("\n\n", 1)
    lines = [*above.splitlines(), *below.splitlines()]
    bare = [line for before, line in pairwise(lines) if re.match(r" *[A-Za-z]+: ", line) and "#" not in before]
    assert bare == []
