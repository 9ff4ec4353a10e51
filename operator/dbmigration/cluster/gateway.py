"""Everything that the operator reads from the API server and writes to it, call by call.

Each call is bounded in time, takes and gives plain documents, and raises ClusterError. Every write asks first whether this
process may still write, and is counted. It must not decide, retry or remember anything.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from dbmigration.api import names
from dbmigration.cluster.calls import MERGE_PATCH, TIMEOUT_SECONDS, Document, ask, ask_text, path_to
from dbmigration.cluster.errors import ClusterError

OURS = f"{names.LABEL_MANAGED_BY}={names.MANAGED_BY},{names.LABEL_UID}"
NOTE_CHARACTERS = 1024  # the API server refuses a longer one
_PAGE = 100  # what a page takes while it is parsed is hardly given back
_LOG_BYTES = 64 * 1024
_LOG_LINES = 40
FIELD_MANAGER = names.MANAGED_BY  # by this name our own scaling stands in managedFields
_APPS = ("apps", "v1")
_EVENTS = ("events.k8s.io", "v1")
_METHODS = {
    "create": ("POST", "application/json"),
    "patch": ("PATCH", MERGE_PATCH),
    "delete": ("DELETE", "application/json"),
}


class Kind(Enum):
    """What is listed and watched: group, version, plural, and the selector that goes to the server."""

    RESOURCES = (names.GROUP, names.VERSION, names.PLURAL, None)
    ORDERS = (names.GROUP, names.VERSION, names.RESTORE_PLURAL, None)
    JOBS = ("batch", "v1", "jobs", OURS)
    PODS = ("", "v1", "pods", OURS)

    def path(self, namespace: str | None, *more: str) -> str:
        """Where it is served: in a namespace, or in all of them."""
        group, version, plural, _ = self.value
        return path_to(group, version, namespace, plural, *more)

    @property
    def plural(self) -> str:
        """The resource's name in a URL."""
        return str(self.value[2])


@dataclass(frozen=True, slots=True)
class Listing:
    """All objects of a kind at one moment, which `version` names."""

    items: tuple[Document, ...]
    version: str


