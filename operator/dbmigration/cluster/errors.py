"""What a cluster may answer instead of doing what it was asked, as a tree.

ClusterError                message (verb, resource, and the server's own words), never a secret
├── Unconfigured            there is no usable kubeconfig: nothing was asked
├── Conflict                the object was changed meanwhile: look again
├── AlreadyExists           an object of that name is there
├── NotFound                the object, or the namespace, is not there
├── Refused                 it will not be done as it was asked: rights, quota, admission, an invalid field
│   └── Forbidden           of these: RBAC, a quota, or an admission check
├── Unavailable             network, time-out, overload, 5xx: nobody knows whether it was done
└── LeadershipLost          this process may no longer write

Client exceptions are translated at this room's door, nowhere else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

import aiohttp

_MESSAGE_CHARACTERS = 700
_CAUSE_CHARACTERS = 250


class ClusterError(Exception):
    """The API server did not do what it was asked."""


class Unconfigured(ClusterError):  # noqa: N818  # the tree says what happened
    """Nothing says where the cluster is, or what says so cannot be read."""


class Conflict(ClusterError):  # noqa: N818  # the tree says what happened
    """The object was changed since it was read."""


class AlreadyExists(ClusterError):  # noqa: N818  # the tree says what happened
    """An object of that name is there already."""


class NotFound(ClusterError):  # noqa: N818  # the tree says what happened
    """The object is not there, or its namespace is not."""


class Refused(ClusterError):  # noqa: N818  # the tree says what happened
    """The server will not do that; the same request gets the same answer until somebody mends what it names."""


class Forbidden(Refused):
    """Rights, a quota or an admission check forbid it."""


class Unavailable(ClusterError):  # noqa: N818  # the tree says what happened
    """No answer, or none that tells whether it was done; ask again."""


class LeadershipLost(ClusterError):  # noqa: N818  # the tree says what happened
    """This process does not hold the Lease any more and must not write."""


def answered(what: str, status: int, document: Any) -> ClusterError:
    """Translate an HTTP answer of 400 or above; `what` names verb and resource."""
    body = document if isinstance(document, dict) else {}
    message = f"{what}: {str(body.get('message') or _phrase(status))[:_MESSAGE_CHARACTERS]}"
    match status:
        case HTTPStatus.NOT_FOUND:
            return NotFound(message)
        case HTTPStatus.CONFLICT:
            return AlreadyExists(message) if body.get("reason") == "AlreadyExists" else Conflict(message)
        case HTTPStatus.FORBIDDEN:
            return Forbidden(message)
        case HTTPStatus.UNAUTHORIZED | HTTPStatus.REQUEST_TIMEOUT | HTTPStatus.TOO_MANY_REQUESTS:
            return Unavailable(message)
        case _ if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return Unavailable(message)
        case _:
            return Refused(message)


def _phrase(status: int) -> str:
    """What stands between us and the server may answer with numbers of its own, and without a word."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return f"HTTP {status}"


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Turn what the client raises when it gets no answer into Unavailable."""
    try:
        yield
    except asyncio.CancelledError:
        raise
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise Unavailable(f"{what}: no answer from the API server ({_told(error)})") from error


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:_CAUSE_CHARACTERS] if str(error) else type(error).__name__
