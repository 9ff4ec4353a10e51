"""What the kustomizations and the examples say, held against the chart and the API."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from dbmigration.api.spec import MigrationSpec
from tests.packaging.conftest import PROJECT
from tests.packaging.rendered import Documents, of_kind, one, rights
from tests.pod_security import restricted_violations

Build = Callable[[Path], Documents]

MANIFESTS = PROJECT / "manifests"
SYSTEM = "dbmigration-system"
EXAMPLES = sorted((PROJECT / "examples").glob("**/*.yaml"))


def _pod(documents: Documents) -> dict[str, Any]:
    pod: dict[str, Any] = one(documents, "Deployment")["spec"]["template"]["spec"]
    return pod


@pytest.fixture
def like_the_base(chart: Callable[..., Documents]) -> Documents:
    """Let the chart name its objects as the manifests do."""
    return chart("fullnameOverride=dbmigration-operator")


def test_the_manifests_and_the_chart_run_the_same_pod(kustomize: Build, like_the_base: Documents) -> None:
    assert _pod(kustomize(MANIFESTS / "base")) == _pod(like_the_base)


def test_the_manifests_and_the_chart_give_the_same_rights(kustomize: Build, like_the_base: Documents) -> None:
    ours = rights(kustomize(MANIFESTS / "base"), f"{SYSTEM}/dbmigration-operator")
    charts = rights(like_the_base, "operators/dbmigration-operator")
    assert ours == {(SYSTEM if where == "operators" else where, *right) for where, *right in charts}


def test_in_its_own_namespace_the_operator_has_the_same_rights_and_none_elsewhere(kustomize: Build) -> None:
    everywhere = rights(kustomize(MANIFESTS / "base"), f"{SYSTEM}/dbmigration-operator")
    documents = kustomize(MANIFESTS / "namespaced")
    assert rights(documents, f"{SYSTEM}/dbmigration-operator") == {(SYSTEM, *right) for _, *right in everywhere}
    assert of_kind(documents, "ClusterRoleBinding") == []
    assert _pod(documents)["containers"][0]["env"][0] == {
        "name": "DBMIGRATION_WATCH_NAMESPACES",
        "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}},
    }


def test_an_overlay_moves_the_operator_and_its_rights_to_another_namespace(kustomize: Build, tmp_path: Path) -> None:
    shutil.copytree(MANIFESTS, tmp_path / "manifests")
    shutil.copytree(PROJECT / "crds", tmp_path / "crds")
    overlay = {"namespace": "shop", "resources": ["../manifests/namespaced"]}
    (tmp_path / "overlay").mkdir()
    (tmp_path / "overlay" / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
    documents = kustomize(tmp_path / "overlay")
    assert {where for where, *_ in rights(documents, "shop/dbmigration-operator")} == {"shop"}
    assert one(documents, "Deployment")["metadata"]["namespace"] == "shop"


def test_the_namespace_enforces_restricted_and_the_operators_pod_passes(kustomize: Build) -> None:
    documents = kustomize(MANIFESTS / "base")
    namespace = one(documents, "Namespace")["metadata"]
    assert (namespace["name"], namespace["labels"]["pod-security.kubernetes.io/enforce"]) == (SYSTEM, "restricted")
    assert restricted_violations(_pod(documents)) == []


def test_the_manifests_carry_the_projects_definitions(kustomize: Build) -> None:
    definitions = of_kind(kustomize(MANIFESTS / "base"), "CustomResourceDefinition")
    for definition in definitions:
        definition["metadata"].pop("labels")
    shipped = sorted((PROJECT / "crds").glob("dbmigration.io_*.yaml"))
    key = "{metadata[name]}".format_map
    assert sorted(definitions, key=key) == [yaml.safe_load(path.read_text()) for path in shipped]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: str(path.relative_to(PROJECT)))
def test_an_example_names_only_what_it_brings_and_can_be_read(path: Path) -> None:
    folder = [document for file in path.parent.glob("*.yaml") for document in yaml.safe_load_all(file.read_text())]
    names = {(document["kind"], document["metadata"]["name"]) for document in folder}
    for document in yaml.safe_load_all(path.read_text()):
        match document["kind"]:
            case "DatabaseMigration":
                spec = MigrationSpec.parse(document["spec"])
                assert ("Secret", spec.database.url_from.secret_key_ref.name) in names
                assert spec.backup.storage is not None
                assert ("PersistentVolumeClaim", spec.backup.storage.persistent_volume_claim.claim_name) in names
            case "Deployment":
                assert restricted_violations(document["spec"]["template"]["spec"]) == []
            case kind:
                assert kind in {"Secret", "PersistentVolumeClaim", "ConfigMap"}
