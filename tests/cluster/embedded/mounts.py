"""What is mounted below a folder, and its removal. A folder is only deleted once nothing is mounted in it any more."""

import re
import shutil
import subprocess
from pathlib import Path

from tests.cluster.embedded.errors import ClusterError
from tests.cluster.embedded.programs import find


def below(folder: Path) -> list[Path]:
    """Mount points below the folder, the innermost and latest first."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        escaped = line.split()[4]
        point = Path(re.sub(r"\\(\d{3})", lambda octal: chr(int(octal[1], 8)), escaped))
        if point.is_relative_to(folder):
            found.append(point)
    return found[::-1]


def unmount(folder: Path) -> None:
    """Unmount everything below the folder."""
    if points := below(folder):
        subprocess.run([find("umount"), "--lazy", *points], check=False, stderr=subprocess.DEVNULL)
    if left := below(folder):
        raise ClusterError(f"These stay mounted: {', '.join(map(str, left))}. See what holds them.")


def remove_tree(folder: Path) -> None:
    """Unmount everything below the folder, then delete it."""
    unmount(folder)
    if folder.exists():
        shutil.rmtree(folder)
