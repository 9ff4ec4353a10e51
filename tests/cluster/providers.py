"""Where a cluster comes from: `DBMIGRATION_TEST_CLUSTER` is embedded (the default), kind, or context.

What a provider cannot give it refuses with the reason; no test is quietly left out.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tests.cluster.embedded.catalog import Image
from tests.cluster.embedded.errors import ClusterError


@dataclass(frozen=True, slots=True)
class Volume:
    """A claim to apply, with the volume behind it where the test makes that too."""

    claim: str
    manifests: tuple[Mapping[str, Any], ...]
    folder: Path | None  # its content as this machine sees it, where it does


class Provider(Protocol):
    """A cluster that can be brought up for a test session. What it tells of itself holds once `up` has returned."""

    node_name: str
    node_address: str
    kubeconfig: Path
    audit_log: Path | None

    def up(self) -> None:
        """Bring the cluster up; raises ClusterError that says what is missing."""
        ...

    def down(self) -> None:
        """Take down what `up` brought up."""
        ...

    def provide(self, image: Image) -> str:
        """Build the image if it changed, make it available to the nodes, and return its name there."""
        ...

    def volume(self, namespace: str, claim: str, size_mib: int | None) -> Volume:
        """Prepare a volume for a claim; with a size, one that is full after so many MiB."""
        ...


def chosen() -> Provider:
    """The provider that the environment asks for; raises ClusterError when it asks for none that there is."""
    # Imported here, for each of them is made of this module's types.
    match os.environ.get("DBMIGRATION_TEST_CLUSTER") or "embedded":
        case "embedded":
            from tests.cluster.embedded.provider import EmbeddedProvider  # noqa: PLC0415

            return EmbeddedProvider()
        case "kind":
            from tests.cluster.kind import KindProvider  # noqa: PLC0415

            return KindProvider()
        case "context":
            from tests.cluster.context import ContextProvider  # noqa: PLC0415

            return ContextProvider()
        case other:
            raise ClusterError(f"DBMIGRATION_TEST_CLUSTER is {other!r}; it must be embedded, kind or context.")


def claim_of_default_class(namespace: str, claim: str, size_mib: int | None) -> Volume:
    """A claim that the cluster's own provisioner serves, for providers whose disks are out of reach."""
    if size_mib is not None:
        raise ClusterError("A volume that is full after so many MiB can only be made in the embedded cluster.")
    manifest = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": claim, "namespace": namespace},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    return Volume(claim, (manifest,), None)
