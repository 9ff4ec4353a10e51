"""A stage for each scenario, with and without the installed operator."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator

import pytest

from tests.cluster.access import Cluster, Namespace, eventually
from tests.cluster.embedded import catalog
from tests.cluster.operator.mariadb import MariaDB, MariaDBStage, start_mariadb
from tests.cluster.operator.recorder import VARIABLE, Recorder
from tests.cluster.operator.sqlite import SQLiteStage
from tests.cluster.operator.stage import Server, Stage


@pytest.fixture
def bare_stage(namespace: Namespace, postgresql: Server) -> Iterator[Stage]:
    """A stage on which no operator has to play; whoever uses it starts one."""
    stage = Stage(namespace, postgresql, *_names())
    with _prepared(stage):
        yield stage


@pytest.fixture
def stage(operator: Namespace, bare_stage: Stage, request: pytest.FixtureRequest) -> Iterator[Stage]:
    """A stage with the installed operator; what it says is recorded where that is asked for."""
    with _played_on(bare_stage, operator, request.node.name):
        yield bare_stage


@pytest.fixture(scope="session")
def mariadb(cluster: Cluster) -> MariaDB:
    """The MariaDB server; only who asks for it waits for it."""
    return start_mariadb(cluster, cluster.image(catalog.MARIADB))


@pytest.fixture
def mariadb_stage(
    operator: Namespace, namespace: Namespace, mariadb: MariaDB, request: pytest.FixtureRequest
) -> Iterator[MariaDBStage]:
    """The same with a database on MariaDB."""
    stage = MariaDBStage(namespace, mariadb, *_names())
    with _prepared(stage), _played_on(stage, operator, request.node.name):
        yield stage


@pytest.fixture
def sqlite_stage(operator: Namespace, namespace: Namespace, request: pytest.FixtureRequest) -> Iterator[SQLiteStage]:
    """The same with a database in a file."""
    stage = SQLiteStage(namespace)
    with _prepared(stage), _played_on(stage, operator, request.node.name):
        yield stage


def _names() -> tuple[str, str]:
    """Of a database and a role that nobody else has."""
    word = uuid.uuid4().hex[:8]
    return f"db_{word}", f"role_{word}"


@contextlib.contextmanager
def _prepared(stage: Stage) -> Iterator[None]:
    stage.prepare()
    yield
    leaks = stage.secrets_that_leaked()
    stage.namespace.kubectl("delete", "dbm", "--all", "--wait=false")
    assert not leaks, leaks


@contextlib.contextmanager
def _played_on(stage: Stage, operator: Namespace, source: str) -> Iterator[None]:
    eventually(
        lambda: operator.kubectl("get", "deploy", "--output", "jsonpath={.items[0].status.readyReplicas}") == "1",
        "The operator",
    )
    asked = os.environ.get(VARIABLE)
    with Recorder(stage, source) if asked else contextlib.nullcontext():
        yield
