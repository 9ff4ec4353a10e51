"""The cache is never older than what was seen, and never believes what no list confirms."""

from __future__ import annotations

from typing import Any

import pytest

from dbmigration.cluster.gateway import Kind, Listing
from dbmigration.cluster.objects import Key
from dbmigration.controller.cache import Cache
from tests.unit.cluster.documents import UID, document, job, order, pod

SHOP = Key("prod", "shop")
JOB = Key("prod", "shop-plan-1")


def with_run(version: int, outcome: str | None = None, **changes: Any) -> dict[str, Any]:
    run = {"number": 1, "identity": "1:x", "generation": 1, "startedAt": "2026-11-23T12:00:00Z", **changes}
    return document(version=version, status={"run": run | ({"outcome": outcome} if outcome else {})})


def version_of(cache: Cache) -> int | None:
    seen = cache.resource(SHOP)
    return seen.version if seen is not None else None


def test_an_older_version_never_replaces_a_newer_one():
    cache = Cache()
    cache.put(Kind.RESOURCES, document(version=12))
    cache.hear(Kind.RESOURCES, "MODIFIED", document(version=11))

    assert version_of(cache) == 12


def test_a_resource_of_the_same_name_replaces_the_one_before_it():
    cache = Cache()
    cache.put(Kind.RESOURCES, document(version=12))
    newcomer = document(version=15)
    newcomer["metadata"]["uid"] = "another"
    cache.hear(Kind.RESOURCES, "ADDED", newcomer)
    cache.hear(Kind.RESOURCES, "DELETED", document(version=14))

    seen = cache.resource(SHOP)
    assert seen is not None
    assert seen.uid == "another"


@pytest.mark.parametrize("kind", list(Kind))
def test_an_answer_that_was_overtaken_by_a_deletion_brings_nothing_back(kind):
    made = {Kind.RESOURCES: document, Kind.ORDERS: order, Kind.JOBS: job, Kind.PODS: pod}[kind]
    cache = Cache()
    cache.hear(kind, "ADDED", made(version=20))
    cache.hear(kind, "DELETED", made(version=25))
    cache.put(kind, made(version=22))
    assert cache.resource(SHOP) is None
    assert not list(cache.jobs())
    assert cache.pods_for(SHOP) == cache.orders_for(SHOP) == ()

    cache.hear(kind, "ADDED", made(version=26))  # it was given our label anew
    assert cache.resource(SHOP) or list(cache.jobs()) or cache.pods_for(SHOP) or cache.orders_for(SHOP)


def test_what_a_list_does_not_show_is_not_brought_back_by_an_older_answer():
    cache = Cache()
    cache.put(Kind.PODS, pod(version=20))
    cache.reconcile(Kind.PODS, Listing((), "30"), None)
    cache.put(Kind.PODS, pod(version=29))

    assert cache.pods_for(SHOP) == ()


def test_deletions_are_remembered_for_a_while_only():
    now = [0.0]
    cache = Cache(clock=lambda: now[0])
    jobs = [job(version=20), job(version=20)]
    for number, gone in enumerate(jobs):
        gone["metadata"] |= {"uid": f"job-{number}", "name": f"job-{number}"}
        now[0] += 3600
        cache.hear(Kind.JOBS, "DELETED", gone)
    for gone in jobs:
        cache.put(Kind.JOBS, gone)

    assert [known["metadata"]["name"] for known in cache.jobs()] == ["job-0"]


def test_a_deleted_pod_s_last_words_are_remembered_for_a_while():
    now = [0.0]
    cache = Cache(clock=lambda: now[0])
    cache.hear(Kind.PODS, "ADDED", pod({"running": {}}, version=30))
    cache.hear(Kind.PODS, "DELETED", pod({"terminated": {"exitCode": 0, "message": "words"}}, version=35))

    assert cache.pods_for(SHOP) == ()
    (remains,) = cache.remains_for(SHOP)
    assert remains["status"]["containerStatuses"][0]["state"]["terminated"]["message"] == "words"
    now[0] = 3600
    assert cache.remains_for(SHOP) == ()


def test_what_a_list_does_not_show_is_dropped_unless_it_is_newer_than_the_list():
    cache = Cache()
    cache.put(Kind.JOBS, job(version=20))
    cache.reconcile(Kind.JOBS, Listing((), "19"), None)
    assert cache.job(JOB) is not None

    cache.reconcile(Kind.JOBS, Listing((), "21"), None)
    assert cache.job(JOB) is None


