"""How a test talks to its cluster: kubectl with the right kubeconfig, images on demand, a namespace with its volumes."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml

from tests.cluster.audit import AuditLog
from tests.cluster.embedded.catalog import Image
from tests.cluster.providers import Provider, Volume
from tests.cluster.reading import Reader

Manifest = Mapping[str, Any]
Seen = TypeVar("Seen")
_LONGEST_PAUSE = 0.6


class KubectlError(Exception):
    """kubectl refused or failed; the message is what it said."""


class Cluster:
    """A running cluster, whoever provides it."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self.kubeconfig: Path = provider.kubeconfig
        self.node_name: str = provider.node_name
        self.node_address: str = provider.node_address
        self.audit_log: Path | None = provider.audit_log
        self.reader = Reader(provider.kubeconfig)

    @property
    def audit(self) -> AuditLog:
        """Who wrote what; raises LookupError where the provider gives no audit log."""
        if self.audit_log is None:
            raise LookupError("This cluster's audit log cannot be read. Use the embedded cluster or kind.")
        return AuditLog(self.audit_log, lambda path: self.kubectl("get", "--raw", path))

    def kubectl(self, *arguments: str, input: str | None = None, check: bool = True) -> str:  # noqa: A002
        """What kubectl prints. With check=False a failure is no error, and its message is part of what is returned."""
        program = Path(sys.executable).with_name("kubectl")
        ended = subprocess.run(
            [program, "--kubeconfig", self.kubeconfig, *arguments],
            input=input,
            capture_output=True,
            text=True,
            check=False,
        )
        if not check:
            return ended.stdout + ended.stderr
        if ended.returncode:
            raise KubectlError(f"kubectl {' '.join(arguments)}: {ended.stderr.strip()}")
        return ended.stdout

    def image(self, image: Image) -> str:
        """See to it that the node has this image, and return the reference that manifests must use."""
        return self.provider.provide(image)

    def apply(self, *manifests: Manifest) -> None:
        """Apply manifests; raises KubectlError when one is refused."""
        self.kubectl("apply", "--filename", "-", input=yaml.safe_dump_all(manifests))


@dataclass(frozen=True, slots=True)
class Namespace:
    """A namespace of its own for one test; Pod Security "restricted" is enforced in it."""

    name: str
    cluster: Cluster

    def __str__(self) -> str:
        return self.name

    def kubectl(self, *arguments: str, input: str | None = None, check: bool = True) -> str:  # noqa: A002
        """As the cluster's, in this namespace."""
        return self.cluster.kubectl("--namespace", self.name, *arguments, input=input, check=check)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """A kubectl that goes on beside the test, in this namespace; its standard input and output are pipes."""
        program = Path(sys.executable).with_name("kubectl")
        command = [program, "--kubeconfig", self.cluster.kubeconfig, "--namespace", self.name, *arguments]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def apply(self, *manifests: Manifest) -> None:
        """Apply manifests that name no namespace into this one."""
        self.kubectl("apply", "--filename", "-", input=yaml.safe_dump_all(manifests))

    def get(self, kind: str, name: str) -> dict[str, Any]:
        """One object, parsed; raises KubectlError when there is none."""
        try:
            return self.cluster.reader.read(self.name, kind, name)
        except (LookupError, OSError) as error:
            raise KubectlError(str(error)) from error

    def volume(self, claim: str, *, size_mib: int | None = None) -> Volume:
        """A bound claim of this name that a Pod of uid or fsGroup 65532 may write to; full after `size_mib`, if given."""
        volume = self.cluster.provider.volume(self.name, claim, size_mib)
        self.cluster.apply(*volume.manifests)
        return volume

    def wait_for_job(self, name: str, *, timeout: float = 120) -> dict[str, Any]:
        """The Job's Pod once it has ended, however; its container's state tells exit code and termination message."""

        def ended() -> dict[str, Any] | None:
            listed = self.kubectl("get", "pods", "--selector", f"job-name={name}", "--output", "json")
            pods = json.loads(listed)["items"]
            return next((pod for pod in pods if pod["status"].get("phase") in {"Succeeded", "Failed"}), None)

        return eventually(ended, f"The end of Job {name}", timeout=timeout)


def eventually(look: Callable[[], Seen | None], what: str, *, timeout: float = 60) -> Seen:
    """What `look` sees first that is true; raises TimeoutError after `timeout` seconds.

    A look is mostly a kubectl, which costs the machine more than most of what it waits for: what takes long is looked at seldom.
    """
    deadline = time.monotonic() + timeout
    pause = 0.1
    while not (seen := look()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not come within {timeout:.0f} s.")
        time.sleep(pause)
        pause = min(pause * 1.3, _LONGEST_PAUSE)
    return seen
