"""Where a step finds its things, and the volumes that put them there.

The same paths are told to the runner in its task and mounted by its Pod; both are made here. It must not know the rest of a Pod.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from dbmigration.api.spec import MigrationSpec, UrlSource
from dbmigration.lifecycle.observed import Places

URL_DIRECTORY = "/etc/dbmigration/url"
TLS_DIRECTORY = "/etc/dbmigration/tls"
BACKUPS_DIRECTORY = "/backups"
PROJECT_DIRECTORY = "/project"
SOURCE_DIRECTORY = "/source"
RUNNER_DIRECTORY = "/dbm"

# Readable by the Pod's group, which it always has, and by nobody else.
_SECRET_MODE = 0o440

Document = dict[str, Any]


def places(spec: MigrationSpec, name: str) -> Places:
    """The paths as every step of this resource sees them."""
    storage = spec.backup.storage
    folder = storage.persistent_volume_claim.path.strip("/") if storage else ""
    return Places(
        url_file=f"{URL_DIRECTORY}/url",
        project=spec.migrations.path if spec.migrations.source.image else PROJECT_DIRECTORY,
        backups="/".join(part for part in (BACKUPS_DIRECTORY, folder, name) if part) if storage else "",
        admin_url_file=f"{URL_DIRECTORY}/admin-url" if spec.database.admin_url_from else None,
        tls_directory=TLS_DIRECTORY if spec.database.tls else None,
    )


@dataclass(slots=True)
class Mounts:
    """A Pod's volumes and one container's mounts, as they are collected."""

    volumes: list[Document] = field(default_factory=list)
    mounts: list[Document] = field(default_factory=list)

    def add(self, name: str, source: Document, path: str, *, read_only: bool = False) -> None:
        """Mount a volume; every name begins so that it cannot meet one of the user's."""
        self.volumes.append({"name": f"dbmigration-{name}", **source})
        self.mounts.append(mount(name, path, read_only=read_only))

    def add_claim(self, claim: str, path: str, *, read_only: bool = False) -> None:
        """Mount a claim. One that is there already gets a second mount, for a kubelet never mounts a claim's second volume."""
        known = next(
            (volume for volume in self.volumes if volume.get("persistentVolumeClaim", {}).get("claimName") == claim),
            None,
        )
        if known is None:
            known = {"name": f"dbmigration-claim-{len(self.volumes)}", "persistentVolumeClaim": {"claimName": claim}}
            self.volumes.append(known)
        self.mounts.append({"name": known["name"], "mountPath": path, **({"readOnly": True} if read_only else {})})


def mount(name: str, path: str, *, read_only: bool = False) -> Document:
    """A container's view of one of our volumes."""
    return {"name": f"dbmigration-{name}", "mountPath": path, **({"readOnly": True} if read_only else {})}


def database_mounts(spec: MigrationSpec, *, administered: bool = False) -> Mounts:
    """What every step needs to reach the database; the administrator's URL only for those that it is for."""
    made = Mounts()
    sources = [_secret_key(spec.database.url_from, "url")]
    if administered and spec.database.admin_url_from is not None:
        sources.append(_secret_key(spec.database.admin_url_from, "admin-url"))
    made.add("url", {"projected": {"defaultMode": _SECRET_MODE, "sources": sources}}, URL_DIRECTORY, read_only=True)
    if spec.database.tls is not None:
        secret = {"secretName": spec.database.tls.secret_ref.name, "defaultMode": _SECRET_MODE}
        made.add("tls", {"secret": secret}, TLS_DIRECTORY, read_only=True)
    if spec.database.persistent_volume_claim is not None:
        made.add_claim(
            spec.database.persistent_volume_claim.claim_name, spec.database.persistent_volume_claim.mount_path
        )
    return made


def _secret_key(source: UrlSource, path: str) -> Document:
    reference = source.secret_key_ref
    return {"secret": {"name": reference.name, "items": [{"key": reference.key, "path": path}]}}
