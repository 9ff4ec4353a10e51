"""Until when a restore that a person orders is given up, by whom, and that everything is then as it was."""

from __future__ import annotations

import pytest

from dbmigration.api.status import Outcome, Phase
from dbmigration.lifecycle.decide import decide
from dbmigration.lifecycle.decision import Scale
from dbmigration.lifecycle.observed import WorkloadView
from dbmigration_runner.contract.task import StepKind
from tests.unit.lifecycle.laboratory import Laboratory
from tests.unit.lifecycle.ordered import DRAINED, WEB, at_its_newest, kinds, of, reach, ready


@pytest.fixture
def shop(lab: Laboratory) -> Laboratory:
    """At its newest revision."""
    return at_its_newest(lab)


@pytest.mark.parametrize("how", ["deleted", "cancelled"])
def test_an_order_is_given_up_before_anything_is_done_for_it(shop, how):
    uid = shop.order("old")
    shop.turn()
    if how == "deleted":
        del shop.orders[uid]
    else:
        shop.cancel = "now"
    for _ in range(3):
        shop.turn()
        shop.steps = {ref: view for ref, view in shop.steps.items() if type(view).__name__ != "Stopping"}
    assert (shop.heads, shop.status.history[0].outcome) == (("c3",), Outcome.CANCELLED)
    assert ready(shop.status) == ("True", "UpToDate")


@pytest.mark.parametrize("taken_back", [False, True])
def test_an_order_that_is_cancelled_while_it_drains_is_given_up_with_all_replicas_back(shop, taken_back):
    """A backup that takes the place of what somebody wanted to keep cannot be called off afterwards."""
    uid, began = shop.order("old"), len(shop.started)
    while shop.workloads[WEB].replicas:
        if shop.running is not None:
            shop.answer()
        shop.turn()
    shop.cancel = "now"
    shop.turn()
    assert (shop.status.phase, shop.workloads[WEB].replicas) == (Phase.RESUMING, 2)
    if taken_back:
        shop.cancel = ""
    shop.play()
    assert (kinds(shop, began), shop.heads, shop.workloads[WEB].replicas) == (["find"], ("c3",), 2)
    assert (of(shop, uid).phase, ready(of(shop, uid))) == (Phase.CANCELLED, ("Stalled", "Cancelled"))
    assert "before anything was restored" in of(shop, uid).conditions[0].message
    assert (ready(shop.status), shop.status.drain) == (("True", "UpToDate"), None)


def test_what_an_attempt_to_drain_may_have_stopped_is_resumed_by_a_cancel(shop):
    shop.order("old")
    while shop.status.drain is None or shop.status.drain.workloads[0].replicas is None:
        if shop.running is not None:
            shop.answer()
        shop.turn()
    shop.workloads[WEB] = WorkloadView(2, 2, 2, is_unsettled=True)
    shop.cancel = "now"
    scaled = [item for item in decide(shop.observe()).actions if isinstance(item, Scale)]
    assert scaled == [Scale(WEB, 2)]


@pytest.mark.parametrize("how", ["deleted", "cancelled", "edited"])
def test_an_order_that_is_begun_comes_to_its_end(shop, how):
    uid = shop.order("old")
    reach(shop, StepKind.RESTORE)
    match how:
        case "deleted":
            del shop.orders[uid]
        case "cancelled":
            shop.cancel = "now"
        case _:
            shop.generation += 1
            shop.spec = {**DRAINED, "suspend": True}
    shop.play()
    assert (shop.heads, shop.workloads[WEB].replicas) == (("a1",), 2)
    assert shop.status.orders[0].outcome is Outcome.SUCCEEDED
