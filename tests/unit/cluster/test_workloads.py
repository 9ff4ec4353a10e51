"""What the documents of workloads and Pods say: their selector as a query, who scaled them last, and which Pods may still write."""

from __future__ import annotations

from typing import Any

import pytest

from dbmigration.cluster.gateway import FIELD_MANAGER
from dbmigration.cluster.workloads import selector, view


def owner(manager: str, time: str, fields: dict[str, Any] | None = None) -> dict[str, Any]:
    """An entry of managedFields, by default of somebody who set the replicas."""
    given = fields if fields is not None else {"f:spec": {"f:replicas": {}}}
    return {"manager": manager, "operation": "Update", "time": time, "fieldsType": "FieldsV1", "fieldsV1": given}


def workload(*owners: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "web", "managedFields": list(owners)}, "spec": {"replicas": 2, **spec}}


def pod(phase: str, *, ending: bool = False) -> dict[str, Any]:
    metadata = {"name": "web-1"} | ({"deletionTimestamp": "2026-11-23T12:00:00Z"} if ending else {})
    return {"metadata": metadata, "status": {"phase": phase}}


@pytest.mark.parametrize(
    ("given", "query"),
    [
        ({"matchLabels": {"app": "web", "tier": "front"}}, "app=web,tier=front"),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["a", "b"]}]}, "app in (a,b)"),
        ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["a"]}]}, "app notin (a)"),
        ({"matchExpressions": [{"key": "app", "operator": "Exists"}]}, "app"),
        ({"matchExpressions": [{"key": "canary", "operator": "DoesNotExist"}]}, "!canary"),
        (
            {
                "matchLabels": {"app": "web"},
                "matchExpressions": [
                    {"key": "tier", "operator": "In", "values": ["x"]},
                    {"key": "canary", "operator": "DoesNotExist"},
                ],
            },
            "app=web,tier in (x),!canary",
        ),
    ],
)
def test_a_selector_is_asked_for_as_a_query_has_it(given, query):
    assert selector(given) == query


@pytest.mark.parametrize(
    ("owners", "who"),
    [
        ((), ""),
        ((owner("kubectl", "2026-11-23T12:00:00Z"),), "kubectl"),
        ((owner(FIELD_MANAGER, "2026-11-23T12:00:09Z"),), ""),
        ((owner("kubectl", "2026-11-23T12:00:00Z"), owner(FIELD_MANAGER, "2026-11-23T12:00:09Z")), "kubectl"),
        ((owner("kubectl", "2026-11-23T12:00:00Z"), owner("hpa", "2026-11-23T12:00:05Z")), "hpa"),
        ((owner("hpa", "2026-11-23T12:00:05Z"), owner("kubectl", "2026-11-23T12:00:00Z")), "hpa"),
        ((owner("helm", "2026-11-23T12:00:05Z", {"f:spec": {"f:template": {}}}),), ""),
        ((owner("kubelet", "2026-11-23T12:00:05Z", {"f:status": {"f:replicas": {}}}),), ""),
    ],
)
def test_who_scaled_it_is_the_last_one_who_set_the_replicas_and_is_not_us(owners, who):
    seen = view(workload(*owners), ())
    assert seen.scaled_by == who
    assert (seen.scaled_at is not None) == bool(who)


def test_a_pod_that_ended_cannot_write_and_one_that_is_ending_can():
    pods = (pod("Running"), pod("Running", ending=True), pod("Pending"), pod("Succeeded"), pod("Failed", ending=True))
    assert view(workload(), pods).pods == 3


def test_what_the_document_leaves_out_has_kubernetes_meaning():
    bare = {"metadata": {}, "spec": {}}
    seen = view(bare, ())
    assert (seen.replicas, seen.ready, seen.pods, seen.scaled_by) == (1, 0, 0, "")


def test_a_workload_of_no_replicas_is_not_taken_for_one_that_says_nothing():
    assert view(workload(replicas=0), ()).replicas == 0
