"""One run at a time on one database, and not too many at once, also between two workers' writes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from dbmigration.api.status import Condition, ConditionStatus, Outcome, Run, Status
from dbmigration.cluster.admission import Admission
from dbmigration.cluster.errors import Conflict
from dbmigration.cluster.objects import Key
from dbmigration.cluster.resource import Resource
from tests.unit.cluster.documents import resource

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
A, B, C = (Key("prod", name) for name in "abc")


def status(ready: ConditionStatus = ConditionStatus.UNKNOWN, **run: Any) -> Status:
    opened = Run(number=1, identity="1:x", generation=1, started_at=NOW, **run)
    said = Condition(
        type="Ready", status=ready, reason="R", message="", last_transition_time=NOW, observed_generation=1
    )
    return Status(run=opened, conditions=(said,))


def holding(fingerprint: str = "f", **run: Any) -> Status:
    return status(fingerprint=fingerprint, plan_hash="p", **run)


def known(key: Key, given: Status) -> Resource:
    return replace(resource(key.name), key=key, status=given)


TURNS = {
    "nobody works on it": (Status(), None),
    "another has its turn": (holding(), "prod/b"),
    "another has its turn on another database": (holding("g"), None),
    "another has planned and not decided": (status(fingerprint="f"), None),
    "another's run has ended": (holding(outcome=Outcome.SUCCEEDED), None),
}


@pytest.mark.parametrize("case", TURNS)
def test_a_turn_is_held_from_the_decision_to_the_end(case):
    given, holder = TURNS[case]

    assert Admission(9).turn_held_by("f", A, [known(A, Status()), known(B, given)]) == holder


def test_nobody_waits_for_itself_nor_for_a_database_that_is_not_known():
    assert Admission(9).turn_held_by("f", A, [known(A, holding())]) is None
    assert Admission(9).turn_held_by("", A, [known(B, holding())]) is None


def test_two_workers_cannot_both_take_the_turn_between_their_writes():
    admission, seen = Admission(9), [known(A, status(fingerprint="f")), known(B, status(fingerprint="f"))]
    admission.claim(A, status(fingerprint="f"), holding(), seen)

    assert admission.turn_held_by("f", B, seen) == "prod/a"
    with pytest.raises(Conflict):
        admission.claim(B, status(fingerprint="f"), holding(), seen)


def test_a_claim_whose_write_failed_is_given_back():
    admission, seen = Admission(9), [known(A, status(fingerprint="f")), known(B, status(fingerprint="f"))]
    admission.claim(A, status(fingerprint="f"), holding(), seen)
    admission.settle(A)

    admission.claim(B, status(fingerprint="f"), holding(), seen)


def test_there_is_room_for_as_many_runs_as_are_allowed():
    admission = Admission(2)
    assert admission.has_room(C, [known(A, status())])
    assert not admission.has_room(C, [known(A, status()), known(B, status())])


def test_a_run_that_waits_for_something_outside_takes_no_room():
    broken = status(ConditionStatus.FALSE)

    assert Admission(1).has_room(C, [known(A, broken), known(B, broken)])


def test_two_workers_cannot_both_begin_the_last_run():
    admission, seen = Admission(1), [known(A, Status()), known(B, Status())]
    admission.claim(A, Status(), status(), seen)

    with pytest.raises(Conflict):
        admission.claim(B, Status(), status(), seen)


def test_a_run_that_goes_on_is_never_held_up_by_the_limit():
    admission, seen = Admission(1), [known(A, status()), known(B, status(ConditionStatus.FALSE))]

    admission.claim(B, status(ConditionStatus.FALSE), status(), seen)
