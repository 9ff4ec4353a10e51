"""Which restore a start on this machine orders, or goes on with."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime

import pytest

from dbmigration.api.restored import Order
from dbmigration.api.status import Outcome, Procedure, Run, Status
from dbmigration.cli import main
from dbmigration.local.driving import Exit
from dbmigration.local.errors import ManifestError
from dbmigration.local.ordering import insist_on_backup, order_of
from dbmigration.local.store import Resource, folder_name, open_store, read
from tests.unit.local.stored_backups import put

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


def refusal(name, own):
    with pytest.raises(ManifestError) as refused:
        insist_on_backup(name, own, "default/shop")
    return str(refused.value)


def test_a_backup_that_is_not_there_is_refused_with_the_newest_that_are(tmp_path):
    own = tmp_path / "default.shop-1"
    for day in range(1, 8):
        put(own, f"shop-{day}", taken_at=f"2026-11-{day:02}T12:00:00Z")
    put(own, "torn", size_bytes=1)
    insist_on_backup("shop-1", own, "default/shop")
    insist_on_backup("torn", own, "default/shop")  # what is wrong with it is the runner's to say
    said = refusal("shop-9", own)
    assert said.endswith("newest first: shop-7, shop-6, shop-5, shop-4, shop-3, and 2 older ones.")


def test_where_there_are_only_backups_of_other_names_or_databases_their_folders_are_named(tmp_path):
    own = tmp_path / "default.shop-1"
    assert "There is none of others beside it either: give --backups as" in refusal("shop-9", own)
    put(tmp_path / "default.shop-2")
    put(tmp_path / "default.store-1", "store-1", object="default/store/uid")
    put(tmp_path / "default.store-1", "store-2", object="default/store/uid")
    said = refusal("shop-9", own)
    assert f"databases are in {tmp_path}/default.shop-2 (1), {tmp_path}/default.store-1 (2)" in said
    assert "give its --name and its database's URL" in said
    assert "a backup of default/store: give --name store" in refusal("store-1", own)


def test_the_backup_of_a_database_that_has_moved_is_told_how_to_copy(tmp_path):
    own, before = tmp_path / "the backups" / "default.shop-1", tmp_path / "the backups" / "default.shop-2"
    put(before)
    said = refusal("shop-1", own)
    subprocess.run(["sh", "-c", said.partition("copy it: ")[2]], check=True)
    insist_on_backup("shop-1", own, "default/shop")
    assert {path.name for path in own.iterdir()} == {"shop-1.dump", "shop-1.manifest.json"}


def test_a_mistyped_backup_begins_no_run_and_leaves_the_last_one_to_be_told(tmp_path, capsys, monkeypatch):
    url = f"sqlite:///{tmp_path}/x.db"
    monkeypatch.setenv("DBMIGRATION_URL", url)
    folder = folder_name("default", "shop", url)
    put(tmp_path / "backups" / folder)
    with open_store(tmp_path / "state", folder) as store:
        kept = Resource("default", "shop", url, "uid")
        store.save(kept)
        place = ["--project", str(tmp_path), "--name", "shop", "--state", str(tmp_path / "state")]
    assert main(["run", *place, "--backups", str(tmp_path / "backups"), "--restore", "shop-11"]) == Exit.INVALID
    assert "nothing was begun. There are, newest first: shop-1." in capsys.readouterr().err
    assert read(tmp_path / "state" / folder) == kept
