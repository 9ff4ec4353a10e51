"""Everything that the operator reads from the API server and writes to it, call by call.

Each call is bounded in time, takes and gives plain documents, and raises ClusterError. Every write asks first whether this
process may still write, and is counted. It must not decide, retry or remember anything.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from kubernetes.aio import client

from dbmigration.api import names
from dbmigration.cluster.calls import MERGE_PATCH, TIMEOUT_SECONDS, Document, ask, ask_text
from dbmigration.cluster.errors import ClusterError

OURS = f"{names.LABEL_MANAGED_BY}={names.MANAGED_BY},{names.LABEL_UID}"
NOTE_CHARACTERS = 1024  # the API server refuses a longer one
_PAGE = 500
_LOG_BYTES = 64 * 1024
_LOG_LINES = 40


class Kind(Enum):
    """What is listed and watched: group, version, plural, and the selector that goes to the server."""

    RESOURCES = (names.GROUP, names.VERSION, names.PLURAL, None)
    JOBS = ("batch", "v1", "jobs", OURS)
    PODS = ("", "v1", "pods", OURS)

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
        self._objects = client.CustomObjectsApi(api)
        self._core = client.CoreV1Api(api)
        self._reporter = reporter
        self._may_write = may_write
        self._wrote = wrote

    # Our resource.

    async def read_resource(self, namespace: str, name: str) -> Document:
        """The resource as it is now."""
        request = self._objects.get_namespaced_custom_object_without_preload_content(
            names.GROUP, names.VERSION, namespace, names.PLURAL, name, _request_timeout=TIMEOUT_SECONDS
        )
        return await ask(f"get {names.PLURAL}", request)

    async def patch_status(self, namespace: str, name: str, version: str, patch: Document) -> Document:
        """Merge a patch into the status of exactly this version of the resource."""
        body = {"metadata": {"resourceVersion": version}, "status": patch}
        request = self._objects.patch_namespaced_custom_object_status_without_preload_content
        arguments = (names.GROUP, names.VERSION, namespace, names.PLURAL, name, body)
        return await self._write(
            "patch",
            f"{names.PLURAL}/status",
            lambda: request(*arguments, _content_type=MERGE_PATCH, _request_timeout=TIMEOUT_SECONDS),
        )

    async def patch_finalizers(self, namespace: str, name: str, version: str, finalizers: list[str]) -> Document:
        """Set the finalizers of exactly this version of the resource."""
        body = {"metadata": {"resourceVersion": version, "finalizers": finalizers or None}}
        request = self._objects.patch_namespaced_custom_object_without_preload_content
        arguments = (names.GROUP, names.VERSION, namespace, names.PLURAL, name, body)
        return await self._write(
            "patch",
            names.PLURAL,
            lambda: request(*arguments, _content_type=MERGE_PATCH, _request_timeout=TIMEOUT_SECONDS),
        )

    # Jobs and what belongs to them.

    async def create_job(self, manifest: Document) -> Document:
        """Create a Job; the server, not the client, checks every field, so that a user reads the server's words."""
        request = self._objects.create_namespaced_custom_object_without_preload_content
        namespace = manifest["metadata"]["namespace"]
        return await self._write(
            "create",
            "jobs",
            lambda: request(
                "batch", "v1", namespace, "jobs", manifest, field_validation="Strict", _request_timeout=TIMEOUT_SECONDS
            ),
        )

    async def read_job(self, namespace: str, name: str) -> Document:
        """A Job as it is now."""
        request = self._objects.get_namespaced_custom_object_without_preload_content(
            "batch", "v1", namespace, "jobs", name, _request_timeout=TIMEOUT_SECONDS
        )
        return await ask("get jobs", request)

    async def delete_job(self, namespace: str, name: str, uid: str) -> None:
        """Delete exactly this Job and its Pods; without a propagation policy the Pods would stay."""
        request = self._objects.delete_namespaced_custom_object_without_preload_content
        options = client.V1DeleteOptions(preconditions=client.V1Preconditions(uid=uid), propagation_policy="Background")
        await self._write(
            "delete",
            "jobs",
            lambda: request("batch", "v1", namespace, "jobs", name, body=options, _request_timeout=TIMEOUT_SECONDS),
        )

    async def pods_of(self, namespace: str, selector: str) -> tuple[Document, ...]:
        """The Pods that carry these labels, as they are now."""
        request = self._core.list_namespaced_pod_without_preload_content(
            namespace, label_selector=selector, _request_timeout=TIMEOUT_SECONDS
        )
        return tuple((await ask("list pods", request)).get("items", ()))

    async def log_tail(self, namespace: str, pod: str, container: str) -> str:
        """The last lines that a container printed."""
        request = self._core.read_namespaced_pod_log_without_preload_content(
            pod,
            namespace,
            container=container,
            tail_lines=_LOG_LINES,
            limit_bytes=_LOG_BYTES,
            _request_timeout=TIMEOUT_SECONDS,
        )
        return await ask_text("get pods/log", request)

    # Events.

    async def events_about(self, namespace: str, uid: str) -> tuple[Document, ...]:
        """What was told about an object; some causes stand nowhere else."""
        request = self._objects.list_namespaced_custom_object_without_preload_content(
            "events.k8s.io",
            "v1",
            namespace,
            "events",
            field_selector=f"regarding.uid={uid}",
            _request_timeout=TIMEOUT_SECONDS,
        )
        return tuple((await ask("list events", request)).get("items", ()))

    async def create_event(
        self, regarding: Document, *, name: str, reason: str, action: str, note: str, warning: bool
    ) -> None:
        """Tell something about an object; a name that is derived from what is told makes it told once."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        event = {
            "apiVersion": "events.k8s.io/v1",
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
        request = self._objects.create_namespaced_custom_object_without_preload_content
        arguments = ("events.k8s.io", "v1", regarding["namespace"], "events", event)
        await self._write("create", "events", lambda: request(*arguments, _request_timeout=TIMEOUT_SECONDS))

    # Whole kinds.

    async def list_all(self, kind: Kind, namespace: str | None) -> Listing:
        """Every object of a kind in a namespace, or in all of them; page by page."""
        items: list[Document] = []
        following, version = None, ""
        while following is None or following:
            page = await ask(f"list {kind.plural}", self._page(kind, namespace, following))
            metadata = page.get("metadata", {})
            items += page.get("items", ())
            version = version or metadata.get("resourceVersion", "")
            following = metadata.get("continue") or ""
        return Listing(tuple(items), version)

    def _page(self, kind: Kind, namespace: str | None, following: str | None) -> Awaitable[Any]:
        group, version, plural, selector = kind.value
        options: dict[str, Any] = {"limit": _PAGE, "_request_timeout": 3 * TIMEOUT_SECONDS}
        options |= {"label_selector": selector} if selector else {}
        options |= {"_continue": following} if following else {}
        request: Awaitable[Any]
        if group and namespace:
            request = self._objects.list_namespaced_custom_object_without_preload_content(
                group, version, namespace, plural, **options
            )
        elif group:
            request = self._objects.list_custom_object_for_all_namespaces_without_preload_content(
                group, version, plural, **options
            )
        elif namespace:
            request = self._core.list_namespaced_pod_without_preload_content(namespace, **options)
        else:
            request = self._core.list_pod_for_all_namespaces_without_preload_content(**options)
        return request

    async def serves_our_kinds(self) -> bool:
        """Are Jobs and our resource served? A server that comes up answers before it knows all of its own kinds."""
        for group, version, plural in (("batch", "v1", "jobs"), (names.GROUP, names.VERSION, names.PLURAL)):
            request = self._objects.get_api_resources_without_preload_content(
                group, version, _request_timeout=TIMEOUT_SECONDS
            )
            try:
                served = await ask("discover", request)
            except ClusterError:
                return False
            if plural not in {resource["name"] for resource in served.get("resources", ())}:
                return False
        listed = await ask(
            "discover",
            client.ApisApi(self._api).get_api_versions_without_preload_content(_request_timeout=TIMEOUT_SECONDS),
        )
        return {"batch", names.GROUP} <= {group["name"] for group in listed.get("groups", ())}

    async def _write(self, verb: str, resource: str, request: Callable[[], Awaitable[Any]]) -> Document:
        self._may_write()
        try:
            document = await ask(f"{verb} {resource}", request())
        except ClusterError as error:
            self._wrote(verb, resource, type(error).__name__)
            raise
        self._wrote(verb, resource, "Done")
        return document
