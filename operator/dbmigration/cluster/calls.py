"""One call to the API server: bounded in time, answered by a plain document or by an error of ours.

The client's own models are kept out of it: they refuse what newer or older servers send (37.0.2 cannot read the kubelet's
Events). It must not know what is asked.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable
from http import HTTPStatus
from typing import Any

from dbmigration.cluster.errors import answered, translated

TIMEOUT_SECONDS = 10.0
MERGE_PATCH = "application/merge-patch+json"

Document = dict[str, Any]


async def ask(what: str, request: Awaitable[Any]) -> Document:
    """Await one of the client's `*_without_preload_content` calls; `what` names it for people.

    Raises ClusterError.
    """
    text = await ask_text(what, request)
    document = json.loads(text) if text else {}
    return document if isinstance(document, dict) else {}


async def ask_text(what: str, request: Awaitable[Any]) -> str:
    """As `ask`, for what is no JSON."""
    with translated(what):
        response = await request
        text: str = (await response.read()).decode(errors="replace")
    if response.status >= HTTPStatus.BAD_REQUEST:
        raise answered(what, response.status, _document_of(text))
    return text


def _document_of(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return {"message": text}
