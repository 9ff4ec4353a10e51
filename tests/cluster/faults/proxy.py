"""A proxy on loopback between one operator and the API server: it counts what the operator writes, and does harm at a chosen moment.

Speaks plain HTTP to the operator and holds the credentials itself, so that it can read what passes. Renewals of the Lease
are forwarded and not counted: they come by the clock. It must not change what it forwards.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import aiohttp
from aiohttp import web
from kubernetes.aio import client, config
from multidict import CIMultiDict

T = TypeVar("T")

WATCHED_KINDS = 3
_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_LEASES = "/apis/coordination.k8s.io/"
# Of one connection only, or made anew by whoever sends the next part of the way.
_NOT_FORWARDED = frozenset({"host", "connection", "keep-alive", "transfer-encoding", "content-length", "authorization"})


class Moment(StrEnum):
    """When the operator dies at a write."""

    BEFORE = "before the server gets it"
    AFTER = "after the server answered, before the operator hears it"


@dataclass(frozen=True, slots=True)
class Kill:
    """The operator is killed at its n-th write, counted from 1 over all of its restarts: from the one that enters a phase.

    What else is written depends on the hour: that a Pod has to wait, say. So nothing is counted from the run's beginning.
    """

    phase: str
    write: int
    moment: Moment

    def __str__(self) -> str:
        return f"killed at write {self.write} of {self.phase}, {self.moment}"


@dataclass(frozen=True, slots=True)
class Exchange:
    """One write request, the n-th of a phase; status 0 means that it did not reach the server."""

    phase: str
    number: int
    verb: str
    path: str
    status: int

    def __str__(self) -> str:
        return f"{self.phase} {self.number} {self.verb} {self.path} {self.status}"


class Proxy:
    """Runs in a thread of its own; everything public may be called from the test's."""

    def __init__(self, kubeconfig: Path) -> None:
        self._kubeconfig = kubeconfig
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._watches: list[web.Request] = []
        self._kill: Kill | None = None
        self._strike: Callable[[], None] = lambda: None
        self._busy_at = 0.0
        self._count = 0
        self._phase, self._in_phase = "", 0
        self._silent = False
        self._loses = False
        self.port = 0
        self.struck = False
        self.trace: list[Exchange] = []

    def __enter__(self) -> Self:
        self._thread.start()
        self._call(self._start())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._call(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def url(self) -> str:
        """Where the operator finds the API server."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def writes(self) -> int:
        """How many writes the operator asked for since `begin`."""
        return self._count

    def begin(self, kill: Kill | None = None, strike: Callable[[], None] = lambda: None) -> None:
        """Count from 1 again; at the write that `kill` names call `strike`, once, which returns when the operator is dead."""
        self._kill, self._strike = kill, strike
        self._count, self.struck, self.trace = 0, False, []
        self._phase, self._in_phase = "", 0
        self._busy_at = time.monotonic()

    def has_rested(self, seconds: float) -> bool:
        """Does the operator listen to everything, and has it written nothing for so long?"""
        heard = [request for request in tuple(self._watches) if _is_connected(request)]
        return len(heard) >= WATCHED_KINDS and time.monotonic() - self._busy_at > seconds

    def cut_watches(self) -> int:
        """Break all watches off in the middle; returns how many there were."""
        return self._call(self._cut())

    @contextmanager
    def answering_503(self) -> Iterator[None]:
        """Every request is answered with 503, and running watches end: an API server that is up and cannot work."""
        self._silent = True
        self.cut_watches()
        try:
            yield
        finally:
            self._silent = False

    @contextmanager
    def losing_every_second_answer(self) -> Iterator[None]:
        """The server does what it was asked to write, and the operator hears 503 every second time."""
        self._loses = True
        try:
            yield
        finally:
            self._loses = False

    @contextmanager
    def refusing_connections(self) -> Iterator[None]:
        """Nothing listens, and what was connected is cut off: an API server that is not there."""
        self._call(self._close())
        try:
            yield
        finally:
            self._call(self._listen())

    def told(self) -> str:
        """The writes, for people."""
        return "\n".join(map(str, self.trace))

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=30)

    async def _start(self) -> None:
        given = client.Configuration()
        await config.load_kube_config(str(self._kubeconfig), client_configuration=given)
        trusted = ssl.create_default_context(cafile=given.ssl_ca_cert)
        if given.cert_file:
            trusted.load_cert_chain(given.cert_file, given.key_file)
        self._server = given.host.rstrip("/")
        self._session = aiohttp.ClientSession(
            headers={auth["key"]: auth["value"] for auth in (await given.auth_settings()).values()},
            connector=aiohttp.TCPConnector(ssl=trusted, limit=0),
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,
        )
        # What a dead operator asked for is given up, as the server itself would.
        self._runner = web.AppRunner(_application(self._forward), handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        await self._listen()

    async def _stop(self) -> None:
        await self._cut()
        await self._runner.cleanup()
        await self._session.close()

    async def _listen(self) -> None:
        self._site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await self._site.start()
        self.port = self._runner.addresses[0][1]

    async def _close(self) -> None:
        await self._site.stop()
        if self._runner.server is not None:
            await self._runner.server.shutdown(timeout=0.1)

    async def _cut(self) -> int:
        watches = tuple(self._watches)
        for request in watches:
            if request.transport is not None:
                request.transport.abort()
        return len(watches)

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        if self._silent:
            return _unavailable()
        body = await request.read()
        number = self._number_of(request)
        phase, place = self._place(request, body) if number else ("", 0)
        if number and self._is_time(phase, place, Moment.BEFORE):
            self.trace.append(Exchange(phase, place, request.method, request.path, 0))
            await asyncio.to_thread(self._strike)
            return _unavailable()
        headers = _forwarded(request.headers)
        async with self._session.request(
            request.method, self._server + request.path_qs, data=body or None, headers=headers
        ) as answer:
            if request.query.get("watch") in {"true", "1"}:
                return await self._stream(request, answer)
            content = await answer.read()
        if number:
            self.trace.append(Exchange(phase, place, request.method, request.path, answer.status))
        if number and self._is_time(phase, place, Moment.AFTER):
            await asyncio.to_thread(self._strike)
            return _unavailable()
        if self._loses and number % 2:
            return _unavailable()
        return web.Response(status=answer.status, body=content, headers=_forwarded(answer.headers))

    async def _stream(self, request: web.Request, answer: aiohttp.ClientResponse) -> web.StreamResponse:
        response = web.StreamResponse(status=answer.status, headers=_forwarded(answer.headers))
        await response.prepare(request)
        self._watches.append(request)
        self._busy_at = time.monotonic()
        try:
            # Whoever listens may die at any time, and so may the API server; either ends the stream for both.
            with contextlib.suppress(ConnectionError, aiohttp.ClientError):
                async for part in answer.content.iter_any():
                    await response.write(part)
        finally:
            self._watches.remove(request)
        return response

    def _number_of(self, request: web.Request) -> int:
        """The write's number, or 0 for what is not counted."""
        if request.method in _READS or request.path.startswith(_LEASES):
            return 0
        self._count += 1
        self._busy_at = time.monotonic()
        return self._count

    def _place(self, request: web.Request, body: bytes) -> tuple[str, int]:
        """The phase that a write belongs to, which it may begin, and the how many-th of it that is."""
        entered = _phase(request, body)
        if entered and entered != self._phase:
            self._phase, self._in_phase = entered, 0
        self._in_phase += 1
        return self._phase, self._in_phase

    def _is_time(self, phase: str, place: int, moment: Moment) -> bool:
        """Asked once at each moment: is this where the operator dies?"""
        kill = self._kill
        if self.struck or kill is None or (kill.phase, kill.write, kill.moment) != (phase, place, moment):
            return False
        self.struck = True
        return True


def _phase(request: web.Request, body: bytes) -> str:
    """The one that a write to a status puts the resource into; "" where it names none."""
    if request.method != "PATCH" or not request.path.endswith("/status"):
        return ""
    return str(json.loads(body).get("status", {}).get("phase", ""))


def _unavailable() -> web.Response:
    return web.json_response({"kind": "Status", "message": "The API server is away.", "code": 503}, status=503)


def _is_connected(request: web.Request) -> bool:
    return request.transport is not None and not request.transport.is_closing()


def _application(handler: Callable[[web.Request], Coroutine[Any, Any, web.StreamResponse]]) -> web.Application:
    application = web.Application(client_max_size=64 * 1024 * 1024)
    application.router.add_route("*", "/{path:.*}", handler)
    return application


def _forwarded(headers: Any) -> CIMultiDict[str]:
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in _NOT_FORWARDED)
