"""The few facts of an API object's metadata that everything here needs, and the object without what nobody needs.

Pure. It must not know any kind of object but by its metadata.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from dbmigration.api import names

Document = dict[str, Any]

_METADATA_KEPT = (
    "namespace",
    "name",
    "uid",
    "resourceVersion",
    "labels",
    "creationTimestamp",
    "deletionTimestamp",
    "ownerReferences",
)


class Key(NamedTuple):
    """One object of a kind."""

    namespace: str
    name: str


def key_of(document: Document) -> Key:
    """Namespace and name."""
    metadata = document["metadata"]
    return Key(metadata.get("namespace", ""), metadata["name"])


def uid_of(document: Document) -> str:
    """The object's own uid."""
    return str(document["metadata"].get("uid", ""))


def owner_uid_of(document: Document) -> str:
    """The uid of the DatabaseMigration that a Job or Pod was made for."""
    return str(labels_of(document).get(names.LABEL_UID, ""))


def owner_key_of(document: Document) -> Key:
    """The DatabaseMigration that a Job or Pod was made for, by its labels."""
    return Key(key_of(document).namespace, str(labels_of(document).get(names.LABEL_MIGRATION, "")))


def labels_of(document: Document) -> dict[str, str]:
    """The object's labels."""
    return document["metadata"].get("labels") or {}


def version_of(document: Document) -> int:
    """The resource version as a number; they are comparable since Kubernetes 1.35 and were so before in fact."""
    text = str(document["metadata"].get("resourceVersion", ""))
    return int(text) if text.isdecimal() else 0


def is_deleting(document: Document) -> bool:
    """Was it told to go?"""
    return bool(document["metadata"].get("deletionTimestamp"))


def created_at(document: Document) -> datetime | None:
    """When the API server made it; aware, UTC."""
    return read_time(document["metadata"].get("creationTimestamp"))


def read_time(text: str | None) -> datetime | None:
    """An RFC 3339 time of the API; None where there is none."""
    return datetime.fromisoformat(text) if text else None


def slim(document: Document) -> Document:
    """A Job or Pod with what is read of it: about a tenth of its size."""
    metadata = document["metadata"]
    kept = {name: metadata[name] for name in _METADATA_KEPT if name in metadata}
    images = [
        {"name": item["name"], "image": item.get("image", "")}
        for item in (document.get("spec") or {}).get("containers", ())
    ]
    return {"metadata": kept, "spec": {"containers": images}, "status": document.get("status") or {}}
