"""A kopf operator with one handler that does nothing, on our kind: what listening alone costs.

A program for `listeners.py`, with the same settings of kopf as ours where they cost or save anything. It must not import the
operator beyond its login.
"""

from __future__ import annotations

import asyncio
import logging
import os
from typing import Any

import kopf

from dbmigration.controller import login


def main() -> None:
    """Listen until a signal comes."""
    logging.basicConfig(level=logging.WARNING)
    registry = kopf.OperatorRegistry()
    login.register(registry, os.environ["KUBECONFIG"])
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.peering.standalone = True
    settings.queueing.idle_timeout = 1
    settings.watching.server_timeout = 290

    @kopf.on.startup(registry=registry)
    async def startup(**_: Any) -> None:
        print("listening", flush=True)

    @kopf.on.event("dbmigration.io", "v1alpha1", "databasemigrations", registry=registry)
    async def heard(**_: Any) -> None:
        pass

    asyncio.run(
        kopf.operator(registry=registry, settings=settings, standalone=True, namespaces=[os.environ["NAMESPACE"]])
    )


if __name__ == "__main__":
    main()
