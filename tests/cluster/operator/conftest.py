"""A stage for each scenario, with and without the installed operator."""

from __future__ import annotations

import contextlib
import os
import re
import uuid
from collections.abc import Iterator

import pytest

from tests.cluster.access import Namespace, eventually
from tests.cluster.operator.recorder import VARIABLE, Recorder
from tests.cluster.operator.stage import Server, Stage


@pytest.fixture
def bare_stage(namespace: Namespace, postgresql: Server) -> Iterator[Stage]:
    """A stage on which no operator has to play; whoever uses it starts one."""
    word = re.sub("[^a-z0-9]", "", uuid.uuid4().hex)[:8]
    stage = Stage(namespace, postgresql, f"db_{word}", f"role_{word}")
    stage.prepare()
    yield stage
    leaks = stage.secrets_that_leaked()
    namespace.kubectl("delete", "dbm", "--all", "--wait=false")
    assert not leaks, leaks


@pytest.fixture
def stage(operator: Namespace, bare_stage: Stage, request: pytest.FixtureRequest) -> Iterator[Stage]:
    """A stage with the installed operator; what it says is recorded where that is asked for."""
    eventually(
        lambda: operator.kubectl("get", "deploy", "--output", "jsonpath={.items[0].status.readyReplicas}") == "1",
        "The operator",
    )
    asked = os.environ.get(VARIABLE)
    with Recorder(bare_stage, request.node.name) if asked else contextlib.nullcontext():
        yield bare_stage
