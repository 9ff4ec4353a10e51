"""One DatabaseRestore as the caches hold it: parsed once, small, frozen.

What cannot be parsed is kept as the sentence that says why. It must not judge what it orders.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dbmigration.api import names
from dbmigration.api.database_restore import RestoreSpec, RestoreStatus
from dbmigration.cluster.objects import Key, is_deleting, key_of, uid_of, version_of
from dbmigration.cluster.resource import fields_of
from dbmigration.lifecycle.observed import OrderView


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What was seen of it. `migration` is whose database it is, also where nothing else of it can be read."""

    key: Key
    uid: str
    version: int
    generation: int
    created_at: str
    migration: Key
    spec: RestoreSpec | None
    status: RestoreStatus | None
    fault: str = ""
    deleting: bool = False

    @property
    def view(self) -> OrderView | None:
        """As the lifecycle sees it; None where it has ended, goes away, or cannot be read."""
        if self.spec is None or self.status is None or self.deleting or self.status.has_ended:
            return None
        return OrderView(
            self.key.name, self.uid, self.generation, self.spec.backup, self.spec.accept_data_loss, self.status
        )

    @property
    def reference(self) -> dict[str, Any]:
        """How an Event names it."""
        return {
            "apiVersion": names.API_VERSION,
            "kind": names.RESTORE_KIND,
            "name": self.key.name,
            "namespace": self.key.namespace,
            "uid": self.uid,
            "resourceVersion": str(self.version),
        }

    @classmethod
    def parse(cls, document: dict[str, Any]) -> Order:
        """Read an order as the API server sends it; never raises for what a user wrote."""
        metadata, key = document["metadata"], key_of(document)
        spec, status, fault = None, None, ""
        try:
            status = RestoreStatus.parse(document.get("status") or {})
            spec = RestoreSpec.parse(document.get("spec") or {})
        except ValueError as error:
            fault = fields_of(error)
        return cls(
            key=key,
            uid=uid_of(document),
            version=version_of(document),
            generation=metadata.get("generation", 0),
            created_at=metadata.get("creationTimestamp") or "",
            migration=migration_of(document),
            spec=spec,
            status=status,
            fault=fault,
            deleting=is_deleting(document),
        )


def migration_of(document: dict[str, Any]) -> Key:
    """The DatabaseMigration that it names."""
    reference = (document.get("spec") or {}).get("migrationRef") or {}
    return Key(key_of(document).namespace, str(reference.get("name", "")))
