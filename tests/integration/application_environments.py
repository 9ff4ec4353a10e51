"""Python environments as applications have them, built once and kept outside the tree, keyed by what is in them."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path


def python_with(*requirements: str) -> str:
    """The interpreter of an environment that holds these requirements and nothing else."""
    cache = os.environ.get("DBMIGRATION_CACHE_DIR") or Path(
        os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "dbmigration-operator"
    )
    key = hashlib.sha256("\n".join([sys.version, sys.base_prefix, *requirements]).encode()).hexdigest()[:16]
    environment = Path(cache, "applications", key)
    python = environment / "bin" / "python"
    environment.parent.mkdir(parents=True, exist_ok=True)
    with environment.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (environment / "complete").exists():
            shutil.rmtree(environment, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", environment], check=True)
            subprocess.run(
                [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements], check=True
            )
            (environment / "complete").touch()
    return str(python)
