"""A cluster of kind (Kubernetes in Docker) as the tests' provider, made from the tree's own kind-config.yaml."""

import subprocess
from pathlib import Path

from tests.cluster.embedded import cache, images, programs
from tests.cluster.embedded.catalog import Image
from tests.cluster.embedded.errors import ClusterError
from tests.cluster.providers import Volume, claim_of_default_class

_NAME = "dbmigration-test"
_CONFIGURATION = cache.PROJECT / "kind-config.yaml"
# Where kind-config.yaml mounts the node's audit log.
_AUDIT_LOG = Path("/tmp/dbmigration-operator-audit/audit.log")


class KindProvider:
    """Needs `kind` and `docker`, and a registry that kind's node image can be pulled from."""

    node_name = f"{_NAME}-control-plane"

    def __init__(self) -> None:
        self.kubeconfig = cache.folder() / "kind" / "kubeconfig"
        self.audit_log: Path | None = _AUDIT_LOG
        self.node_address = ""
        self._loaded: set[Path] = set()

    def up(self) -> None:
        self.kubeconfig.parent.mkdir(parents=True, exist_ok=True)
        if _NAME not in self._kind("get", "clusters").split():
            # Paths in the configuration are relative to where kind is started.
            self._kind("create", "cluster", "--config", str(_CONFIGURATION), "--wait", "180s")
        self._kind("export", "kubeconfig")
        address = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        self.node_address = programs.run("docker", "inspect", "--format", address, self.node_name).strip()
        # The API server writes it as root, for itself alone.
        programs.run("docker", "exec", self.node_name, "chmod", "0644", "/var/log/kubernetes/audit.log")

    def down(self) -> None:
        self._kind("delete", "cluster")

    def provide(self, image: Image) -> str:
        (archive,) = images.archives_by_this_machine([image]).values()
        if archive not in self._loaded:
            self._kind("load", "image-archive", str(archive))
            self._loaded.add(archive)
        return image.reference

    def volume(self, namespace: str, claim: str, size_mib: int | None) -> Volume:
        return claim_of_default_class(namespace, claim, size_mib)

    def _kind(self, *arguments: str) -> str:
        for program in ("kind", "docker"):
            programs.find(program)
        options = [] if arguments[:2] == ("get", "clusters") else ["--name", _NAME]
        if "kubeconfig" in arguments or "create" in arguments or "delete" in arguments:
            options += ["--kubeconfig", str(self.kubeconfig)]
        ended = subprocess.run(
            [programs.find("kind"), *arguments, *options],
            cwd=cache.PROJECT,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        if ended.returncode:
            raise ClusterError(f"kind {' '.join(arguments)} failed; its message stands above.")
        return ended.stdout
