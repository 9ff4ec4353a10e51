"""What writes to the database beside us, drained and resumed by the caller's own commands.

One command call for a workload, with DBMIGRATION_WORKLOAD (`Deployment/shop-web`) and DBMIGRATION_REPLICAS in its
environment. What is drained is remembered in files, so that it is resumed after a crash too. It must not decide when.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from dbmigration.lifecycle.observed import WorkloadRef, WorkloadView
from dbmigration.local.errors import ManifestError
from dbmigration.local.store import replace_file

_RUNS = 1  # how many replicas something has of which nobody here can count the processes
_SECONDS = 600


@dataclass(frozen=True)
class Workloads:
    """Those that a manifest names. A command ends with 0 only when what it says is so."""

    folder: Path
    drain_command: str | None = None
    resume_command: str | None = None

    def require(self, refs: Iterable[object]) -> None:
        """Raises ManifestError where a run drains something, and nobody said how."""
        if any(True for _ in refs) and (self.drain_command is None or self.resume_command is None):
            raise ManifestError(
                "This run drains workloads: give both --drain-command and --resume-command, which stop and start here what writes to the database."
            )

    def look(self, refs: Iterable[WorkloadRef]) -> dict[WorkloadRef, WorkloadView]:
        """All that are named are there: running, until they were drained."""
        return {ref: self._view(ref) for ref in refs}

    def scale(self, ref: WorkloadRef, replicas: int) -> None:
        """Call the command; one that fails has done nothing, and is called again."""
        command = self.resume_command if replicas else self.drain_command
        if command is None:
            return
        environment = {
            **os.environ,
            "DBMIGRATION_WORKLOAD": f"{ref.kind}/{ref.name}",
            "DBMIGRATION_REPLICAS": str(replicas),
        }
        try:
            done = subprocess.run(
                shlex.split(command),
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=sys.stderr,
                start_new_session=True,  # Ctrl-C ends this program in good order, and not the command in its midst
                check=False,
                timeout=_SECONDS,
            )
        except (OSError, ValueError, subprocess.TimeoutExpired) as error:
            sys.stderr.write(f"{command}: {type(error).__name__}.\n")
            return
        if done.returncode:
            sys.stderr.write(f"{command}: ended with {done.returncode}; it is called again.\n")
            return
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_file(self._mark(ref), str(replicas))

    def _view(self, ref: WorkloadRef) -> WorkloadView:
        try:
            count = int(self._mark(ref).read_text(encoding="ascii"))
        except (FileNotFoundError, ValueError):
            count = _RUNS
        return WorkloadView(count, count, count)

    def _mark(self, ref: WorkloadRef) -> Path:
        return self.folder / f"{ref.kind}-{ref.name}"
