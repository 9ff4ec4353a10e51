"""Workloads for a drain: Deployments and StatefulSets whose Pods sleep, or do what a test gives them, and some that are slow to come or to go.

Must not know the operator.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.cluster.access import Namespace, eventually

_POLITE = "exec sleep 3600"
_DEAF = "trap '' TERM; while true; do sleep 1; done"


@dataclass(frozen=True, slots=True)
class Idler:
    """One of them. Deaf Pods ignore SIGTERM and stay for the whole grace period; late ones are ready after `ready_after` seconds.

    `command` is run instead of sleeping, with the claim, if any, at /data.
    """

    namespace: Namespace
    image: str
    name: str = "idler"
    kind: str = "Deployment"
    replicas: int = 1
    deaf: bool = False
    grace_seconds: int = 1
    ready_after: int = 0
    command: tuple[str, ...] = ()
    claim: str = ""

    @property
    def drain(self) -> dict[str, str]:
        """Its entry in spec.drain.workloads."""
        return {"kind": self.kind, "name": self.name}

    def start(self) -> None:
        """Bring it up, and wait until all its Pods are ready."""
        container = {
            "name": "idler",
            "image": self.image,
            "imagePullPolicy": "IfNotPresent",
            "command": list(self.command) or ["sh", "-c", _DEAF if self.deaf else _POLITE],
            "volumeMounts": [{"name": "data", "mountPath": "/data"}] if self.claim else [],
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        }
        if self.ready_after:
            probe = {"exec": {"command": ["true"]}, "initialDelaySeconds": self.ready_after, "periodSeconds": 1}
            container["readinessProbe"] = probe
        self.namespace.apply(
            {
                "apiVersion": "apps/v1",
                "kind": self.kind,
                "metadata": {"name": self.name},
                "spec": {
                    "replicas": self.replicas,
                    "selector": {"matchLabels": {"app": self.name}},
                    **({"serviceName": self.name} if self.kind == "StatefulSet" else {}),
                    "template": {
                        "metadata": {"labels": {"app": self.name}},
                        "spec": {
                            "containers": [container],
                            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": self.claim}}]
                            if self.claim
                            else [],
                            "terminationGracePeriodSeconds": self.grace_seconds,
                            "securityContext": {
                                "runAsNonRoot": True,
                                "runAsUser": 65532,
                                "fsGroup": 65532,
                                "seccompProfile": {"type": "RuntimeDefault"},
                            },
                        },
                    },
                },
            }
        )
        eventually(lambda: self.size == (self.replicas, self.replicas), f"The Pods of {self.name}", timeout=90)

    @property
    def size(self) -> tuple[int, int]:
        """Replicas wanted, and ready."""
        document = self.namespace.get(self.kind, self.name)
        return document["spec"]["replicas"], document.get("status", {}).get("readyReplicas", 0)

    def scale(self, replicas: int, manager: str) -> None:
        """Somebody gives it so many replicas, under that name, as who applies its manifest does."""
        patch = json.dumps({"spec": {"replicas": replicas}})
        given = (f"--field-manager={manager}", "--type=merge", "--patch", patch)
        self.namespace.kubectl("patch", self.kind, self.name, *given)

    @contextmanager
    def healed(self, manager: str) -> Iterator[list[int]]:
        """Within, somebody gives it its replicas back each second, as a controller does of what it calls a drift; gives how often."""
        over, counted = threading.Event(), [0]

        def heal() -> None:
            while not over.wait(1):
                if self.size[0] != self.replicas:
                    self.scale(self.replicas, manager)
                    counted[0] += 1

        thread = threading.Thread(target=heal, name="heals")
        thread.start()
        try:
            yield counted
        finally:
            over.set()
            thread.join()

    def autoscale(self) -> None:
        """Kubernetes' own autoscaler looks after it from now on, and wants at least its replicas."""
        target = {"apiVersion": "apps/v1", "kind": self.kind, "name": self.name}
        cpu = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}
        limits = {"minReplicas": self.replicas, "maxReplicas": self.replicas + 2}
        self.namespace.apply(
            {
                "apiVersion": "autoscaling/v2",
                "kind": "HorizontalPodAutoscaler",
                "metadata": {"name": self.name},
                "spec": {"scaleTargetRef": target, **limits, "metrics": [{"type": "Resource", "resource": cpu}]},
            }
        )

    def autoscaler_says(self) -> set[str]:
        """The reasons of its conditions."""
        status = self.namespace.get("horizontalpodautoscaler", self.name).get("status", {})
        return {condition["reason"] for condition in status.get("conditions", ())}

    def delete(self) -> None:
        """Gone for good, with its Pods."""
        self.namespace.kubectl("delete", self.kind, self.name, "--wait=false")
