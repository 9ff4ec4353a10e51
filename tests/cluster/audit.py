"""What the API server was asked, read from its audit log: by whom, what, and how often."""

import json
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})


@dataclass(frozen=True, slots=True)
class Write:
    """One kind of write request that was answered."""

    user_agent: str  # up to its first space or slash: "kubectl", "kubelet", "OpenAPI-Generator"
    verb: str  # create | update | patch | delete | deletecollection
    resource: str  # "jobs", "databasemigrations/status"


@dataclass(frozen=True, slots=True)
class Asked:
    """One kind of request about objects, as the rules of access see it."""

    group: str  # "" for the core
    resource: str  # "jobs", "databasemigrations/status"
    verb: str  # also get | list | watch
    namespace: str  # "" for all of them at once
    allowed: bool  # by the rules; a quota or a policy may still have refused it


class AuditLog:
    """The audit log of a running cluster. A moment in it is an offset in bytes."""

    def __init__(self, path: Path, ask: Callable[[str], object]) -> None:
        self._path = path
        self._ask = ask  # sends a GET for this path of the API

    def moment(self) -> int:
        """Now: whatever was answered before is in the log before, whatever is asked later comes later."""
        mark = f"moment={uuid.uuid4()}"
        start = self._path.stat().st_size
        self._ask(f"/version?{mark}")
        # The server answers first and writes its log a moment later.
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with self._path.open("rb") as log:
                log.seek(start)
                before, found, after = log.read().partition(mark.encode())
            if found and b"\n" in after:
                return start + len(before) + len(found) + after.index(b"\n") + 1
            time.sleep(0.05)
        raise TimeoutError(f"The audit log {self._path} does not show a request of ten seconds ago.")

    def writes(
        self, since: int, until: int, *, namespace: str | None = None, user: str | None = None
    ) -> Counter[Write]:
        """Count the write requests between two moments, refused ones included; of one namespace or user if named."""
        return Counter(
            Write(_short(event.get("userAgent", "")), event["verb"], _resource(event))
            for event in self._events(since, until)
            if event["verb"] in _WRITES
            and event["stage"] == "ResponseComplete"
            and namespace in {None, event.get("objectRef", {}).get("namespace")}
            and user in {None, event["user"].get("username")}
        )

    def asked(self, since: int, until: int, *, user: str) -> set[Asked]:
        """What a user asked for between two moments, reads and open watches included, discovery left out."""
        return {
            Asked(
                event["objectRef"].get("apiGroup", ""),
                _resource(event),
                event["verb"],
                event["objectRef"].get("namespace", ""),
                event.get("annotations", {}).get("authorization.k8s.io/decision") != "forbid",
            )
            for event in self._events(since, until)
            if "objectRef" in event and user == event["user"].get("username")
        }

    def _events(self, since: int, until: int) -> Iterator[dict[str, Any]]:
        with self._path.open("rb") as log:
            log.seek(since)
            for line in log.read(until - since).splitlines():
                yield json.loads(line)


def _short(user_agent: str) -> str:
    return user_agent.partition(" ")[0].partition("/")[0]


def _resource(event: dict[str, Any]) -> str:
    reference = event.get("objectRef", {})
    return "/".join(part for part in (reference.get("resource"), reference.get("subresource")) if part)
