"""The command line on a cluster, as a person calls it. It must not know what is asked of it."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.cluster.operator.stage import Stage


def dbmigration(stage: Stage, *arguments: str) -> str:
    """What the program prints, called as whoever has this kubeconfig."""
    environment = {**os.environ, "KUBECONFIG": str(stage.namespace.cluster.kubeconfig)}
    command = [sys.executable, "-m", "dbmigration", *arguments, "--namespace", stage.namespace.name]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return f"{ended.returncode}\n{ended.stdout}{ended.stderr}"
