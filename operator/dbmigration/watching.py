"""What `dbmigration wait` and `dbmigration status NAME` do on a cluster: read one resource, and tell it.

Only reads, with whatever rights the caller's kubeconfig gives. It must not write to a cluster, nor decide more than
whether a resource has come to its end.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from datetime import timedelta
from typing import Any

from dbmigration.api.status import ConditionStatus, Outcome, Status
from dbmigration.cluster.client import open_client
from dbmigration.cluster.errors import ClusterError
from dbmigration.cluster.gateway import Gateway
from dbmigration.local.driving import Exit
from dbmigration.local.narration import news
from dbmigration.local.report import report
from dbmigration.local.store import Resource

_PERIOD_SECONDS = 1.0


def wait(name: str, namespace: str | None, timeout: timedelta) -> Exit:
    """Follow a resource until it is Ready or Stalled at its newest generation; WAITING where that takes too long."""
    return asyncio.run(_wait(name, namespace, timeout))


def status(name: str, namespace: str | None, *, as_json: bool) -> Exit:
    """Tell how a resource stands."""
    return asyncio.run(_status(name, namespace, as_json=as_json))


async def _wait(name: str, namespace: str | None, timeout: timedelta) -> Exit:
    async with open_client() as api:
        gateway, where = Gateway(api, reporter="dbmigration"), namespace or _own_namespace()
        before = Status()
        try:
            async with asyncio.timeout(timeout.total_seconds()):
                while True:
                    document = await _read(gateway, where, name)
                    now = Status.parse(document.get("status", {}))
                    for line in news(before, now):
                        sys.stderr.write(f"{line}\n")
                    before = now
                    if (ending := _ending(now, document["metadata"]["generation"])) is not None:
                        break
                    await asyncio.sleep(_PERIOD_SECONDS)
        except TimeoutError:
            ending = Exit.WAITING
    _tell(document)
    return ending
