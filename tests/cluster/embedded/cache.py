"""Where things live that outlast a test run: binaries, image archives, the running cluster's state. Never in the tree.

What is built is keyed by a hash of its inputs, published by one rename, and built by one caller at a time.
"""

import fcntl
import hashlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[3]


def folder() -> Path:
    """The cache's root, as every program of the project finds it."""
    if chosen := os.environ.get("DBMIGRATION_CACHE_DIR"):
        return Path(chosen).absolute()
    parent = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(parent).absolute() / "dbmigration-operator"


def key_of(*inputs: bytes | str) -> str:
    """A name for these inputs in this order; no two different lists share one."""
    whole = hashlib.sha256()
    for item in inputs:
        data = item.encode() if isinstance(item, str) else item
        whole.update(len(data).to_bytes(8, "big") + data)
    return whole.hexdigest()[:16]


@contextmanager
def lock(name: str, *, wait: bool = True, shared: bool = False) -> Iterator[None]:
    """Keep every other process from `name`, after waiting for the one that is there; its end ends its lock.

    Whoever shares it keeps only those away who want it alone. Without `wait` raises BlockingIOError instead.
    """
    locks = folder() / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    with (locks / name).open("w") as held:
        try:
            fcntl.flock(held, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if not wait:
                raise
            print(f"Waiting for another process that holds {held.name}.", file=sys.stderr)
            fcntl.flock(held, kind)
        yield


@contextmanager
def published(target: Path) -> Iterator[Path]:
    """A path to write to, which becomes `target` at once and only if the body ends well."""
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        yield unfinished
        unfinished.rename(target)
    finally:
        unfinished.unlink(missing_ok=True)


def keep_newest(pattern: str, within: Path, count: int = 3) -> None:
    """Delete all but the `count` files last used of those that match `pattern`: old keys never come back."""
    for stale in sorted(within.glob(pattern), key=lambda file: file.stat().st_mtime, reverse=True)[count:]:
        stale.unlink(missing_ok=True)
