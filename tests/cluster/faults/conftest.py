"""Stages without an installed operator, and operators on this machine behind proxies, for tests that do them harm."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest

from tests.cluster.access import Cluster, Namespace, eventually
from tests.cluster.embedded import catalog
from tests.cluster.faults.operator_process import OperatorProcess
from tests.cluster.faults.proxy import Proxy
from tests.cluster.installation import at_rest
from tests.cluster.operator.stage import QUOTED_PASSWORD, Server, Stage


@dataclass(frozen=True, slots=True)
class Rig:
    """A stage, and the one operator that plays on it, reached through the proxy."""

    stage: Stage
    proxy: Proxy
    operator: OperatorProcess

    def rested(self, seconds: float = 1.0) -> None:
        """Wait until the operator knows everything, has looked at everything, and has written nothing for so long."""
        eventually(lambda: self.proxy.has_rested(seconds), "An operator with nothing to do")


OpenRig = Callable[[str], Rig]


class OpenOperator(Protocol):
    """Starts an operator of this name on a stage; with a lease it shares that one with others, and with its own next starts."""

    def __call__(self, name: str, stage: Stage, *, lease: str | None = None, drain_patience: int = 600) -> Rig: ...


@pytest.fixture(scope="module", autouse=True)
def _no_installed_operator(operator: Namespace) -> Iterator[None]:
    """The installed operator brings the resource's definition; it would work on our namespaces too, so it rests meanwhile."""
    with at_rest(operator):
        yield


@pytest.fixture(scope="session")
def tools_image(cluster: Cluster) -> str:
    return cluster.image(catalog.TOOLS)


@contextmanager
def open_stage(cluster: Cluster, postgresql: Server, word: str) -> Iterator[Stage]:
    """A namespace with a database server's role, a Secret and a volume; searched for the password at its end."""
    suffix = uuid.uuid4().hex[:6]
    name = f"fault-{word}-{suffix}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    namespace = Namespace(name, cluster)
    eventually(
        lambda: namespace.kubectl("get", "serviceaccount", "default", "--ignore-not-found"), "The service account"
    )
    stage = Stage(namespace, postgresql, f"fault_{suffix}", f"fault_role_{suffix}")
    stage.prepare()
    try:
        yield stage
        leaks = stage.secrets_that_leaked()
        assert not leaks, leaks
    finally:
        # Nobody is left who would take a finalizer away.
        for held in namespace.kubectl("get", "dbm", "--output", "name").split():
            namespace.kubectl("patch", held, "--type=merge", "--patch", '{"metadata":{"finalizers":null}}')
        cluster.kubectl("delete", "namespace", name, "--wait=false")
        volumes = ("persistentvolume", "--selector", f"dbmigration-test/namespace={name}")
        cluster.kubectl("delete", *volumes, "--wait=false")


@pytest.fixture
def open_operator(cluster: Cluster, tools_image: str, tmp_path: Path) -> Iterator[OpenOperator]:
    """Start operators, each behind a proxy; at the end their logs are searched for tracebacks and the password."""
    started: list[OperatorProcess] = []
    with ExitStack() as opened:

        def start(name: str, stage: Stage, *, lease: str | None = None, drain_patience: int = 600) -> Rig:
            proxy = opened.enter_context(Proxy(cluster.kubeconfig))
            namespace = stage.namespace.name
            folder = tmp_path / name
            operator = OperatorProcess(
                proxy.url, namespace, tools_image, folder, lease=lease, drain_patience=drain_patience
            )
            started.append(operator)
            return Rig(stage, proxy, opened.enter_context(operator))

        yield start
    faults = [fault for operator in started for fault in operator.faults()]
    assert not faults, "\n\n".join(faults)
    assert not [operator for operator in started if QUOTED_PASSWORD in operator.log.read_text(encoding="utf-8")]


@pytest.fixture
def new_stage(cluster: Cluster, postgresql: Server) -> Iterator[Callable[[str], Stage]]:
    """Make as many stages as are wanted."""
    with ExitStack() as opened:
        yield lambda word: opened.enter_context(open_stage(cluster, postgresql, word))


@pytest.fixture
def open_rig(new_stage: Callable[[str], Stage], open_operator: OpenOperator) -> OpenRig:
    """Make as many stages as are wanted, each with an operator of its own."""
    return lambda word: open_operator(word, new_stage(word))


@pytest.fixture
def rig(open_rig: OpenRig) -> Rig:
    return open_rig("one")
