"""One DatabaseMigration as the caches hold it: parsed once, small, frozen.

What cannot be parsed is kept as the sentence that says why. It must not judge what a resource asks for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from dbmigration.api import names
from dbmigration.api.spec import MigrationSpec
from dbmigration.api.status import Status
from dbmigration.cluster.objects import Key, is_deleting, key_of, uid_of, version_of

_FAULT_CHARACTERS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """What was seen of it. `spec` or `status` is None where its fault says why."""

    key: Key
    uid: str
    version: int
    generation: int
    spec: MigrationSpec | None
    status: Status | None
    fault: str = ""
    deleting: bool = False
    finalizers: tuple[str, ...] = ()
    retry: str = ""
    cancel: str = ""

    @property
    def has_finalizer(self) -> bool:
        """Do we hold it?"""
        return names.FINALIZER in self.finalizers

    @property
    def reference(self) -> dict[str, Any]:
        """How an Event or an owner's reference names it."""
        return {"apiVersion": names.API_VERSION, "kind": names.KIND, "name": self.key.name, "uid": self.uid}

    @classmethod
    def parse(cls, document: dict[str, Any]) -> Resource:
        """Read a resource as the API server sends it; never raises for what a user wrote."""
        metadata = document["metadata"]
        annotations = metadata.get("annotations") or {}
        spec, status, fault = None, None, ""
        try:
            status = Status.parse(document.get("status") or {})
            spec = MigrationSpec.parse(document.get("spec") or {})
        except ValueError as error:
            fault = fields_of(error)
        return cls(
            key=key_of(document),
            uid=uid_of(document),
            version=version_of(document),
            generation=metadata.get("generation", 0),
            spec=spec,
            status=status,
            fault=fault,
            deleting=is_deleting(document),
            finalizers=tuple(metadata.get("finalizers") or ()),
            retry=annotations.get(names.ANNOTATION_RETRY, "")[:256],
            cancel=annotations.get(names.ANNOTATION_CANCEL, "")[:256],
        )


def fields_of(error: ValueError) -> str:
    """Which fields are wrong and what they may be; never what they held, which may be a secret in the wrong place."""
    lines = str(error).splitlines()[1:] or [type(error).__name__]
    told = [re.sub(r"\s*\[type=.*", "", line).strip() for line in lines if "errors.pydantic.dev" not in line]
    pairs = [f"spec.{field}: {fault}" for field, fault in zip(told[::2], told[1::2], strict=False)] or told
    return "; ".join(pairs)[:_FAULT_CHARACTERS]
