"""What the kubelet and Prometheus ask: /livez, /readyz, /metrics. Served by a standby too.

It must not decide what health is; it asks.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus

from aiohttp import web

from dbmigration.metrics.registry import CONTENT_TYPE

Verdict = Callable[[], str | None]  # what is wrong, or None


@asynccontextmanager
async def serve(port: int, *, livez: Verdict, readyz: Verdict, metrics: Callable[[], bytes]) -> AsyncIterator[None]:
    """Serve on all addresses while the body runs."""
    application = web.Application()
    application.router.add_get("/livez", _probe(livez))
    application.router.add_get("/readyz", _probe(readyz))

    async def exposition(_: web.Request) -> web.Response:
        return web.Response(body=metrics(), headers={"Content-Type": CONTENT_TYPE})

    application.router.add_get("/metrics", exposition)
    runner = web.AppRunner(application, handle_signals=False, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, port=port).start()
        yield
    finally:
        await runner.cleanup()


def _probe(verdict: Verdict) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(_: web.Request) -> web.Response:
        wrong = verdict()
        return web.Response(text=wrong or "ok", status=HTTPStatus.SERVICE_UNAVAILABLE if wrong else HTTPStatus.OK)

    return answer
