"""DatabaseRestores as the operator hears of them and answers them: which resource they concern, and what is written."""

from __future__ import annotations

from typing import Any

import pytest

from dbmigration.cluster.admission import Admission
from dbmigration.cluster.errors import Conflict, NotFound
from dbmigration.cluster.gateway import Kind
from dbmigration.cluster.manifests.pod import Tools
from dbmigration.cluster.objects import Key
from dbmigration.cluster.order import Order
from dbmigration.cluster.site import Site
from dbmigration.cluster.tending import tend
from dbmigration.controller.cache import Cache
from dbmigration.lifecycle.observed import Pace
from tests.unit.cluster.documents import document, order

SHOP = Key("prod", "shop")


class Server:
    """Takes statuses and Events."""

    def __init__(self, refuses: Exception | None = None) -> None:
        self.refuses = refuses
        self.patched: list[tuple[str, dict[str, Any]]] = []
        self.events: list[tuple[str, str]] = []

    async def patch_order_status(self, namespace: str, name: str, version: str, patch: dict[str, Any]) -> Any:
        if self.refuses is not None:
            raise self.refuses
        self.patched.append((version, patch))
        return order(name, int(version) + 1, status={"observedGeneration": -1} | patch)

    async def create_event(self, regarding: dict[str, Any], **told: Any) -> None:
        self.events.append((regarding["kind"], told["reason"]))


def site(server: Any, cache: Cache) -> Site:
    return Site(gateway=server, store=cache, admission=Admission(9), tools=Tools("tools"), pace=Pace())


def test_an_order_concerns_the_resource_that_it_names():
    touched: list[Key] = []
    cache = Cache(touched=touched.append)
    cache.hear(Kind.ORDERS, "ADDED", order("back"))
    cache.hear(Kind.ORDERS, "ADDED", order("billings", migration="billing"))
    assert touched == [SHOP, Key("prod", "billing")]
    assert [known.key.name for known in cache.orders_for(SHOP)] == ["back"]


def test_orders_are_dealt_with_in_the_order_in_which_they_were_given():
    cache = Cache()
    late = order("a")
    late["metadata"]["creationTimestamp"] = "2026-11-23T12:00:01Z"
    for given in (late, order("c"), order("b")):
        cache.put(Kind.ORDERS, given)
    assert [known.key.name for known in cache.orders_for(SHOP)] == ["b", "c", "a"]


@pytest.mark.parametrize(
    "changes",
    [
        {"status": {"observedGeneration": 1, "finishedAt": "2026-11-23T12:00:00Z"}},
        {"spec": {"migrationRef": {"name": "shop"}}},
        {"status": {"observedGeneration": "one"}},
    ],
    ids=["ended", "without a backup", "with a status that is not ours"],
)
def test_what_has_ended_or_cannot_be_read_is_no_order(changes):
    known = Order.parse(order(**changes))
    assert known.view is None
    assert known.migration == SHOP


def test_an_order_that_goes_away_is_no_order():
    given = order()
    given["metadata"]["deletionTimestamp"] = "2026-11-23T12:00:00Z"
    assert Order.parse(given).view is None


async def test_an_order_for_a_resource_that_is_not_there_is_told_so_once():
    server, cache = Server(), Cache()
    cache.put(Kind.ORDERS, order())
    for _ in range(3):
        assert await tend(site(server, cache), SHOP) is None
    ((version, patch),) = server.patched
    assert version == "30"
    assert patch["conditions"][0]["reason"] == "MigrationNotFound"
    assert server.events == [("DatabaseRestore", "MigrationNotFound")]


async def test_an_order_for_a_resource_that_cannot_be_read_waits(monkeypatch):
    server, cache = Server(), Cache()
    cache.put(Kind.ORDERS, order())
    cache.put(Kind.RESOURCES, document(spec={}))
    monkeypatch.setattr("dbmigration.cluster.tending._tell_fault", _nothing)
    assert await tend(site(server, cache), SHOP) is None
    assert server.patched[0][1]["conditions"][0]["reason"] == "SpecInvalid"


async def test_an_order_that_is_gone_needs_no_word():
    cache = Cache()
    cache.put(Kind.ORDERS, order())
    await tend(site(Server(NotFound("gone")), cache), SHOP)
    assert cache.orders_for(SHOP) == ()


async def test_an_order_that_was_changed_meanwhile_is_looked_at_again():
    """What was seen of it may be old: a word about the past must not take the place of its end."""
    cache = Cache()
    cache.put(Kind.ORDERS, order())
    with pytest.raises(Conflict):
        await tend(site(Server(Conflict("changed")), cache), SHOP)


async def _nothing(*_: Any) -> None:
    pass
