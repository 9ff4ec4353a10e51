"""The Job of a step: one Pod, once, whatever becomes of it.

It must not know what the Pod is made of.
"""

from __future__ import annotations

from typing import Any

from dbmigration.api import names
from dbmigration.cluster.manifests.pod import Tools, pod, step_labels
from dbmigration.cluster.resource import Resource
from dbmigration.lifecycle.decision import StartStep
from dbmigration.lifecycle.workload_names import job_name
from dbmigration_runner.contract.task import CHANGING

# From the program's own deadline, at which it cancels, reads the database and reports, to the kubelet's.
_LAST_WORDS_SECONDS = 120


def job(order: StartStep, resource: Resource, tools: Tools) -> dict[str, Any]:
    """Make the Job of a step; the same order makes the same Job."""
    ref, spec = order.ref, resource.spec
    assert spec is not None  # noqa: S101  # nothing is ordered for a spec that cannot be read
    deadline = int(order.deadline.total_seconds()) + _LAST_WORDS_SECONDS
    labels = step_labels(resource.key.name, resource.uid, ref.run, ref.kind, ref.attempt)
    metadata: dict[str, Any] = {
        "name": job_name(resource.key.name, resource.uid, ref.run, ref.kind, ref.attempt),
        "namespace": resource.key.namespace,
        "labels": labels,
        "annotations": {names.ANNOTATION_NONCE: order.task.nonce, names.ANNOTATION_DEADLINE: str(deadline)},
    }
    # A foreground deletion of the resource would kill a migration through its reference, whatever the finalizer says.
    if ref.kind not in CHANGING:
        metadata["ownerReferences"] = [{**resource.reference, "controller": True, "blockOwnerDeletion": False}]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata,
        "spec": {
            "backoffLimit": 0,
            "completions": 1,
            "parallelism": 1,
            "podReplacementPolicy": "Failed",
            "template": pod(order.task, spec, tools, deadline_seconds=deadline, labels=labels),
        },
    }
