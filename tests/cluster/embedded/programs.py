"""The programs of this machine that the cluster is made of, found by path and installed when missing.

The lookup leaves PATH to the last: a machine may carry a Docker client of its own without an engine, and a package is
installed only for a program that is not there at all, so that a machine's own containerd or Docker is never replaced.
"""

import os
import shutil
import subprocess
from pathlib import Path

from tests.cluster.embedded.cache import PROJECT
from tests.cluster.embedded.errors import ClusterError

_FOLDERS = ("/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/sbin", "/usr/local/bin", "/usr/local/go/bin")

# Program, or pattern of a file, -> package of Debian and Ubuntu; `a|b` is the first that the release knows.
_NODE = {
    "containerd": "containerd",
    "runc": "runc",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
    "ip": "iproute2",
    "nft": "nftables",
    "mount": "mount",
    "mkfs.ext4": "e2fsprogs",
}
_IMAGES = {
    "dockerd": "docker.io",
    "docker": "docker-cli|docker.io",
    "iptables": "iptables",
    "debootstrap": "debootstrap",
    "/usr/share/keyrings/debian-archive-keyring.gpg": "debian-archive-keyring",
    "gcc": "gcc",
    "/usr/lib*/*/libc.a": "libc6-dev",
    "tar": "tar",
}
_BUILD = {"go": "golang-go"}


def find(name: str) -> Path:
    """The program's full path; raises ClusterError where the machine has none."""
    for folder in _FOLDERS:
        candidate = Path(folder, name)
        if os.access(candidate, os.X_OK):
            return candidate
    if found := shutil.which(name):
        return Path(found)
    raise ClusterError(f"The program {name} is missing. Install it where PATH finds it.")


def run(name: str, *arguments: str | Path, given: str = "") -> str:
    """What the program prints; raises ClusterError with its complaint when it fails."""
    ended = subprocess.run([find(name), *arguments], input=given, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise ClusterError(f"{name} {' '.join(map(str, arguments))} failed: {ended.stderr.strip()}")
    return ended.stdout


def need_for_the_node() -> None:
    """See to it that a node can run: containers, their network, their volumes."""
    _install(_NODE)


def need_for_images() -> None:
    """See to it that images can be built."""
    _install(_IMAGES)


def need_for_binaries() -> None:
    """See to it that Go programs can be built."""
    _install(_BUILD)


def _install(wanted: dict[str, str]) -> None:
    missing = [package for program, package in wanted.items() if not _present(program)]
    if not missing:
        return
    ended = subprocess.run([PROJECT / "scripts" / "install-packages", *missing], check=False)
    if ended.returncode:
        raise ClusterError(f"These packages are missing and could not be installed: {', '.join(missing)}.")


def _present(program: str) -> bool:
    if program.startswith("/"):
        return any(Path("/").glob(program.removeprefix("/")))
    try:
        find(program)
    except ClusterError:
        return False
    return True