class Gateway:
    """The calls, over one client."""

    def __init__(
        self,
        api: Any,
        *,
        reporter: str,
        may_write: Callable[[], None] = lambda: None,
        wrote: Callable[[str, str, str], None] = lambda _verb, _resource, _outcome: None,
    ) -> None:
        """`may_write` raises LeadershipLost; `wrote` is told verb, resource and outcome of each write."""
        self._api = api
        self._reporter = reporter
        self._may_write = may_write
        self._wrote = wrote

    # Our resource.

    async def read_resource(self, namespace: str, name: str) -> Document:
        """The resource as it is now."""
        return await ask(self._api, f"get {names.PLURAL}", "GET", Kind.RESOURCES.path(namespace, name))

    async def patch_spec(self, namespace: str, name: str, version: str, patch: Document) -> Document:
        """Merge a patch into the spec of exactly this version of the resource; a person's wish, never the operator's."""
        body = {"metadata": {"resourceVersion": version}, "spec": patch}
        return await self._write("patch", names.PLURAL, Kind.RESOURCES.path(namespace, name), body)

    async def patch_status(self, namespace: str, name: str, version: str, patch: Document) -> Document:
        """Merge a patch into the status of exactly this version of the resource."""
        body = {"metadata": {"resourceVersion": version}, "status": patch}
        return await self._write(
            "patch", f"{names.PLURAL}/status", Kind.RESOURCES.path(namespace, name, "status"), body
        )

    # Orders by hand.

    async def read_order(self, namespace: str, name: str) -> Document:
        """A DatabaseRestore as it is now; for people, the operator hears of it."""
        return await ask(self._api, f"get {names.RESTORE_PLURAL}", "GET", Kind.ORDERS.path(namespace, name))

    async def create_order(self, namespace: str, manifest: Document) -> Document:
        """Create a DatabaseRestore; a person's wish, never the operator's."""
        path = Kind.ORDERS.path(namespace)
        return await self._write("create", names.RESTORE_PLURAL, path, manifest, {"fieldValidation": "Strict"})

    async def patch_order_status(self, namespace: str, name: str, version: str, patch: Document) -> Document:
        """Merge a patch into the status of exactly this version of a DatabaseRestore."""
        body = {"metadata": {"resourceVersion": version}, "status": patch}
        return await self._write(
            "patch", f"{names.RESTORE_PLURAL}/status", Kind.ORDERS.path(namespace, name, "status"), body
        )

    async def patch_finalizers(self, namespace: str, name: str, version: str, finalizers: list[str]) -> Document:
        """Set the finalizers of exactly this version of the resource."""
        body = {"metadata": {"resourceVersion": version, "finalizers": finalizers or None}}
        return await self._write("patch", names.PLURAL, Kind.RESOURCES.path(namespace, name), body)

    # Jobs and what belongs to them.

    async def create_job(self, manifest: Document) -> Document:
        """Create a Job; the server, not the client, checks every field, so that a user reads the server's words."""
        path = Kind.JOBS.path(manifest["metadata"]["namespace"])
        return await self._write("create", "jobs", path, manifest, {"fieldValidation": "Strict"})

    async def read_job(self, namespace: str, name: str) -> Document:
        """A Job as it is now."""
        return await ask(self._api, "get jobs", "GET", Kind.JOBS.path(namespace, name))

    async def delete_job(self, namespace: str, name: str, uid: str) -> None:
        """Delete exactly this Job and its Pods; without a propagation policy the Pods would stay."""
        options = {"preconditions": {"uid": uid}, "propagationPolicy": "Background"}
        await self._write("delete", "jobs", Kind.JOBS.path(namespace, name), options)

    async def pods_of(self, namespace: str, selector: str) -> tuple[Document, ...]:
        """The Pods that carry these labels, as they are now."""
        listed = await ask(self._api, "list pods", "GET", Kind.PODS.path(namespace), {"labelSelector": selector})
        return tuple(listed.get("items", ()))

    async def log_tail(self, namespace: str, pod: str, container: str) -> str:
        """The last lines that a container printed."""
        query = {"container": container, "tailLines": str(_LOG_LINES), "limitBytes": str(_LOG_BYTES)}
        return await ask_text(self._api, "get pods/log", Kind.PODS.path(namespace, pod, "log"), query)

    # Workloads that are drained.

    async def read_workload(self, namespace: str, plural: str, name: str) -> Document:
        """A Deployment or StatefulSet as it is now."""
        return await ask(self._api, f"get {plural}", "GET", path_to(*_APPS, namespace, plural, name))

    async def scale(self, namespace: str, plural: str, name: str, replicas: int) -> None:
        """Give it so many replicas."""
        path = path_to(*_APPS, namespace, plural, name, "scale")
        body = {"spec": {"replicas": replicas}}
        await self._write("patch", f"{plural}/scale", path, body, {"fieldManager": FIELD_MANAGER})

    # Events.

    async def events_about(self, namespace: str, uid: str) -> tuple[Document, ...]:
        """What was told about an object; some causes stand nowhere else."""
        query = {"fieldSelector": f"regarding.uid={uid}"}
        listed = await ask(self._api, "list events", "GET", path_to(*_EVENTS, namespace, "events"), query)
        return tuple(listed.get("items", ()))

    async def create_event(
        self, regarding: Document, *, name: str, reason: str, action: str, note: str, warning: bool
    ) -> None:
        """Tell something about an object; a name that is derived from what is told makes it told once."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        event = {
            "apiVersion": "/".join(_EVENTS),
            "kind": "Event",
            "metadata": {"name": name, "namespace": regarding["namespace"]},
            "eventTime": now,
            "reportingController": names.MANAGED_BY,
            "reportingInstance": self._reporter[:128],
            "action": action,
            "reason": reason,
            "note": note if len(note) <= NOTE_CHARACTERS else note[: NOTE_CHARACTERS - 1] + "…",
            "type": "Warning" if warning else "Normal",
            "regarding": regarding,
        }
        await self._write("create", "events", path_to(*_EVENTS, regarding["namespace"], "events"), event)

    # Whole kinds.

    async def list_all(self, kind: Kind, namespace: str | None) -> Listing:
        """Every object of a kind in a namespace, or in all of them; page by page."""
        items: list[Document] = []
        following, version = None, ""
        while following is None or following:
            page = await self._page(kind, namespace, following)
            metadata = page.get("metadata", {})
            for item in page.get("items", ()):
                item["metadata"].pop("managedFields", None)  # a quarter of it or more, and nobody asks
                items.append(item)
            version = version or metadata.get("resourceVersion", "")
            following = metadata.get("continue") or ""
        return Listing(tuple(items), version)

    async def _page(self, kind: Kind, namespace: str | None, following: str | None) -> Document:
        *_, selector = kind.value
        query = {"limit": str(_PAGE)}
        query |= {"labelSelector": selector} if selector else {}
        query |= {"continue": following} if following else {}
        what, path = f"list {kind.plural}", kind.path(namespace)
        return await ask(self._api, what, "GET", path, query, timeout_seconds=3 * TIMEOUT_SECONDS)

    async def serves_our_kinds(self) -> bool:
        """Are Jobs and our kinds served? A server that comes up answers before it knows all of its own kinds."""
        try:
            for kind in (Kind.JOBS, Kind.RESOURCES, Kind.ORDERS):
                group, version, plural, _ = kind.value
                served = await ask(self._api, "discover", "GET", path_to(group, version, None))
                if plural not in {resource["name"] for resource in served.get("resources", ())}:
                    return False
            listed = await ask(self._api, "discover", "GET", "/apis/")
        except ClusterError:
            return False
        return {"batch", names.GROUP} <= {group["name"] for group in listed.get("groups", ())}

    async def _write(
        self, verb: str, resource: str, path: str, body: Document, query: dict[str, str] | None = None
    ) -> Document:
        self._may_write()
        method, content_type = _METHODS[verb]
        try:
            document = await ask(self._api, f"{verb} {resource}", method, path, query, body, content_type=content_type)
        except ClusterError as error:
            self._wrote(verb, resource, type(error).__name__)
            raise
        self._wrote(verb, resource, "Done")
        return document
