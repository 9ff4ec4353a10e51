"""Restores that a person orders: what is asked, what is done once, what the resource is afterwards, and what the order is told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dbmigration.api.database_restore import RestoreStatus
from dbmigration.api.reasons import Reason
from dbmigration.api.status import Outcome, Phase, Procedure, Status
from dbmigration.lifecycle.observed import OrderView, WorkloadView
from dbmigration.lifecycle.orders import without_migration
from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.contract.result import RestoreReport, TableLoss
from dbmigration_runner.contract.task import StepKind
from tests.unit.lifecycle.laboratory import NOON, Laboratory, manifest
from tests.unit.lifecycle.ordered import DRAINED, WEB, at_its_newest, kinds, of, reach, ready


@pytest.fixture
def shop(lab: Laboratory) -> Laboratory:
    """At its newest revision."""
    return at_its_newest(lab)


def test_about_what_was_written_since_is_told_before_anything_is_begun_and_once(shop):
    uid = shop.order("old")
    reach(shop, StepKind.RESTORE)
    assert of(shop, uid).estimate == "An estimate: 3 rows."
    shop.play()
    assert of(shop, uid).has_ended
    assert of(shop, uid).estimate == "An estimate: 3 rows."
    assert sum("An estimate" in told.news.message for told in shop.said if told.news is not None) == 1


def test_an_order_is_carried_out_and_the_resource_rests_there(shop):
    began = len(shop.started)
    uid = shop.order("old")
    shop.play()
    assert kinds(shop, began) == ["find", "restore"]
    assert shop.heads == ("a1",)
    assert shop.workloads[WEB].replicas == 2
    run, told = shop.status.run, of(shop, uid)
    assert (run.outcome, run.order.name) == (Outcome.SUCCEEDED, "back")
    assert (shop.status.phase, ready(shop.status)) == (Phase.RESTORED, ("Stalled", "Restored"))
    assert shop.status.revision == told.revision == "a1"
    assert "The database rests at a1: nothing goes on to head" in shop.status.conditions[0].message
    assert (told.phase, ready(told), told.run) == (Phase.SUCCEEDED, ("True", "Restored"), run.number)
    assert told.restored.kept_as.startswith("before_restore_20261123")
    assert (shop.status.history[0].order, shop.status.history[0].procedure) == ("back", Procedure.RESTORE)


def test_whoever_applies_the_old_manifest_again_does_not_upgrade_it_straight_back(shop):
    shop.order("old")
    shop.play()
    began = len(shop.started)
    shop.generation += 1  # a field that decides nothing, such as suspend, was touched and put back
    shop.play()
    assert kinds(shop, began) == []
    assert shop.status.observed_generation == shop.generation
    shop.spec, shop.generation = manifest(targetRevision="b2"), shop.generation + 1
    shop.play()
    assert (shop.heads, shop.status.phase) == (("b2",), Phase.SUCCEEDED)


def test_the_retry_annotation_goes_where_the_spec_says(shop):
    shop.order("old")
    shop.play()
    shop.retry = "now"
    shop.play()
    assert (shop.heads, ready(shop.status)) == (("c3",), ("True", "Succeeded"))


UNTOLD = TableLoss("users", untold="dropped: info")
WRITTEN = TableLoss("orders", inserted=1, updated=3, deleted=2)
KINDS = "1 row inserted since (gone now), 3 changed since (back at the old values), 2 deleted since (back again)"


@pytest.mark.parametrize(
    ("lost", "said"),
    [
        ((), "Nothing had been written since the backup."),
        ((UNTOLD,), "since the backup, but not all could be compared: users: dropped: info."),
        ((WRITTEN, UNTOLD), f"{KINDS}. By table: orders 1 inserted, 3 changed, 2 deleted; users: dropped: info."),
    ],
)
def test_rows_are_told_by_what_became_of_them(shop, lost, said):
    shop.order("old")
    reach(shop, StepKind.RESTORE)
    sums = {kind: sum(getattr(loss, kind) for loss in lost) for kind in ("inserted", "updated", "deleted")}
    told = RestoreReport("old", swapped=True, kept_as="kept", compared=True, lost=lost, lost_tables=len(lost), **sums)
    shop.answer(heads=("a1",), changed=True, restore=told)
    shop.play()
    assert said in shop.status.conditions[0].message
    assert {kind: getattr(shop.status.run.restored, kind) for kind in sums} == sums


def test_a_backup_of_the_wanted_revision_leaves_the_resource_ready(shop):
    shop.order("same")
    shop.play()
    assert (shop.status.phase, ready(shop.status)) == (Phase.SUCCEEDED, ("True", "Restored"))


def test_the_step_is_told_by_whom_and_what_is_accepted_and_no_spec_says_otherwise(shop):
    shop.spec = manifest(rollback={"acceptDataLoss": True}, drain=DRAINED["drain"])
    shop.order("old", accept=False)
    reach(shop, StepKind.RESTORE)
    order = shop.tasks[shop.running].restore
    assert (order.backup, order.by.name, order.accept_data_loss, order.sha256) == ("old", "back", False, "f" * 64)
    assert (order.by.identity, order.by.target) == (shop.observe().identity, ("c3",))
    assert shop.tasks[shop.running].expected.fingerprint == "postgresql:1/2"


def test_without_the_acknowledgement_it_ends_as_it_began_and_names_the_one_command(shop):
    uid = shop.order("old", accept=False)
    reach(shop, StepKind.RESTORE)
    assert shop.workloads[WEB].replicas == 0
    lost = (TableLoss("public.orders", inserted=3),)
    told = RestoreReport("old", compared=True, lost=lost, lost_rows=3, lost_tables=1)
    shop.fail(RunnerReason.RESTORE_NEEDS_ACKNOWLEDGEMENT, "3 rows would be lost", restore=told)
    shop.play()
    assert (shop.heads, shop.workloads[WEB].replicas) == (("c3",), 2)
    assert (of(shop, uid).phase, ready(of(shop, uid))) == (Phase.FAILED, ("Stalled", "RestoreNeedsAcknowledgement"))
    assert "restore shop --namespace shop --backup old --accept-data-loss" in of(shop, uid).conditions[0].message
    assert ready(shop.status) == ("True", "UpToDate"), "the database is where it was, and that is where it belongs"
    # The same order under its name, acknowledged: what failed was not carried out.
    del shop.orders[uid]
    again = shop.order("old")
    shop.play()
    assert (shop.heads, of(shop, again).phase) == (("a1",), Phase.SUCCEEDED)


def test_nothing_is_drained_for_a_backup_that_is_not_there(shop):
    uid = shop.order("new")
    shop.play()
    assert ready(of(shop, uid)) == ("Stalled", "BackupNotFound")
    assert not [event for event in shop.events if event.reason is Reason.DRAINING]
    assert ready(shop.status) == ("True", "UpToDate")


def test_an_order_that_fails_at_rest_leaves_it_at_rest(shop):
    shop.order("old")
    shop.play()
    shop.order("new", name="second")
    shop.play()
    began = len(shop.started)
    shop.generation += 1
    shop.play()
    assert kinds(shop, began) == []
    assert ready(shop.status) == ("Stalled", "BackupNotFound")


def test_an_order_that_is_created_anew_is_told_what_was_done_for_its_name(shop):
    uid = shop.order("old")
    shop.play()
    shop.retry = "now"  # the database goes on
    shop.play()
    began, status = len(shop.started), shop.status
    del shop.orders[uid]
    again, other = shop.order("old"), shop.order("same")
    shop.play()
    assert kinds(shop, began) == []
    assert shop.status == status
    assert ready(of(shop, again)) == ("True", "AlreadyRestored")
    assert ready(of(shop, other)) == ("Stalled", "OrderNameTaken")


@pytest.mark.parametrize("edited", [False, True], ids=["the same spec", "another spec since"])
def test_when_all_statuses_are_lost_the_storage_still_remembers(shop, edited):
    shop.order("old")
    shop.play()
    if edited:
        shop.spec = manifest(targetRevision="b2")
        shop.generation += 1
        shop.play()
    heads, began = shop.heads, len(shop.started)
    shop.status, shop.steps, shop.orders = Status(), {}, {}
    uid = shop.order("old")
    shop.play()
    assert "restore" not in kinds(shop, began)
    assert ready(of(shop, uid)) == ("True", "AlreadyRestored")
    assert shop.heads == heads
    expected = ("True", "UpToDate") if edited else ("Stalled", "AlreadyRestored")
    assert ready(shop.status) == expected


def test_it_supersedes_a_run_that_has_changed_nothing(shop):
    shop.spec, shop.generation, shop.heads = manifest(targetRevision="c3"), 2, ("a1",)
    reach(shop, StepKind.BACKUP)
    shop.order("old")
    shop.turn()
    shop.steps = {ref: view for ref, view in shop.steps.items() if type(view).__name__ != "Stopping"}
    shop.turn()
    assert shop.running.kind is StepKind.FIND
    assert (shop.status.history[0].outcome, shop.status.history[0].reason) == (Outcome.SUPERSEDED, "RestoreOrdered")


@pytest.mark.parametrize("how", ["not there", "deleted"])
def test_what_made_room_for_an_order_that_is_given_up_is_begun_anew(shop, how):
    """Whoever names a backup that is not there has not asked that the release be dropped."""
    shop.spec, shop.generation, shop.heads = manifest(targetRevision="c3"), 2, ("a1",)
    reach(shop, StepKind.BACKUP)
    uid = shop.order("new")
    shop.turn()
    shop.steps = {ref: view for ref, view in shop.steps.items() if type(view).__name__ != "Stopping"}
    shop.turn()
    assert shop.running.kind is StepKind.FIND
    if how == "deleted":
        del shop.orders[uid]
        shop.turn()
        shop.steps = {ref: view for ref, view in shop.steps.items() if type(view).__name__ != "Stopping"}
    else:
        shop.play()
        assert ready(of(shop, uid)) == ("Stalled", "BackupNotFound")
    shop.play()
    assert (shop.heads, ready(shop.status)) == (("c3",), ("True", "Succeeded"))


def test_a_wish_that_was_suspended_and_taken_back_leaves_it_resting_on_its_backup(shop):
    shop.order("old")
    shop.play()
    rests = shop.status
    for generation, spec in (2, {**DRAINED, "targetRevision": "b2", "suspend": True}), (3, DRAINED):
        shop.spec, shop.generation = spec, generation
        shop.play()
        if generation == 2:
            assert (shop.status.phase, ready(shop.status)) == (Phase.PENDING, ("Unknown", "Suspended"))
    assert (shop.status.phase, ready(shop.status)) == (rests.phase, ready(rests))
    assert [condition.message for condition in shop.status.conditions] == [one.message for one in rests.conditions]
    assert {condition.observed_generation for condition in shop.status.conditions} == {3}


def test_it_waits_for_the_end_of_one_that_has(shop):
    shop.spec, shop.generation, shop.heads, shop.applied = manifest(targetRevision="c3"), 2, ("a1",), ["a1"]
    reach(shop, StepKind.MIGRATE)
    uid = shop.order("old")
    shop.turn()
    assert shop.running.kind is StepKind.MIGRATE
    assert ready(of(shop, uid)) == ("Unknown", "WaitingForRun")
    shop.play()
    assert [entry.outcome for entry in shop.status.history[:2]] == [Outcome.SUCCEEDED, Outcome.SUCCEEDED]
    assert (shop.heads, of(shop, uid).phase) == (("a1",), Phase.SUCCEEDED)


def test_suspend_does_not_hold_an_emergency_up(shop):
    shop.spec, shop.generation = {**DRAINED, "suspend": True}, 2
    uid = shop.order("old")
    shop.play()
    assert (shop.heads, of(shop, uid).phase) == (("a1",), Phase.SUCCEEDED)


def test_no_other_run_holds_an_emergency_up_but_one_on_the_same_database(shop):
    shop.has_room = False
    uid = shop.order("old")
    shop.turn()
    shop.turn_held_by = "shop/other"
    shop.answer()
    shop.turn()
    assert ready(of(shop, uid)) == ("Unknown", "WaitingForTurn")
    assert shop.workloads[WEB].replicas == 2
    shop.turn_held_by = None
    began = len(shop.started)
    shop.play()
    assert kinds(shop, began) == ["find", "restore"], "what another left is looked at first"
    assert of(shop, uid).phase is Phase.SUCCEEDED


def test_a_resource_that_is_deleted_meanwhile_goes_when_the_restore_has_ended(shop):
    shop.order("old")
    reach(shop, StepKind.RESTORE)
    shop.deleting = True
    shop.turn()
    assert shop.finalizer
    shop.play()
    assert (shop.finalizer, shop.heads, shop.workloads[WEB].replicas) == (False, ("a1",), 2)


def test_with_nothing_to_drain_it_works_too(shop):
    shop.spec = manifest()
    shop.order("old")
    shop.play()
    assert (shop.heads, shop.workloads[WEB]) == (("a1",), WorkloadView(2, 2, 2))


def test_without_a_storage_it_fails_at_once(shop):
    shop.spec = manifest(backup={"skip": {"reason": "scratch"}})
    uid = shop.order("old")
    shop.play()
    assert ready(of(shop, uid)) == ("Stalled", "BackupNotFound")


def test_two_orders_follow_each_other(shop):
    first, second = shop.order("old"), shop.order("same", name="further")
    shop.turn()
    shop.turn()
    assert ready(of(shop, second)) == ("Unknown", "WaitingForRun")
    shop.play()
    shop.play()
    assert [of(shop, uid).phase for uid in (first, second)] == [Phase.SUCCEEDED] * 2
    assert shop.heads == ("c3",)


def test_an_order_whose_word_was_lost_is_told_at_the_next_look(shop):
    uid = shop.order("old")
    shop.play()
    said, began = of(shop, uid), len(shop.started)
    shop.orders[uid] = replace(shop.orders[uid], status=RestoreStatus())
    shop.turn()
    assert of(shop, uid).finished_at == said.finished_at
    assert ready(of(shop, uid)) == ready(said)
    assert kinds(shop, began) == []


def test_an_order_for_a_resource_that_is_not_there_waits(shop):
    order = OrderView("back", "0", 1, "old", True, RestoreStatus())
    told = without_migration(order, NOON, Reason.MIGRATION_NOT_FOUND, "There is no DatabaseMigration shop.")
    assert ready(told.status) == ("False", "MigrationNotFound")
    assert not told.status.has_ended
    waiting = replace(order, status=told.status)
    assert without_migration(waiting, NOON, Reason.MIGRATION_NOT_FOUND, told.status.conditions[0].message) is None
