"""What is ordered is done once, of the spec that was decided on, and never for a resource that is gone."""

from __future__ import annotations

from collections import deque
from datetime import timedelta
from typing import Any

import pytest

from dbmigration.api import names
from dbmigration.cluster import actions
from dbmigration.cluster.actions import Actions
from dbmigration.cluster.admission import Admission
from dbmigration.cluster.errors import ClusterError, Conflict, NotFound, Unavailable
from dbmigration.cluster.manifests.pod import RUNNER, Tools
from dbmigration.cluster.resource import Resource
from dbmigration.cluster.site import Memory, Site
from dbmigration.controller.cache import Cache
from dbmigration.lifecycle.decision import AddFinalizer, RemoveFinalizer, StartStep
from dbmigration.lifecycle.observed import Pace, StepRef
from dbmigration_runner.contract.task import DatabaseAccess, RunIdentity, StepKind, Task
from tests.unit.cluster.documents import UID, document, spec

REF = StepRef(1, StepKind.MIGRATE, 1)


class Server:
    """Answers each call with what comes next in its script, and with success when the script is over."""

    def __init__(self, *script: ClusterError | dict[str, Any]) -> None:
        self.script = deque(script)
        self.jobs: list[dict[str, Any]] = []
        self.finalizers: list[str] | None = None
        self.now = document(version=11)

    def _next(self) -> dict[str, Any] | None:
        if not self.script:
            return None
        step = self.script.popleft()
        if isinstance(step, ClusterError):
            raise step
        return step

    async def create_job(self, manifest: dict[str, Any]) -> dict[str, Any]:
        self._next()
        self.jobs.append(manifest)
        return {**manifest, "metadata": {**manifest["metadata"], "uid": "job", "resourceVersion": "20"}}

    async def patch_finalizers(self, namespace: str, name: str, version: str, wanted: list[str]) -> dict[str, Any]:
        self._next()
        assert version == self.now["metadata"]["resourceVersion"]
        self.finalizers = wanted
        self.now["metadata"] |= {"finalizers": wanted, "resourceVersion": str(int(version) + 1)}
        return self.now

    async def read_resource(self, namespace: str, name: str) -> dict[str, Any]:
        return self.now


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch):
    monkeypatch.setattr(actions, "_PAUSE_SECONDS", 0)


def acting(server: Server, seen: dict[str, Any] | None = None) -> tuple[Actions, Site]:
    gateway: Any = server
    site = Site(gateway=gateway, store=Cache(), admission=Admission(9), tools=Tools("tools"), pace=Pace())
    return Actions(site, Resource.parse(seen or document(version=11))), site


def order() -> StartStep:
    task = Task(
        kind=StepKind.MIGRATE,
        nonce="n",
        run=RunIdentity(namespace="prod", name="shop", uid=UID, number=1, attempt=1),
        database=DatabaseAccess(url_file="/url"),
        timeout_seconds=60,
    )
    return StartStep(REF, task, timedelta(seconds=60))


async def test_nothing_is_started_for_a_resource_that_is_gone():
    doing, _ = acting(Server(NotFound("gone")))
    with pytest.raises(NotFound):
        await doing.do(AddFinalizer())


async def test_letting_a_resource_go_that_is_gone_is_success():
    held = document(version=11)
    held["metadata"]["finalizers"] = [names.FINALIZER]
    doing, _ = acting(Server(NotFound("gone")), held)
    await doing.do(RemoveFinalizer())


async def test_an_edit_between_decision_and_job_does_not_get_into_the_job():
    server = Server(Conflict("edited"))
    doing, _ = acting(server, document(version=10))
    server.now = document(
        version=11, spec=spec(migrations={"source": {"image": {"reference": "registry.example/shop:2"}}})
    )
    await doing.do(AddFinalizer())
    await doing.do(order())

    assert server.finalizers == [names.FINALIZER]
    (job,) = server.jobs
    (runner,) = (item for item in job["spec"]["template"]["spec"]["containers"] if item["name"] == RUNNER)
    assert runner["image"] == "registry.example/shop:1.1"


@pytest.mark.parametrize("passing", [Conflict("Operation cannot be fulfilled on resourcequotas"), Unavailable("away")])
async def test_a_passing_refusal_costs_a_step_nothing(passing):
    server = Server(passing, passing)
    doing, site = acting(server)
    await doing.do(order())

    assert len(server.jobs) == 1
    assert not site.memory(UID).refused


async def test_a_quota_that_stays_contested_is_told_and_tried_again_and_loses_no_migration():
    server = Server(*[Conflict("Operation cannot be fulfilled on resourcequotas")] * 3)
    doing, site = acting(server)
    await doing.do(order())

    (known,) = site.memory(UID).refused.values()
    assert "resourcequotas" in known.message
    assert known.order == order()


async def test_whether_a_job_was_made_that_nobody_answered_for_is_looked_at_next():
    doing, site = acting(Server(*[Unavailable("away")] * 3))
    with pytest.raises(Unavailable):
        await doing.do(order())
    assert not site.memory(UID).refused


def test_what_is_remembered_does_not_grow_with_every_attempt():
    memory = Memory()
    for number in range(1000):
        assert memory.may_read(f"events/{number}", 10)
        memory.events[str(number)] = ()
        memory.progress[str(number)] = "far"
        assert not memory.may_read(f"events/{number}", 10)

    assert len(memory.read_at) + len(memory.events) + len(memory.progress) < 30
