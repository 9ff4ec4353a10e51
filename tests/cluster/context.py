"""A cluster that somebody else runs, reached by the current context of the kubeconfig, as the tests' provider."""

import os
import subprocess
import sys
from pathlib import Path

from tests.cluster.embedded import images, programs
from tests.cluster.embedded.catalog import Image
from tests.cluster.embedded.errors import ClusterError
from tests.cluster.providers import Volume, claim_of_default_class


class ContextProvider:
    """Needs DBMIGRATION_TEST_IMAGE_REGISTRY: a registry that this machine can push to and the nodes can pull from."""

    def __init__(self) -> None:
        self.audit_log: Path | None = None
        configured = os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
        self.kubeconfig = Path(configured.split(":")[0])
        self.node_name = ""
        self.node_address = ""
        self._pushed: set[Path] = set()

    def up(self) -> None:
        if not self.kubeconfig.exists():
            raise ClusterError(
                f"There is no kubeconfig at {self.kubeconfig}. Set KUBECONFIG to the cluster to test on."
            )
        address = '{.items[0].metadata.name} {.items[0].status.addresses[?(@.type=="InternalIP")].address}'
        kubectl = Path(sys.executable).with_name("kubectl")
        ended = subprocess.run(
            [kubectl, "--kubeconfig", self.kubeconfig, "get", "nodes", "--output", f"jsonpath={address}"],
            capture_output=True,
            text=True,
            check=False,
        )
        if ended.returncode:
            raise ClusterError(f"The cluster of {self.kubeconfig} does not answer: {ended.stderr.strip()}")
        self.node_name, self.node_address = ended.stdout.split()[:2]

    def down(self) -> None:
        """Nothing: the cluster is not ours."""

    def provide(self, image: Image) -> str:
        registry = os.environ.get("DBMIGRATION_TEST_IMAGE_REGISTRY")
        if not registry:
            raise ClusterError(
                "DBMIGRATION_TEST_IMAGE_REGISTRY is not set. Name a registry that this machine can push to and the "
                "cluster's nodes can pull from."
            )
        (archive,) = images.archives_by_this_machine([image]).values()
        reference = f"{registry.rstrip('/')}/{image.reference}"
        if archive not in self._pushed:
            programs.run("docker", "load", "--input", archive)
            programs.run("docker", "tag", image.reference, reference)
            programs.run("docker", "push", reference)
            self._pushed.add(archive)
        return reference

    def volume(self, namespace: str, claim: str, size_mib: int | None) -> Volume:
        return claim_of_default_class(namespace, claim, size_mib)
