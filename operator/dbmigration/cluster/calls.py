"""One call to the API server: bounded in time, answered by a plain document or by an error of ours.

Over the client's own machinery for credentials and connections, but not its generated classes: they refuse what newer or
older servers send (37.0.2 cannot read the kubelet's Events), and the one for Pods alone takes 24 MB and most of a second. It
must not know what is asked.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from dbmigration.cluster.errors import answered, translated

TIMEOUT_SECONDS = 10.0
MERGE_PATCH = "application/merge-patch+json"

Document = dict[str, Any]


def path_to(group: str, version: str, namespace: str | None, *more: str) -> str:
    """Where the API server serves something; the core group is an empty text."""
    root = ("apis", group, version) if group else ("api", version)
    inside = ("namespaces", namespace) if namespace else ()
    return "/" + "/".join(quote(part, safe="") for part in (*root, *inside, *more))


async def ask(  # noqa: PLR0917  # reads as a request does: what for, method, path
    api: Any,
    what: str,
    method: str,
    path: str,
    query: Mapping[str, str] | None = None,
    body: Document | None = None,
    *,
    content_type: str = "application/json",
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> Document:
    """Ask for a document; `what` names it for people.

    Raises ClusterError.
    """
    headers = {"Accept": "application/json", "Content-Type": content_type}
    text = await _answer(api, what, (method, path, query, headers, body), timeout_seconds)
    document = json.loads(text) if text else {}
    return document if isinstance(document, dict) else {}


async def ask_text(api: Any, what: str, path: str, query: Mapping[str, str] | None = None) -> str:
    """As `ask`, for what is no JSON."""
    return await _answer(api, what, ("GET", path, query, {"Accept": "*/*"}, None), TIMEOUT_SECONDS)


async def _answer(api: Any, what: str, asked: tuple[Any, ...], timeout_seconds: float) -> str:
    method, path, query, headers, body = asked
    with translated(what):
        # The body is left out of it: it would be copied leaf by leaf.
        request = await api.param_serialize(
            method, path, query_params=list((query or {}).items()), header_params=headers, auth_settings=["BearerToken"]
        )
        _, url, complete, *_ = request
        answer = await api.call_api(method, url, complete, body, _request_timeout=timeout_seconds)
        text: str = (await answer.response.read()).decode(errors="replace")
    if answer.status >= HTTPStatus.BAD_REQUEST:
        raise answered(what, answer.status, _document_of(text))
    return text


def _document_of(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return {"message": text}
