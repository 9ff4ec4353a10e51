"""Which restore a start on this machine orders, or goes on with."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from dbmigration.api.restored import Order
from dbmigration.api.status import Outcome, Procedure, Run, Status
from dbmigration.local.errors import ManifestError
from dbmigration.local.ordering import order_of

NIGHT = datetime(2026, 11, 23, 3, tzinfo=UTC)


def with_run(*, order=None, outcome=None):
    return Status(
        run=Run(
            number=7,
            procedure=Procedure.ORDER,
            identity="1:0",
            generation=1,
            started_at=NIGHT,
            order=order,
            outcome=outcome,
        )
    )


def test_a_start_without_one_orders_nothing():
    assert order_of(with_run(outcome=Outcome.FAILED), None, accept_data_loss=True) is None
    assert order_of(with_run(), None, accept_data_loss=True) is None


def test_given_again_after_its_end_it_is_another_one():
    done = with_run(order=Order(name="restore-1", uid="u1", backup="b1"), outcome=Outcome.SUCCEEDED)
    order = order_of(done, "b1", accept_data_loss=True)
    assert (order.backup, order.accept_data_loss) == ("b1", True)
    assert order.uid != "u1"


@pytest.mark.parametrize("given", ["b1", None])
def test_one_that_is_under_way_is_gone_on_with_as_it_was_ordered(given):
    order = order_of(with_run(order=Order(name="restore-1", uid="u1", backup="b1")), given, accept_data_loss=True)
    assert (order.name, order.uid, order.backup, order.accept_data_loss) == ("restore-1", "u1", "b1", False)


@pytest.mark.parametrize(
    ("order", "does"), [(None, "migrates"), (Order(name="restore-1", uid="u1", backup="b2"), "restores b2")]
)
def test_it_does_not_push_aside_what_is_under_way(order, does):
    with pytest.raises(ManifestError, match=f"Run 7 {does}, and is not at its end"):
        order_of(with_run(order=order), "b1", accept_data_loss=True)
