"""The control groups that the cluster's containers live in: a root of its own, so that every process found below it is ours.

A second kubelet on the machine (a kind or k3s user's) keeps its own root; neither touches the other's containers.
"""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

from tests.cluster.embedded.processes import kill_until_gone


def create(name: str) -> None:
    """Make an empty group of this name in every hierarchy, v1 and v2."""
    for hierarchy in _hierarchies():
        group = hierarchy / name
        group.mkdir(exist_ok=True)
        # A cpuset group of v1 takes no process until it has CPUs and memory nodes.
        for file in ("cpuset.cpus", "cpuset.mems"):
            with contextlib.suppress(OSError):
                (group / file).write_text((hierarchy / file).read_text(encoding="utf-8"), encoding="utf-8")


def remove(name: str) -> None:
    """Kill what lives in the group or below it, and remove it."""
    kill_until_gone(lambda: _members(name))
    for hierarchy in _hierarchies():
        group = hierarchy / name
        for folder in sorted(group.rglob("*/"), key=lambda path: len(path.parts), reverse=True):
            with contextlib.suppress(FileNotFoundError):
                folder.rmdir()
        with contextlib.suppress(FileNotFoundError):
            group.rmdir()


def _members(name: str) -> Iterator[int]:
    for hierarchy in _hierarchies():
        for file in (hierarchy / name).rglob("cgroup.procs"):
            with contextlib.suppress(OSError):
                yield from (int(pid) for pid in file.read_text(encoding="utf-8").split())


def _hierarchies() -> list[Path]:
    mounts = Path("/proc/mounts").read_text(encoding="utf-8")
    return [Path(found) for found in re.findall(r"^\S+ (\S+) cgroup2? ", mounts, re.MULTILINE)]