def test_a_list_of_one_namespace_says_nothing_of_another():
    cache = Cache()
    cache.put(Kind.JOBS, job(version=20))
    cache.reconcile(Kind.JOBS, Listing((), "99"), "staging")

    assert cache.job(JOB) is not None


def test_a_deletion_that_no_watch_told_is_found_by_the_list_and_the_pod_is_remembered():
    cache = Cache()
    cache.hear(Kind.PODS, "ADDED", pod({"terminated": {"message": "words"}}, version=30))
    cache.reconcile(Kind.PODS, Listing((), "40"), None)

    assert cache.pods_for(SHOP) == ()
    assert len(cache.remains_for(SHOP)) == 1


def test_what_is_listed_and_never_told_is_the_proof_of_a_deaf_watch():
    cache = Cache()
    cache.hear(Kind.RESOURCES, "ADDED", document(version=10))
    listing = Listing((document(version=12),), "13")
    unheard = cache.unheard(listing)
    cache.reconcile(Kind.RESOURCES, listing, None)
    assert cache.still_unheard(Kind.RESOURCES, unheard) == {UID}

    cache.hear(Kind.RESOURCES, "MODIFIED", document(version=12))
    assert cache.still_unheard(Kind.RESOURCES, unheard) == frozenset()


def test_what_is_gone_since_the_list_is_no_proof_of_a_deaf_watch():
    cache = Cache()
    cache.hear(Kind.RESOURCES, "ADDED", document(version=10))
    unheard = cache.unheard(Listing((document(version=12),), "13"))
    cache.hear(Kind.RESOURCES, "DELETED", document(version=14))

    assert cache.still_unheard(Kind.RESOURCES, unheard) == frozenset()


def test_what_is_heard_of_a_job_or_pod_concerns_the_resource_it_was_made_for():
    touched: list[Key] = []
    cache = Cache(touched=touched.append)
    cache.hear(Kind.JOBS, None, job())
    cache.hear(Kind.PODS, "MODIFIED", pod())
    cache.hear(Kind.RESOURCES, "ADDED", document())

    assert touched == [SHOP, SHOP, SHOP]


def test_a_run_that_ends_or_goes_away_makes_room_for_others():
    freed: list[str] = []
    cache = Cache(freed=lambda: freed.append("freed"))
    cache.put(Kind.RESOURCES, with_run(10, fingerprint="f", planHash="p"))
    assert freed == []

    cache.put(Kind.RESOURCES, with_run(11, "Succeeded", fingerprint="f", planHash="p"))
    assert freed == ["freed"]

    cache.put(Kind.RESOURCES, with_run(12))
    cache.drop(Kind.RESOURCES, SHOP)
    assert freed == ["freed", "freed"]


def test_a_run_that_begins_to_wait_for_something_outside_makes_room_for_others():
    def ready(status: str) -> dict[str, Any]:
        said = {"type": "Ready", "status": status, "reason": "R", "message": "", "observedGeneration": 1}
        return said | {"lastTransitionTime": "2026-11-23T12:00:00Z"}

    freed: list[str] = []
    cache = Cache(freed=lambda: freed.append("freed"))
    for version, status in ((10, "Unknown"), (11, "False")):
        seen = with_run(version)
        seen["status"]["conditions"] = [ready(status)]
        cache.put(Kind.RESOURCES, seen)

    assert freed == ["freed"]


def test_only_runs_that_have_not_ended_are_open():
    cache = Cache()
    cache.put(Kind.RESOURCES, document(version=10))
    assert list(cache.open_runs()) == []
    cache.put(Kind.RESOURCES, with_run(11))
    assert [seen.key for seen in cache.open_runs()] == [SHOP]
    cache.put(Kind.RESOURCES, with_run(12, "Succeeded"))
    assert list(cache.open_runs()) == []
    cache.put(Kind.RESOURCES, with_run(13))
    cache.drop(Kind.RESOURCES, SHOP)
    assert list(cache.open_runs()) == []


def test_a_resource_that_cannot_be_read_is_kept_with_the_reason_and_without_its_values():
    cache = Cache()
    cache.put(Kind.RESOURCES, document(spec={"database": {"urlFrom": "postgresql://shop:hunter2@db/shop"}}))

    seen = cache.resource(SHOP)
    assert seen is not None
    assert seen.spec is None
    assert "spec.database.urlFrom" in seen.fault
    assert "spec.backup" in seen.fault
    assert "hunter2" not in seen.fault
