"""A stage for each scenario, with and without the installed operator."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator

import pytest

from tests.cluster.access import Namespace, eventually
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
def stage(operator: Namespace, bare_stage: Stage) -> Stage:
    """A stage with the installed operator."""
    eventually(
        lambda: operator.kubectl("get", "deploy", "--output", "jsonpath={.items[0].status.readyReplicas}") == "1",
        "The operator",
    )
    return bare_stage
