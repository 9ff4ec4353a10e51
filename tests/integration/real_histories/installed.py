"""The applications' own environments, each with its locked distributions, built once and kept outside the tree."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

REQUIREMENTS = Path(__file__).parent / "requirements"


def environment_of(application: str) -> Path:
    """The environment of `requirements/APPLICATION.txt` for this interpreter; two sessions at once wait for each other."""
    lock = REQUIREMENTS / f"{application}.txt"
    cache = os.environ.get("DBMIGRATION_CACHE_DIR") or Path(
        os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "dbmigration-operator"
    )
    parts = [sys.version, sys.base_prefix, lock.read_text(encoding="utf-8")]
    key = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
    environment = Path(cache, "applications", f"{application}-{key}")
    environment.parent.mkdir(parents=True, exist_ok=True)
    with environment.with_name(f"{environment.name}.lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if not (environment / "complete").exists():
            shutil.rmtree(environment, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
            # A third of what is installed is ever imported: compiling the rest would be half of the time.
            pip = [sys.executable, "-m", "pip", "--python", interpreter(environment), "--disable-pip-version-check"]
            exact = ["--no-deps", "--require-hashes", "--no-compile"]
            subprocess.run([*pip, "install", "--quiet", *exact, "--requirement", lock], check=True)
            (environment / "complete").touch()
    return environment


def interpreter(environment: Path) -> str:
    """What the manifest would name as migrations.python."""
    return str(environment / "bin" / "python")


def packages(environment: Path) -> Path:
    """Where the distributions' files are."""
    return Path(sysconfig.get_path("purelib", "venv", {"base": str(environment)}))
