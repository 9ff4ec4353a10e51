"""The cluster's own binaries, built from the Go modules beside this package and kept in the cache by what went into them."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.embedded import cache, programs
from tests.cluster.embedded.errors import ClusterError

_MODULES = Path(__file__).resolve().parents[1]

VERSION = "v1.36.3"


def _stamp(package: str) -> str:
    """What a release build links in. Without it the server calls itself v0.0.0-master and kubectl refuses it."""
    major, minor, _ = VERSION.removeprefix("v").split(".")
    values = {
        "gitVersion": VERSION,
        "gitMajor": major,
        "gitMinor": minor,
        "gitCommit": "0",
        "gitTreeState": "clean",
        "buildDate": "2026-01-01T00:00:00Z",
    }
    return " ".join(f"-X {package}.{name}={value}" for name, value in values.items())


@dataclass(frozen=True, slots=True)
class GoProgram:
    """A main module of this folder: its go.mod, go.sum and main.go are all there is of it."""

    name: str
    link_flags: str

    @property
    def sources(self) -> Path:
        return _MODULES / self.name

    @property
    def path(self) -> Path:
        """Where the binary is, or will be once it is built."""
        inputs = [(self.sources / file).read_bytes() for file in ("go.mod", "go.sum", "main.go")]
        return cache.folder() / "binaries" / f"{self.name}-{cache.key_of(*inputs, *self._command)}"

    @property
    def _command(self) -> tuple[str, ...]:
        return ("build", "-trimpath", "-buildvcs=false", "-ldflags", self.link_flags)


KUBERNETES = GoProgram(
    "kubernetes",
    f"-s -w {_stamp('k8s.io/component-base/version')} {_stamp('k8s.io/client-go/pkg/version')}",
)
COREDNS = GoProgram("coredns", "-s -w")


def build(program: GoProgram) -> Path:
    """The program's binary; built if this version of it is not there yet (minutes), found otherwise (at once)."""
    if program.path.exists():
        return program.path
    programs.need_for_binaries()
    with cache.lock(f"build-{program.name}"):
        if program.path.exists():
            return program.path
        print(f"Building {program.name} from its Go modules; the first time this takes minutes.", file=sys.stderr)
        with cache.published(program.path) as unfinished:
            ended = subprocess.run(
                [programs.find("go"), *program._command, "-o", unfinished, "."],  # noqa: SLF001
                cwd=program.sources,
                env=os.environ | {"CGO_ENABLED": "0", "GOFLAGS": "", "GOWORK": "off"},
                check=False,
            )
            if ended.returncode:
                raise ClusterError(f"Building {program.name} failed; the compiler's message stands above.")
        cache.keep_newest(f"{program.name}-*", program.path.parent)
    return program.path
