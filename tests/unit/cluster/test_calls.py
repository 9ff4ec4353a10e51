"""What goes over the wire for each call, and what each answer means; the server is a real one on loopback."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from dbmigration.cluster.calls import path_to
from dbmigration.cluster.client import open_client
from dbmigration.cluster.errors import (
    AlreadyExists,
    ClusterError,
    Conflict,
    Forbidden,
    LeadershipLost,
    NotFound,
    Refused,
    Unavailable,
)
from dbmigration.cluster.gateway import Gateway, Kind

TOKEN = "a-token"


class Server:
    """Answers every request with what it was told to, and keeps what it was asked."""

    def __init__(self) -> None:
        self.status, self.text = 200, "{}"
        self.pages: list[dict[str, Any]] = []
        self.asked: list[web.Request] = []
        self.bodies: list[Any] = []

    async def answer(self, request: web.Request) -> web.Response:
        text = await request.text()
        self.asked.append(request)
        self.bodies.append(json.loads(text) if text else None)
        if self.pages:
            return web.json_response(self.pages.pop(0))
        return web.Response(status=self.status, text=self.text)

    @property
    def last(self) -> tuple[str, str, Any]:
        return self.asked[-1].method, self.asked[-1].path_qs, self.bodies[-1]


@asynccontextmanager
async def served(folder: Path, **gateway: Any) -> AsyncIterator[tuple[Server, Gateway]]:
    server = Server()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    kubeconfig = folder / "kubeconfig"
    content = {
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{runner.addresses[0][1]}"}}],
        "users": [{"name": "u", "user": {"token": TOKEN}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    kubeconfig.write_text(json.dumps(content), encoding="utf-8")
    try:
        async with open_client(str(kubeconfig)) as api:
            yield server, Gateway(api, reporter="test", **gateway)
    finally:
        await runner.cleanup()


def test_paths_lead_to_groups_to_the_core_and_to_one_namespace_or_all():
    assert path_to("batch", "v1", "prod", "jobs", "a") == "/apis/batch/v1/namespaces/prod/jobs/a"
    assert path_to("", "v1", None, "pods") == "/api/v1/pods"
    assert path_to("batch", "v1", "prod", "jobs", "../secrets") == "/apis/batch/v1/namespaces/prod/jobs/..%2Fsecrets"


async def test_a_status_is_merged_into_exactly_one_version(tmp_path):
    async with served(tmp_path) as (server, gateway):
        await gateway.patch_status("prod", "shop", "7", {"phase": "Planning", "progress": None})
        path = "/apis/dbmigration.io/v1alpha1/namespaces/prod/databasemigrations/shop/status"
        body = {"metadata": {"resourceVersion": "7"}, "status": {"phase": "Planning", "progress": None}}
        assert server.last == ("PATCH", path, body)
        headers = server.asked[-1].headers
        assert headers["Content-Type"] == "application/merge-patch+json"
        assert headers["Authorization"] == f"Bearer {TOKEN}"
        assert headers["User-Agent"].startswith("dbmigration-operator/")


async def test_a_job_is_checked_by_the_server_and_deleted_by_its_uid_with_its_pods(tmp_path):
    async with served(tmp_path) as (server, gateway):
        manifest = {"metadata": {"namespace": "prod", "name": "a"}}
        await gateway.create_job(manifest)
        assert server.last == ("POST", "/apis/batch/v1/namespaces/prod/jobs?fieldValidation=Strict", manifest)

        await gateway.delete_job("prod", "a", "u")
        body = {"preconditions": {"uid": "u"}, "propagationPolicy": "Background"}
        assert server.last == ("DELETE", "/apis/batch/v1/namespaces/prod/jobs/a", body)


async def test_a_log_is_read_as_it_is(tmp_path):
    async with served(tmp_path) as (server, gateway):
        server.text = "no JSON\n{"
        assert await gateway.log_tail("prod", "pod", "runner") == "no JSON\n{"
        query = "container=runner&tailLines=40&limitBytes=65536"
        assert server.last == ("GET", f"/api/v1/namespaces/prod/pods/pod/log?{query}", None)


async def test_a_list_is_read_page_by_page_and_is_of_the_first_page_s_moment(tmp_path):
    async with served(tmp_path) as (server, gateway):
        server.pages = [
            {"metadata": {"resourceVersion": "5", "continue": "more/="}, "items": [{"metadata": {"name": "a"}}]},
            {"metadata": {"resourceVersion": "6"}, "items": [{"metadata": {"name": "b"}}]},
        ]
        listing = await gateway.list_all(Kind.JOBS, None)
        assert [item["metadata"]["name"] for item in listing.items] == ["a", "b"]
        assert listing.version == "5"
        first, second = (request.query for request in server.asked)
        assert "continue" not in first
        assert second["continue"] == "more/="
        assert (
            second["labelSelector"] == "app.kubernetes.io/managed-by=dbmigration-operator,dbmigration.io/migration-uid"
        )


async def test_who_wrote_which_field_is_not_kept_of_what_is_listed(tmp_path):
    async with served(tmp_path) as (server, gateway):
        server.pages = [
            {
                "metadata": {},
                "items": [{"metadata": {"name": "a", "managedFields": [{"manager": "kubectl"}]}, "spec": {}}],
            }
        ]
        listing = await gateway.list_all(Kind.RESOURCES, "prod")
        assert listing.items == ({"metadata": {"name": "a"}, "spec": {}},)


ANSWERS = [
    (404, {"reason": "NotFound"}, NotFound),
    (409, {"reason": "AlreadyExists"}, AlreadyExists),
    (409, {"reason": "Conflict"}, Conflict),
    (403, {"message": "no"}, Forbidden),
    (422, {"message": "no"}, Refused),
    (401, {}, Unavailable),
    (429, {}, Unavailable),
    (503, {}, Unavailable),
    (520, {}, Unavailable),  # of a proxy on the way, which no standard names
    (499, {}, Refused),
]


@pytest.mark.parametrize(("status", "document", "expected"), ANSWERS)
async def test_every_refusal_is_an_error_of_ours(tmp_path, status, document, expected):
    async with served(tmp_path) as (server, gateway):
        server.status, server.text = status, json.dumps(document) if document else ""
        with pytest.raises(ClusterError) as raised:
            await gateway.read_job("prod", "a")
        assert type(raised.value) is expected
        assert "get jobs" in str(raised.value)


async def test_who_may_not_write_any_more_sends_nothing(tmp_path):
    def no_longer() -> None:
        raise LeadershipLost("gone")

    async with served(tmp_path, may_write=no_longer) as (server, gateway):
        with pytest.raises(LeadershipLost):
            await gateway.patch_status("prod", "shop", "7", {})
        assert server.asked == []


async def test_a_proxy_of_the_environment_is_used_and_exceptions_from_it_are_kept(tmp_path, monkeypatch):
    async with served(tmp_path) as (_, gateway):
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")  # where nobody listens
        monkeypatch.setenv("NO_PROXY", "")
        async with open_client(str(tmp_path / "kubeconfig")) as api:
            with pytest.raises(Unavailable):
                await Gateway(api, reporter="test").read_job("prod", "a")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        async with open_client(str(tmp_path / "kubeconfig")) as api:
            await Gateway(api, reporter="test").read_job("prod", "a")
        await gateway.read_job("prod", "a")
