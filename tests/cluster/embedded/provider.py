"""The embedded cluster as the tests' provider."""

import os
from contextlib import ExitStack
from pathlib import Path

from tests.cluster.embedded import images, network, volumes
from tests.cluster.embedded.catalog import Image
from tests.cluster.embedded.cluster import EmbeddedCluster, whole_session
from tests.cluster.embedded.errors import ClusterError
from tests.cluster.embedded.layout import NODE_NAME
from tests.cluster.providers import Volume


class EmbeddedProvider:
    """A cluster started by the tests themselves. DBMIGRATION_KEEP_CLUSTER=1 uses the one that a kept session left.

    Two sessions at once take turns, for a machine has room for one such cluster. The workers of one test run share a kept one.
    """

    node_name = NODE_NAME
    node_address = network.NODE_ADDRESS

    def __init__(self) -> None:
        self.cluster = EmbeddedCluster()
        self._turn = ExitStack()
        self._has_turn = False
        self.kubeconfig: Path = self.cluster.layout.kubeconfig
        self.audit_log: Path | None = self.cluster.layout.audit_log

    def up(self) -> None:
        is_kept = os.environ.get("DBMIGRATION_KEEP_CLUSTER") == "1"
        is_worker = is_kept and "PYTEST_XDIST_WORKER" in os.environ
        self._turn.enter_context(whole_session(shared=is_worker))
        self._has_turn = not is_worker
        if is_kept and self.cluster.is_up:
            return
        if is_worker:
            raise ClusterError("Workers share a cluster that is up. Start it: python -m tests.cluster.embedded up")
        self.cluster.up()

    def down(self) -> None:
        # Who is interrupted while it waits for its turn would take away the cluster of the session that it waits for.
        if self._has_turn:
            with self._turn:
                self._has_turn = False
                self.cluster.down()

    def provide(self, image: Image) -> str:
        (archive,) = images.archives_of([image]).values()
        self.cluster.load(archive)
        return image.reference

    def volume(self, namespace: str, claim: str, size_mib: int | None) -> Volume:
        folder = self.cluster.layout.volumes / f"{namespace}-{claim}"
        volumes.make_folder(folder, size_mib)
        return Volume(claim, volumes.manifests(namespace, claim, folder, size_mib, NODE_NAME), folder)
