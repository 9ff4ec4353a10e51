"""The Docker engine that builds images: one of our own for the embedded cluster, or the machine's.

Ours is started by hand only while something must be built. It has no bridge and touches no packet filter (builds use the
host's network): an engine that does sets the FORWARD chain to DROP and cuts off every Pod of the cluster.
"""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.embedded import cache, cgroups, mounts, programs
from tests.cluster.embedded.errors import ClusterError
from tests.cluster.embedded.processes import Processes, wait_until


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine that answers, reached through this client command."""

    client: tuple[str, ...]

    def has(self, reference: str) -> bool:
        return self._succeeds("image", "inspect", reference)

    def id_of(self, reference: str) -> str:
        """The first half of the digest that names the image's content."""
        return self._run("image", "inspect", "--format", "{{.Id}}", reference).strip().removeprefix("sha256:")[:32]

    def build(self, reference: str, context: bytes, *, target: str | None, arguments: Mapping[str, str]) -> None:
        """Build an image from a context that is given whole, as a tar: nothing else of the tree can get in."""
        options = ["--network", "host", "--force-rm", "--tag", reference]
        if target:
            options += ["--target", target]
        for name, value in arguments.items():
            options += ["--build-arg", f"{name}={value}"]
        self._run("build", *options, "-", what=reference, given=context)

    def import_filesystem(self, reference: str, archive: Path, *changes: str) -> None:
        """Make an image of one layer from a tar of its files."""
        options = [item for change in changes for item in ("--change", change)]
        self._run("import", *options, str(archive), reference, what=reference)

    def save(self, reference: str, archive: Path) -> None:
        """Write the image, with all its layers, into one archive."""
        with cache.published(archive) as unfinished:
            self._run("save", "--output", str(unfinished), reference, what=reference)

    def forget_leftovers(self) -> None:
        """Delete images without a name, but not last week's: stages that are copied from have none, and serve as cache."""
        self._run("image", "prune", "--force", "--filter", "until=168h")

    def answers(self) -> bool:
        return self._succeeds("version")

    def _succeeds(self, *arguments: str) -> bool:
        return self._call(*arguments).returncode == 0

    def _run(self, *arguments: str, what: str = "", given: bytes | None = None) -> str:
        ended = self._call(*arguments, given=given)
        if ended.returncode:
            last_words = "\n".join(ended.stdout.decode(errors="replace").splitlines()[-40:])
            raise ClusterError(f"docker {arguments[0]} {what} failed:\n{last_words}")
        return ended.stdout.decode(errors="replace")

    def _call(self, *arguments: str, given: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
        # The classic builder is in every engine and client; BuildKit needs a plugin that Debian ships apart.
        return subprocess.run(
            [*self.client, *arguments],
            input=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=os.environ | {"DOCKER_BUILDKIT": "0"},
            check=False,
        )


def of_this_machine() -> Engine:
    """The engine that the machine's own client reaches; raises ClusterError where there is none."""
    engine = Engine((str(programs.find("docker")),))
    if not engine.answers():
        raise ClusterError("The docker client reaches no engine. Start Docker, or set DOCKER_HOST to one that runs.")
    return engine


@contextmanager
def of_our_own() -> Iterator[Engine]:
    """Start an engine with a store of its own in the cache, and end it with everything that it started."""
    programs.need_for_images()
    with cache.lock("engine"):
        _sweep()
        try:
            yield _start()
        finally:
            _sweep()


def end_what_is_left() -> None:
    """End an engine whose starter was killed; one that is at work is left alone."""
    if _home().exists():
        with contextlib.suppress(BlockingIOError), cache.lock("engine", wait=False):
            _sweep()


def _home() -> Path:
    return cache.folder() / "engine"


def _cgroup() -> str:
    return f"dbmigration-test-{cache.key_of(str(_home()))}"


def _processes() -> Processes:
    return Processes(_home() / "processes", _home() / "logs")


def _start() -> Engine:
    home, processes = _home(), _processes()
    mounts.remove_tree(home / "logs")
    running = home / "running"
    running.mkdir(parents=True)
    cgroups.create(_cgroup())
    address = f"unix://{running}/docker.sock"
    engine = Engine((str(programs.find("docker")), "--host", address))
    processes.start(
        "dockerd",
        programs.find("dockerd"),
        f"--host={address}",
        f"--data-root={home / 'store'}",
        f"--exec-root={running}",
        f"--pidfile={running / 'dockerd.pid'}",
        f"--cgroup-parent=/{_cgroup()}",
        "--bridge=none",
        "--iptables=false",
        "--ip6tables=false",
    )
    wait_until(engine.answers, "Docker's engine", processes)
    return engine


def _sweep() -> None:
    _processes().kill_all(signal.SIGTERM)
    cgroups.remove(_cgroup())
    mounts.remove_tree(_home() / "running")
    mounts.unmount(_home())
