"""Every way to install the operator, as its users are told to: where it then is, and where it watches.

Each brings an operator up, and takes it away again as the how-to page says. Must not know what the operator then does.
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.access import Cluster, Namespace
from tests.cluster.embedded import catalog
from tests.cluster.installation import CHART, ROOT, chart_images, helm

PAGE = ROOT / "docs" / "how-to" / "install.md"
DEFINITION = "databasemigrations.dbmigration.io"
DEFINITIONS = (DEFINITION, "databaserestores.dbmigration.io")


@dataclass(frozen=True, slots=True)
class Installed:
    """An operator that is ready."""

    namespace: Namespace  # its own
    name: str  # of its Deployment and its service account
    everywhere: bool

    @property
    def account(self) -> str:
        """As the API server names it."""
        return f"system:serviceaccount:{self.namespace.name}:{self.name}"

    def log(self) -> str:
        return self.namespace.kubectl("logs", f"deployment/{self.name}", "--tail=-1")


# Given the cluster, the namespace that is to be watched, and a folder to write to.
Way = Callable[[Cluster, Namespace, Path], AbstractContextManager[Installed]]


@contextmanager
def chart_for_all_namespaces(cluster: Cluster, _watched: Namespace, _folder: Path) -> Iterator[Installed]:
    with _namespace(cluster) as own, _release(cluster, own) as name:
        yield Installed(own, name, everywhere=True)


@contextmanager
def chart_for_its_own_namespace(cluster: Cluster, watched: Namespace, _folder: Path) -> Iterator[Installed]:
    with _release(cluster, watched, "--set", "watch.scope=Own") as name:
        yield Installed(watched, name, everywhere=False)


@contextmanager
def chart_for_a_listed_namespace(cluster: Cluster, watched: Namespace, _folder: Path) -> Iterator[Installed]:
    listed = ("--set", "watch.scope=Listed", "--set", f"watch.namespaces={{{watched}}}")
    with _namespace(cluster) as own, _release(cluster, own, *listed) as name:
        yield Installed(own, name, everywhere=False)


@contextmanager
def manifests_for_all_namespaces(cluster: Cluster, _watched: Namespace, folder: Path) -> Iterator[Installed]:
    own = Namespace(f"operator-{uuid.uuid4().hex[:6]}", cluster)
    try:
        yield _applied(cluster, own, "base", folder, everywhere=True)
    finally:
        cluster.kubectl("delete", "namespace", own.name)
        roles = ("dbmigration-operator", "dbmigration-operator-view", "dbmigration-operator-edit")
        cluster.kubectl("delete", "clusterrolebinding", roles[0])
        cluster.kubectl("delete", "clusterrole", *roles)
        _disown_definition(cluster)


@contextmanager
def manifests_for_their_own_namespace(cluster: Cluster, watched: Namespace, folder: Path) -> Iterator[Installed]:
    try:
        yield _applied(cluster, watched, "namespaced", folder, everywhere=False)
    finally:
        kinds = "deployment,service,serviceaccount,role,rolebinding"
        watched.kubectl("delete", kinds, "--selector", "app.kubernetes.io/name=dbmigration-operator")
        cluster.kubectl("delete", "clusterrole", "dbmigration-operator-view", "dbmigration-operator-edit")
        _disown_definition(cluster)


WAYS: tuple[Way, ...] = (
    chart_for_all_namespaces,
    chart_for_its_own_namespace,
    chart_for_a_listed_namespace,
    manifests_for_all_namespaces,
    manifests_for_their_own_namespace,
)


@contextmanager
def _namespace(cluster: Cluster) -> Iterator[Namespace]:
    """A namespace for an operator of the chart, which brings none."""
    name = f"operator-{uuid.uuid4().hex[:6]}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    try:
        yield Namespace(name, cluster)
    finally:
        cluster.kubectl("delete", "namespace", name, "--wait=false")


@contextmanager
def _release(cluster: Cluster, own: Namespace, *values: str) -> Iterator[str]:
    """One more release: what is the cluster's is left to the one that all tests share."""
    release = f"way-{uuid.uuid4().hex[:6]}"
    where = ("--namespace", own.name, "--wait", "--timeout", "2m")
    shared = ("--set", "crds.install=false", "--set", "rbac.aggregate=false")
    try:
        helm(cluster, "install", release, str(CHART), *where, *shared, *chart_images(cluster), *values)
        yield f"{release}-dbmigration-operator"
    finally:
        helm(cluster, "uninstall", release, *where)


def _applied(cluster: Cluster, own: Namespace, base: str, folder: Path, *, everywhere: bool) -> Installed:
    """Apply the overlay that the how-to page shows, with the images and the namespace of this test in it."""
    (overlay,) = re.findall(r"^```yaml\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    controller, _, tag = cluster.image(catalog.CONTROLLER).rpartition(":")
    replaced = {
        "dbmigration-operator/manifests/base": os.path.relpath(ROOT / "manifests" / base, folder.resolve()),
        "namespace: dbmigration-system": f"namespace: {own}",
        "registry.example/dbmigration-operator/controller": controller,
        "newTag: 0.1.0": f"newTag: {tag}",
        "registry.example/dbmigration-operator/tools:0.1.0": cluster.image(catalog.TOOLS),
    }
    for shown, wanted in replaced.items():
        assert overlay.count(shown) == 1, f"The page's overlay has no line with {shown!r}."
        overlay = overlay.replace(shown, wanted)
    (folder / "kustomization.yaml").write_text(overlay, encoding="utf-8")
    cluster.kubectl("apply", "--server-side", "--kustomize", str(folder))
    own.kubectl("rollout", "status", "deployment/dbmigration-operator", "--timeout=120s")
    return Installed(own, "dbmigration-operator", everywhere=everywhere)


def _disown_definition(cluster: Cluster) -> None:
    """Give up what kubectl applied of the definition: the chart that brought it could not change it any more."""
    for name in DEFINITIONS:
        nothing = f"apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {{name: {name}}}\n"
        cluster.kubectl("apply", "--server-side", "--filename", "-", input=nothing)
