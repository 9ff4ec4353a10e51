"""An application that writes all the time, and a ledger of what the database acknowledged to it.

Each Pod inserts rows of its own and notes a row's id on a volume only when its commit was answered: what is noted may never
be lost without being told. Must not know how the operator drains it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.cluster.access import eventually
from tests.cluster.operator.stage import Stage

NAME = "shop-web"
_PROGRAM = """
import os, time, uuid
import psycopg

url = open("/etc/database/url").read().replace("postgresql+psycopg://", "postgresql://")
with open(f"/ledger/{os.environ['HOSTNAME']}", "a") as ledger:
    while True:
        try:
            with psycopg.connect(url, connect_timeout=3) as connection:
                while True:
                    name = uuid.uuid4().hex
                    connection.execute("INSERT INTO public.orders (note) VALUES (%s)", (name,))
                    connection.commit()
                    ledger.write(name + "\\n")
                    ledger.flush()
                    os.fsync(ledger.fileno())
                    time.sleep(0.02)
        except psycopg.Error:
            time.sleep(0.1)
"""


@dataclass
class Writers:
    """The Deployment, and its ledger."""

    stage: Stage
    image: str  # one that has psycopg
    replicas: int = 2

    def start(self) -> None:
        """Bring it up, and wait until something was acknowledged."""
        ledger = self.stage.namespace.volume("ledger")
        assert ledger.folder is not None
        self.folder: Path = ledger.folder
        container = {
            "name": "web",
            "image": self.image,
            "imagePullPolicy": "IfNotPresent",
            "command": ["python3", "-c", _PROGRAM],
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
            "volumeMounts": [
                {"name": "ledger", "mountPath": "/ledger"},
                {"name": "database", "mountPath": "/etc/database"},
            ],
        }
        volumes = [
            {"name": "ledger", "persistentVolumeClaim": {"claimName": "ledger"}},
            {"name": "database", "secret": {"secretName": "database"}},
        ]
        self.stage.namespace.apply(
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {"name": NAME},
                "spec": {
                    "replicas": self.replicas,
                    "selector": {"matchLabels": {"app": NAME}},
                    "template": {
                        "metadata": {"labels": {"app": NAME}},
                        "spec": {
                            "containers": [container],
                            "volumes": volumes,
                            "securityContext": {
                                "fsGroup": 65532,
                                "runAsNonRoot": True,
                                "seccompProfile": {"type": "RuntimeDefault"},
                            },
                            "terminationGracePeriodSeconds": 2,
                        },
                    },
                },
            }
        )
        try:
            eventually(lambda: len(self.acknowledged()) > 20, "Acknowledged writes", timeout=90)
        except TimeoutError as late:
            raise TimeoutError(f"{late}\n{self.stage.evidence()}") from None

    def acknowledged(self) -> set[str]:
        """Every row whose commit was answered, whichever Pod wrote it."""
        lines = (line for file in self.folder.iterdir() for line in file.read_text().splitlines(keepends=True))
        return {line.strip() for line in lines if line.endswith("\n")}

    @property
    def size(self) -> tuple[int, int]:
        """Replicas wanted, and ready."""
        document = self.stage.namespace.get("deployment", NAME)
        return document["spec"]["replicas"], document.get("status", {}).get("readyReplicas", 0)

    def write_on(self) -> None:
        """Wait until something more was acknowledged."""
        before = len(self.acknowledged())
        eventually(lambda: len(self.acknowledged()) > before, "More acknowledged writes", timeout=60)
