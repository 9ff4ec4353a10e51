"""Lays a ConfigMap's keys out as the files of a project: `python3 -m dbmigration_runner.unpack SOURCE TARGET`.

A key cannot hold a slash, so two underscores stand for one, except in `__init__.py`: `migrations__versions____init__.py`
is `migrations/versions/__init__.py`. It must not write outside of the target, whatever a key says, nor read a file's content.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path, PurePosixPath

_SLASH = "__"
_PACKAGE = "__init__.py"


class KeyRefused(ValueError):  # noqa: N818  # named by what happened
    """A key that names no file below the project's folder."""


def path_of(key: str) -> PurePosixPath:
    """The path that a key stands for; raises KeyRefused."""
    parts = key.split(_SLASH)
    if key == _PACKAGE:
        parts = [_PACKAGE]
    elif key.endswith(_SLASH + _PACKAGE):
        parts = [*key[: -len(_SLASH + _PACKAGE)].split(_SLASH), _PACKAGE]
    if any(part in {"", ".", ".."} or "/" in part for part in parts):
        raise KeyRefused(
            f"The key {key!r} names no file of a project: a path's slashes are written as two underscores."
        )
    return PurePosixPath(*parts)


def unpack(source: Path, target: Path) -> int:
    """Copy every key; returns how many there are. Raises KeyRefused, and then some may have been copied."""
    count = 0
    for entry in sorted(source.iterdir()):
        if entry.name.startswith("..") and not entry.is_file():
            continue  # the kubelet's own folders, by which it swaps all keys at once
        file = target / path_of(entry.name)
        file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(entry, file)
        count += 1
    return count


def main(arguments: list[str]) -> int:
    """0 where everything is laid out; else what is wrong stands on stderr, where the operator reads it."""
    try:
        unpack(Path(arguments[0]), Path(arguments[1]))
    except (KeyRefused, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
