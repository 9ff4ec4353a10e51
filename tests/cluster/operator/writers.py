"""A Deployment of an application that writes all the time, with the ledger of what its database acknowledged to it.

What is in the ledger may never be lost without being told. Must not know how the operator drains it.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster.access import eventually
from tests.cluster.operator.history import Revision
from tests.cluster.operator.ledger import Ledger, Rows, differences, pod_of
from tests.cluster.operator.stage import Stage

NAME = "shop-web"
DRAIN = {"workloads": [{"kind": "Deployment", "name": NAME}]}
ORDERS = Revision(
    "r1",
    'op.create_table("orders", sa.Column("id", sa.String(80), primary_key=True), sa.Column("note", sa.Text, nullable=False))',
)
_PROGRAM = Path(__file__).with_name("application.py")


@dataclass
class Writers:
    """The Deployment, and its ledger."""

    stage: Stage
    image: str  # one that has SQLAlchemy and the drivers
    replicas: int = 2
    claim: str = ""  # where the database is a file: what it lies on

    def start(self) -> None:
        """Bring it up, and wait until something was acknowledged."""
        folder = self.stage.namespace.volume("ledger").folder
        assert folder is not None
        self.folder: Path = folder
        self.play(1)
        mounts = {"ledger": "/ledger", "database": "/etc/database", **({"file": "/data"} if self.claim else {})}
        container = {
            "name": "web",
            "image": self.image,
            "imagePullPolicy": "IfNotPresent",
            "command": ["python3", "-c", _PROGRAM.read_text(encoding="utf-8")],
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
            "volumeMounts": [{"name": name, "mountPath": path} for name, path in mounts.items()],
        }
        volumes = [
            {"name": "ledger", "persistentVolumeClaim": {"claimName": "ledger"}},
            {"name": "database", "secret": {"secretName": "database"}},
            *([{"name": "file", "persistentVolumeClaim": {"claimName": self.claim}}] if self.claim else []),
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
                            "terminationGracePeriodSeconds": 1,  # it hears no signal, and writes until it is killed
                        },
                    },
                },
            }
        )
        try:
            eventually(lambda: self.ledger().acknowledged > 20, "Acknowledged writes", timeout=90)
        except TimeoutError as late:
            raise TimeoutError(f"{late}\n{self.stage.evidence()}") from None

    def play(self, seed: int) -> None:
        """From now on its writes are drawn by this seed."""
        (self.folder / "seed").write_text(str(seed))

    def ledger(self) -> Ledger:
        """What was written so far, by whichever Pod."""
        return Ledger.read({file.stem: file.read_text() for file in self.folder.glob("*.ledger")})

    def amiss(self, *, but: AbstractSet[str] = frozenset()) -> set[str]:
        """Rows that are not as acknowledged; those of some Pods aside."""
        earlier = self.ledger()
        there = self.stage.orders()
        ledger = self.ledger()
        return ledger.of(ledger.pods.keys() - but).amiss(earlier, there)

    def ended(self) -> set[str]:
        """The Pods that wrote and are not there any more."""
        listed = ("get", "pods", "--selector", f"app={NAME}", "--output", "jsonpath={.items[*].metadata.name}")
        return self.ledger().pods.keys() - set(self.stage.namespace.kubectl(*listed).split())

    def rows_of(self, pods: AbstractSet[str]) -> Rows:
        """What is there of these Pods' rows; they must not be writing any more."""
        return {row: note for row, note in self.stage.orders().items() if pod_of(row) in pods}

    def account(self, restored: Mapping[str, Any], pods: AbstractSet[str], told: Rows) -> Rows:
        """After a restore each write of these Pods is there or in its list, exactly; gives the rows of theirs that are there.

        The restore has ended the Pods. `told` is what stands of the rows of Pods that earlier restores have ended.
        """
        gone = pods | {pod_of(row) for row in told}
        ledger, replaced, there = self.ledger().of(pods), self.stage.orders(restored["keptAs"]), self.rows_of(gone)
        answered = {row: note for row, note in replaced.items() if row not in ledger.doubtful}
        untold = differences(told | ledger.rows(), answered)
        assert not untold, f"what was replaced is not what was acknowledged: {untold}"
        assert ledger.had_once(there), "what came back was at no moment there"
        assert {row: note for row, note in there.items() if pod_of(row) not in pods} == told

        listed = self.stage.listed(restored)
        lost = {(row["kind"], row["key"]["id"]) for row in listed if row["table"].endswith("orders")}
        wrong = lost ^ differences(there, replaced)
        assert not wrong, f"the list is not exact: {wrong}"
        assert restored["lostRows"] == len(listed) == len(lost)
        return there

    @property
    def size(self) -> tuple[int, int]:
        """Replicas wanted, and ready."""
        document = self.stage.namespace.get("deployment", NAME)
        return document["spec"]["replicas"], document.get("status", {}).get("readyReplicas", 0)

    def write_on(self) -> None:
        """Wait until something more was acknowledged."""
        before = self.ledger().acknowledged
        eventually(lambda: self.ledger().acknowledged > before, "More acknowledged writes", timeout=60)
