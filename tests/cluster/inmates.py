"""The processes of a Pod's containers, where this machine is its node: to be killed as a kernel without memory would."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Inmate:
    """A process of a container, as this machine sees it."""

    pid: int
    pid_inside: int
    command: bytes


def inmates(pod_uid: str) -> Iterator[Inmate]:
    """Every process of the Pod's containers."""
    spellings = (pod_uid, pod_uid.replace("-", "_"))
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if any(spelling in (folder / "cgroup").read_text() for spelling in spellings):
                inside = next(line for line in (folder / "status").read_text().splitlines() if "NSpid:" in line)
                yield Inmate(int(folder.name), int(inside.split()[-1]), (folder / "cmdline").read_bytes())


def runner(pod_uid: str) -> int:
    """The program of a step's Pod, by its number on this machine."""
    (found,) = (there.pid for there in inmates(pod_uid) if there.pid_inside == 1 and b"dbmigration" in there.command)
    return found


def kill(pod_uid: str, wanted: Callable[[Inmate], bool]) -> None:
    """End those of the Pod's processes by SIGKILL; with the first process of a container the kernel ends all others."""
    there = list(inmates(pod_uid))
    found = [inmate for inmate in there if wanted(inmate)]
    assert found, f"This machine sees no such process of the Pod: {there}"
    for inmate in found:
        os.kill(inmate.pid, signal.SIGKILL)
