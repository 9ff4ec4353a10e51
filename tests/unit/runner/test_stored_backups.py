"""Which backups on the storage are told to whoever keeps the list of them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from dbmigration_runner.checks.stored import stored
from dbmigration_runner.contract.result import RESULT_BYTES, Outcome, Result, StorageReport, StoredBackup, fit
from dbmigration_runner.contract.task import RunIdentity, StepKind
from dbmigration_runner.engines import engine_for
from tests.unit.runner.test_retention import backup, named

HERE = Path("/backups/shop")
RUN = RunIdentity("shops", "shop", "4567", 1, 1)


def whole(day, **changes):
    """A backup as it is written."""
    given = {"verified_at": f"2026-11-{day:02d}T00:00:07Z", "database": "shop.db", "image": "shop:1.4", **changes}
    return dataclasses.replace(backup(day), **given)


def told(*there, known=()):
    return stored(HERE, there, known, RUN, engine_for("sqlite:////data/shop.db"))


@pytest.mark.parametrize(
    ("changes", "is_told"),
    [
        pytest.param({}, True, id="of this resource as it was before it was created anew"),
        pytest.param({"object": "shops/billing/0123"}, False, id="of another resource"),
        pytest.param({"object": "elsewhere/shop/0123"}, False, id="of one in another namespace"),
        pytest.param({"engine": "postgresql"}, False, id="of another engine"),
        pytest.param({"database": "billing.db"}, False, id="of another database"),
        pytest.param({"database": ""}, True, id="of a release that did not write the database's name"),
        pytest.param({"server": "another"}, True, id="taken before the database moved to another server"),
        pytest.param({"restorable": False}, False, id="whose schema could not be restored"),
        pytest.param({"restorable": None}, True, id="of which nobody could try"),
        pytest.param({"name": "../shop"}, False, id="whose name nobody could order"),
        pytest.param({"taken_at": "yesterday"}, False, id="taken at no time"),
        pytest.param({"verified_at": ""}, False, id="read back at no time"),
    ],
)
def test_what_an_order_could_put_in_place_is_told(changes, is_told):
    assert bool(told(whole(1, **changes)).found) is is_told
    name = changes.get("name", named(1))
    report = told(whole(2), whole(1, **changes), known=(named(2), name))
    assert report == StorageReport(gone=() if is_told else (name,))


def test_where_nothing_of_the_database_lies_nothing_is_called_gone():
    """It is another volume, or another URL, for the moment: the list is what one needs then."""
    assert told(known=(named(1),)) == told(whole(1, database="billing.db"), known=(named(1),)) == StorageReport()


def test_it_is_told_with_all_that_its_manifest_knows():
    (found,) = told(whole(1, sha256="ab", revisions=("a1",), restorable=None, restorable_note="No right.")).found
    assert found == StoredBackup(
        name=named(1),
        location=f"/backups/shop/{named(1)}.sqlite",
        size_bytes=4,
        sha256="ab",
        revisions=("a1",),
        taken_at="2026-11-01T00:00:00Z",
        verified_at="2026-11-01T00:00:07Z",
        restorable=None,
        restorable_note="No right.",
        catalog=whole(1).fingerprint,
        image="shop:1.4",
    )


def test_known_ones_are_not_told_and_missing_ones_are():
    report = told(whole(2), whole(1), known=(named(2), named(7)))
    assert ([found.name for found in report.found], report.gone) == ([named(1)], (named(7),))


def test_of_more_than_an_answer_has_room_for_the_newest_are_told_and_the_others_counted():
    """Whatever else the answer says stays whole."""
    days = range(28, 0, -1)
    there = [whole(day, sha256="f" * 64, revisions=("3fd1a52c0b11",)) for day in days]
    answer = Result(StepKind.BACKUP, "4fd1", Outcome.SUCCEEDED, message="x" * 900, storage=told(*there))
    fitted = fit(answer)
    assert len(fitted.to_json().encode()) <= RESULT_BYTES
    count = len(fitted.storage.found)
    assert count >= 5, "as many as are kept beside a new one, where nobody says otherwise"
    assert [found.name for found in fitted.storage.found] == [named(day) for day in days][:count]
    assert fitted.storage.untold == len(days) - count
    assert fitted.message == answer.message
