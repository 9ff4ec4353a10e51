"""The API server over one bare HTTP session: what a client costs that adds nothing.

It must not know what is asked.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from kubernetes.aio import client, config

Document = dict[str, Any]


class ApiServer:
    """Paths and plain documents."""

    def __init__(self, session: aiohttp.ClientSession, address: str) -> None:
        self._session = session
        self._address = address

    async def send(self, method: str, path: str, document: Document) -> Document:
        """Write something; raises RuntimeError where the server refuses it."""
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        async with self._session.request(
            method, self._address + path, data=json.dumps(document), headers={"Content-Type": kind}
        ) as answer:
            if answer.status >= 400:
                raise RuntimeError(f"{method} {path}: {await answer.text()}")
            told: Document = await answer.json()
            return told

    async def watch(self, path: str) -> AsyncIterator[Document]:
        """What happens from now on, one event after the other; the first thing given is an empty one: it listens."""
        async with self._session.get(self._address + path, params={"limit": "1"}) as answer:
            now = (await answer.json())["metadata"]["resourceVersion"]
        async with self._session.get(self._address + path, params={"watch": "1", "resourceVersion": now}) as stream:
            yield {}
            # Not by aiohttp's lines, for an object may be longer than one of its buffers.
            left = b""
            async for part in stream.content.iter_any():
                *lines, left = (left + part).split(b"\n")
                for line in lines:
                    yield json.loads(line)


@asynccontextmanager
async def connected(kubeconfig: Path) -> AsyncIterator[ApiServer]:
    """Open a session with a kubeconfig's credentials."""
    given = client.Configuration()
    await config.load_kube_config(str(kubeconfig), client_configuration=given)
    trusted = ssl.create_default_context(cafile=given.ssl_ca_cert)
    trusted.verify_flags &= ~ssl.VERIFY_X509_STRICT  # as the operator's own client
    if given.cert_file:
        trusted.load_cert_chain(given.cert_file, given.key_file)
    async with aiohttp.ClientSession(
        headers={auth["key"]: auth["value"] for auth in (await given.auth_settings()).values()},
        connector=aiohttp.TCPConnector(ssl=trusted),
        timeout=aiohttp.ClientTimeout(total=None),
    ) as session:
        yield ApiServer(session, given.host.rstrip("/"))
