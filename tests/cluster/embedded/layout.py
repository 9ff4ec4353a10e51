"""Where a cluster keeps its files. Everything but the logs and the loaded images goes when the cluster goes."""

from dataclasses import dataclass
from pathlib import Path

from tests.cluster.embedded import cache

AUDIT_POLICY = Path(__file__).with_name("audit-policy.yaml")

NODE_NAME = "n1"


@dataclass(frozen=True, slots=True)
class Layout:
    """The files of the one cluster that a cache folder can hold."""

    root: Path

    @property
    def name(self) -> str:
        """Of its control group and Pod network: a sweep of this folder never ends what belongs to another's."""
        return f"dbmigration-test-{cache.key_of(str(self.root))}"

    @property
    def state(self) -> Path:
        return self.root / "state"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def image_store(self) -> Path:
        """Containerd's content: taking in an archive costs seconds, so what was taken in once serves the next cluster."""
        return self.root / "image-store"

    @property
    def records(self) -> Path:
        return self.root / "processes"

    @property
    def volumes(self) -> Path:
        return self.state / "volumes"

    @property
    def volume_plugins(self) -> Path:
        return self.state / "volume-plugins"

    @property
    def certificates(self) -> Path:
        return self.state / "certificates"

    @property
    def configuration(self) -> Path:
        return self.state / "configuration"

    @property
    def containerd_socket(self) -> Path:
        return self.state / "containerd.sock"

    @property
    def pod_logs(self) -> Path:
        return self.state / "pod-logs"

    @property
    def kubeconfig(self) -> Path:
        return self.root / "kubeconfig"

    @property
    def audit_log(self) -> Path:
        return self.logs / "audit.log"


def current() -> Layout:
    """The layout below today's cache folder."""
    return Layout(cache.folder() / "cluster")
