"""What the operator hears through kopf, and that kopf does nothing else: over an API server on loopback."""

from __future__ import annotations

import asyncio
import copy
import json
import threading
from typing import Any

import kopf
import pytest
from aiohttp import web

from dbmigration.api import names
from dbmigration.cluster.gateway import OURS, Kind
from dbmigration.controller import handlers, login

LABELS = {names.LABEL_MANAGED_BY: names.MANAGED_BY, names.LABEL_UID: "u1", names.LABEL_MIGRATION: "shop"}
PLACES = {
    Kind.RESOURCES: (f"/apis/{names.GROUP}/{names.VERSION}", names.PLURAL, names.KIND),
    Kind.ORDERS: (f"/apis/{names.GROUP}/{names.VERSION}", names.RESTORE_PLURAL, names.RESTORE_KIND),
    Kind.JOBS: ("/apis/batch/v1", "jobs", "Job"),
    Kind.PODS: ("/api/v1", "pods", "Pod"),
}


def made(kind: Kind, name: str, version: str, **more: Any) -> dict[str, Any]:
    root, _, word = PLACES[kind]
    metadata = {"namespace": "prod", "name": name, "uid": f"uid-{name}", "resourceVersion": version, "labels": LABELS}
    return {
        "apiVersion": root.removeprefix("/apis/").removeprefix("/api/"),
        "kind": word,
        "metadata": metadata,
        "spec": {"deep": {"enough": [1, {"to": "compare"}]}},
        "status": {"phase": "Running"},
        **more,
    }


def served(plural: str, kind: str) -> dict[str, Any]:
    verbs = ["get", "list", "watch", "patch"]
    return {"name": plural, "kind": kind, "namespaced": True, "verbs": verbs, "singularName": plural[:-1]}


class Server:
    """One object of each kind, then what the test sends to its watch; every request is kept."""

    def __init__(self) -> None:
        self.there = {kind: made(kind, kind.plural[:-1], "5") for kind in Kind}
        self.news: dict[Kind, asyncio.Queue[dict[str, Any]]] = {kind: asyncio.Queue() for kind in Kind}
        self.watched: dict[Kind, asyncio.Event] = {kind: asyncio.Event() for kind in Kind}
        self.asked: list[web.Request] = []
        self.url = ""

    async def tell(self, happened: str) -> dict[Kind, dict[str, Any]]:
        """Something happens to each object; gives how they are then."""
        for kind, document in self.there.items():
            await self.watched[kind].wait()
            document["metadata"]["resourceVersion"] = str(int(document["metadata"]["resourceVersion"]) + 10)
            self.news[kind].put_nowait({"type": happened, "object": document})
        return self.there

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request)
        if request.path == "/api":
            return web.json_response({"versions": ["v1"]})
        if request.path == "/apis":
            groups = sorted({(group, version) for group, version, *_ in (kind.value for kind in Kind) if group})
            told = [
                {"name": group, "preferredVersion": {"version": version}, "versions": [{"version": version}]}
                for group, version in groups
            ]
            return web.json_response({"groups": told})
        for kind, (root, plural, _) in PLACES.items():
            if request.path == root:
                # kopf wants to know of namespaces before it listens in any of them.
                here = [served(*place[1:]) for place in PLACES.values() if place[0] == root]
                return web.json_response({"resources": [*here, served("namespaces", "Namespace")]})
            if request.path == f"{root}/namespaces/prod/{plural}":
                if request.query.get("watch"):
                    return await self._stream(request, kind)
                return web.json_response({"metadata": {"resourceVersion": "9"}, "items": [self.there[kind]]})
        return web.json_response({"kind": "Status", "reason": "NotFound", "code": 404}, status=404)

    async def _stream(self, request: web.Request, kind: Kind) -> web.StreamResponse:
        stream = web.StreamResponse()
        await stream.prepare(request)
        self.watched[kind].set()
        while True:
            await stream.write(json.dumps(await self.news[kind].get()).encode() + b"\n")


@pytest.fixture
async def server():
    one = Server()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", one.answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    one.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield one
    await runner.cleanup()


@pytest.fixture
async def heard(server, tmp_path, monkeypatch):
    """The operator's ears, listening to the server; gives what they hear."""
    kubeconfig = tmp_path / "kubeconfig"
    content = {
        "clusters": [{"name": "c", "cluster": {"server": server.url}}],
        "users": [{"name": "u", "user": {"token": "a-token"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    kubeconfig.write_text(json.dumps(content), encoding="utf-8")
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    told: asyncio.Queue[tuple[Kind, str | None, dict[str, Any]]] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    registry = kopf.OperatorRegistry()
    handlers.register(registry, lambda *what: loop.call_soon_threadsafe(told.put_nowait, what))
    login.register(registry, str(kubeconfig))
    stop = threading.Event()

    def listen() -> None:
        settings = handlers.settings()
        asyncio.run(
            kopf.operator(registry=registry, settings=settings, standalone=True, namespaces=["prod"], stop_flag=stop)
        )

    ears = asyncio.create_task(asyncio.to_thread(listen))  # at its end kopf cancels all other tasks of its loop
    yield told
    stop.set()
    await ears


async def one_of_each(heard: asyncio.Queue[Any]) -> dict[Kind, tuple[str | None, dict[str, Any]]]:
    async with asyncio.timeout(20):
        found = [await heard.get() for _ in Kind]
    return {kind: (happened, document) for kind, happened, document in found}


async def test_what_is_there_and_what_happens_is_heard_whole_and_nothing_is_written(server, heard):
    assert await one_of_each(heard) == {kind: (None, document) for kind, document in server.there.items()}
    for happened in ("MODIFIED", "DELETED"):
        told = await server.tell(happened)
        assert await one_of_each(heard) == {kind: (happened, document) for kind, document in told.items()}
    assert {request.method for request in server.asked} == {"GET"}


async def test_of_jobs_and_pods_only_ours_are_asked_for(server, heard):
    await one_of_each(heard)
    await server.tell("MODIFIED")
    asked = {
        kind: [request.query.get("labelSelector") for request in server.asked if request.path.endswith(kind.plural)]
        for kind in Kind
    }
    assert asked == {
        Kind.RESOURCES: [None, None],
        Kind.ORDERS: [None, None],
        Kind.JOBS: [OURS, OURS],
        Kind.PODS: [OURS, OURS],
    }


async def test_no_object_is_copied_to_be_compared_with_what_it_was(server, heard, monkeypatch):
    await one_of_each(heard)
    copied: list[Any] = []
    original = copy.deepcopy
    monkeypatch.setattr(copy, "deepcopy", lambda thing, *more: (copied.append(thing), original(thing, *more))[1])
    await server.tell("MODIFIED")
    await one_of_each(heard)
    assert not [thing for thing in copied if "spec" in thing]
