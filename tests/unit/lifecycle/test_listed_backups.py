"""The list of backups in the status: made again from what steps find on the storage, and nothing in it that is not there."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dbmigration.api.status import Backup, Status
from dbmigration.lifecycle import record
from dbmigration_runner.checks.manifest import Manifest
from dbmigration_runner.checks.stored import stored
from dbmigration_runner.contract.result import RESULT_BYTES, Outcome, Result, StorageReport, StoredBackup, fit
from dbmigration_runner.contract.task import RunIdentity, StepKind
from dbmigration_runner.engines import engine_for
from tests.unit.lifecycle.laboratory import NOON, Laboratory, manifest

ENGINE = engine_for("sqlite:////data/shop.db")
RUN = RunIdentity("shops", "shop", "4567", 1, 1)
DIGEST = "f" * 64


def listed(number: int, **changes: object) -> Backup:
    time = NOON + timedelta(days=number)
    known = Backup(
        name=f"b{number}",
        location=f"/backups/b{number}",
        size_bytes=4,
        sha256=DIGEST,
        revisions=("a1",),
        image="shop@1",
        taken_at=time,
        verified_at=time,
        restorable=True,
    )
    return replace(known, **changes)  # type: ignore[arg-type]  # checked by the dataclass itself


def lies_there(number: int) -> StoredBackup:
    time = f"{NOON + timedelta(days=number):%Y-%m-%dT%H:%M:%SZ}"
    return StoredBackup(f"b{number}", f"/backups/b{number}", 4, DIGEST, ("a1",), time, time, True, image="shop@1")


def names(status: Status) -> list[str]:
    return [backup.name for backup in status.backups]


@pytest.mark.parametrize(
    ("known", "found", "gone", "then"),
    [
        pytest.param("", "3 1", "", "3 1", id="a resource that is created anew knows all that is there"),
        pytest.param("2", "3 1", "", "3 2 1", id="each stands by its age"),
        pytest.param("3 2 1", "", "2", "3 1", id="what is gone is not listed"),
        pytest.param("2", "1", "2", "1", id="one comes, another goes"),
        pytest.param("1", "", "7", "1", id="what nobody listed cannot go"),
        pytest.param("", "", "", "", id="nothing"),
    ],
)
def test_the_list_becomes_what_lies_on_the_storage(known: str, found: str, gone: str, then: str):
    status = Status(backups=tuple(listed(int(number)) for number in known.split()))
    report = StorageReport(
        tuple(lies_there(int(number)) for number in found.split()), gone=tuple(f"b{number}" for number in gone.split())
    )
    read = record.storage_read(status, report)
    assert read.backups == tuple(listed(int(number)) for number in then.split())
    assert record.storage_read(read, report) == read


def test_what_was_known_of_a_backup_is_not_told_better_by_its_manifest():
    known = listed(1, image="shop@sha256:1", clone="dbmigration_clone_1", sha256="0" * 64)
    read = record.storage_read(Status(backups=(known,)), StorageReport((lies_there(1),)))
    assert read.backups == (known,)


def test_a_runner_of_another_release_tells_nothing_of_the_storage():
    status = Status(backups=(listed(1),), backups_untold=2)
    assert record.storage_read(status, None) == status


@settings(max_examples=12, deadline=None)
@example(set(range(130)), set(range(20, 70)))
@given(st.sets(st.integers(0, 140), min_size=1), st.sets(st.integers(0, 60), max_size=40))
def test_step_by_step_the_list_comes_to_hold_the_newest_that_lie_there(there: set[int], known: set[int]):
    """However little room an answer has, and whatever was listed before."""
    volume = [on_the_volume(number) for number in sorted(there, reverse=True)]
    status = Status(backups=tuple(listed(number) for number in sorted(known, reverse=True)))
    for _ in range(40):
        before = status
        report = stored(Path("/backups"), volume, names(status), RUN, ENGINE)
        answer = fit(Result(StepKind.FIND, "4fd1", Outcome.SUCCEEDED, message="x" * 500, storage=report))
        assert len(answer.to_json().encode()) <= RESULT_BYTES
        status = record.storage_read(status, answer.storage)
        assert {*names(status)} <= {entry.name for entry in volume}
        assert len(status.backups) + status.backups_untold == len(volume)
        if status == before:
            break
    assert names(status) == [entry.name for entry in volume][:100]


def on_the_volume(number: int) -> Manifest:
    told = lies_there(number)
    return Manifest(
        name=told.name,
        file=told.name,
        object="shops/shop/0123",
        run=1,
        attempt=1,
        taken_at=told.taken_at,
        verified_at=told.verified_at,
        engine="sqlite",
        server_version="3",
        tool="test",
        size_bytes=4,
        decoded_bytes=4,
        data_bytes=4,
        sha256=DIGEST,
        revisions=("a1",),
        version_table="alembic_version",
        catalog_digest="3:",
        catalog=(),
        rows={},
        restorable=True,
    )


@pytest.fixture
def anew(lab: Laboratory) -> Laboratory:
    """A resource that was deleted and created again, at its newest revision; only the storage remembers."""
    lab.play()
    lab.stored["old"] = ("a1",)
    lab.status, lab.steps, lab.started = Status(), {}, []
    lab.play()
    assert names(lab.status) == [], "no step saw the storage"
    return lab


def test_the_next_backup_lists_those_from_before(anew: Laboratory):
    before = set(anew.stored)
    anew.spec, anew.heads = manifest(targetRevision="c3"), ("b2",)
    anew.generation += 1
    anew.play()
    assert {*names(anew.status)} == set(anew.stored) > before
    assert names(anew.status)[0] == anew.status.run.backup


@pytest.mark.parametrize(
    ("backup", "reason"), [("old", "Restored"), ("none", "BackupNotFound")], ids=["carried out", "refused"]
)
def test_an_order_lists_them_whatever_becomes_of_it(anew: Laboratory, backup: str, reason: str):
    uid = anew.order(backup)
    anew.play()
    assert [told.reason for told in anew.orders[uid].status.conditions if told.type == "Ready"] == [reason]
    assert {*names(anew.status)} == set(anew.stored)


def test_an_order_that_was_carried_out_before_lists_them(anew: Laboratory):
    anew.order("old")
    anew.play()
    anew.status, anew.steps, anew.orders = Status(), {}, {}
    anew.order("old")
    anew.play()
    assert anew.status.run.order is not None
    assert {*names(anew.status)} == set(anew.stored)


def test_a_backup_that_somebody_removed_leaves_the_list(lab: Laboratory):
    lab.play()
    (removed,) = names(lab.status)
    del lab.stored[removed]
    lab.order(removed)
    lab.play()
    assert names(lab.status) == []
