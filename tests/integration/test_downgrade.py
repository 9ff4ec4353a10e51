"""The way back by the application's own downgrades: as a wish, and undoing exactly what a run applied."""

from __future__ import annotations

import dataclasses

import pytest

from dbmigration_runner.contract.counting import counted
from dbmigration_runner.contract.task import CompareOrder, Policy, RunIdentity
from tests.integration.backups import Backups
from tests.integration.projects import create

DOWN = Policy(downgrade=True)


@pytest.fixture
def shop(project, url):
    """Three tables, one a revision, all of them there."""
    shop = project("url_in_the_ini", url)
    shop.three_revisions()
    assert shop.run("migrate").result.heads == ("a3",)
    return shop


def wish(shop, target, **changes):
    """Plan and do a downgrade."""
    wanted = {"migrations": {"target": target}, "policy": DOWN}
    expected = shop.planned(**wanted)
    return shop.run("downgrade", expected=expected, **wanted, **changes).result


@pytest.mark.parametrize(
    ("target", "heads", "undone"),
    [("a2", ("a2",), ("a3",)), ("a1", ("a1",), ("a3", "a2")), ("base", (), ("a3", "a2", "a1"))],
)
def test_an_older_target_is_reached_and_read_back(shop, target, heads, undone):
    plan = shop.run("plan", migrations={"target": target}, policy=DOWN).result
    assert (plan.plan.downgrade, plan.plan.count, plan.plan.target) == (True, len(undone), heads)
    assert tuple(revision.id for revision in plan.plan.revisions) == undone
    assert plan.message == f"To undo: {counted(len(undone), 'revision')}."
    result = wish(shop, target)
    assert (result.reason, result.heads, result.migrate.applied) == ("Done", heads, undone)
    assert result.message == f"{counted(len(undone), 'revision')} undone."


@pytest.mark.parametrize("target", ["a1", "base"])
def test_an_older_target_that_nobody_allowed_is_refused_and_the_remedy_named(shop, target):
    result = shop.run("plan", migrations={"target": target}).result
    assert (result.reason, result.heads, result.changed) == ("DowngradeNotAllowed", ("a3",), False)
    assert "policy.downgrade to Allow" in result.message


def test_what_a_downgrade_cannot_undo_is_told_by_the_plan(shop):
    """Where there is none, or it only raises an error, nothing is begun; one that does nothing leaves its upgrade's work."""
    wanted = {"migrations": {"target": "a1"}, "policy": DOWN}
    for down, told in (
        ("", "a2 has no function downgrade: a2.py"),
        ('raise NotImplementedError("never")', "The downgrade of revision a2 only raises an error: a2.py"),
    ):
        shop.revision("a2", "a1", create("t2"), down=down)
        result = shop.run("plan", **wanted).result
        assert (result.reason, result.heads, result.changed) == ("DowngradeImpossible", ("a3",), False)
        assert told in result.message
    shop.revision("a2", "a1", create("t2"), down="pass")
    plan = shop.run("plan", **wanted).result.plan
    assert [(finding.code, finding.revision) for finding in plan.findings] == [("DowngradeEmpty", "a2")]
    assert (plan.count, plan.loses_data) == (2, False)


def test_a_downgrade_that_fails_says_how_far_it_came(shop, url):
    shop.revision("a2", "a1", create("t2"), down='op.execute("DROP TABLE nosuch")')
    result = wish(shop, "base")
    assert (result.reason, result.migrate.failed_revision) == ("MigrationFailed", "a2")
    stays = url.startswith("postgresql")  # one transaction for all of them
    assert (result.heads, result.migrate.applied) == ((("a3",), ()) if stays else (("a2",), ("a3",)))
    assert result.changed is not stays


def test_a_second_attempt_goes_on_where_the_first_one_stopped(shop):
    wanted = {"migrations": {"target": "base"}, "policy": DOWN}
    expected = shop.planned(**wanted)
    wish(shop, "a2")
    result = shop.run("downgrade", expected=expected, run=RunIdentity("shops", "shop", "0123", 7, 2), **wanted).result
    assert (result.reason, result.heads, result.migrate.applied) == ("Done", (), ("a2", "a1"))


def test_a_database_that_somebody_moved_is_not_taken_back(shop):
    wanted = {"migrations": {"target": "a1"}, "policy": DOWN}
    expected = shop.planned(**wanted)
    wish(shop, "a2")
    result = shop.run("downgrade", expected=expected, **wanted).result
    assert (result.reason, result.heads, result.changed) == ("DatabaseMoved", ("a2",), False)


def test_exactly_what_a_run_applied_is_undone(shop):
    """One transaction a revision, so that a failing third one leaves the first two."""
    env = shop.path / "migrations" / "env.py"
    text = env.read_text(encoding="utf-8")
    env.write_text(text.replace("context.configure(", "context.configure(transaction_per_migration=True, "), "utf-8")
    shop.revision("b1", "a3", create("u1"), down='op.drop_table("u1")')
    shop.revision("b2", "a3", create("u2"), down='op.drop_table("u2")')
    shop.revision("b3", ("b1", "b2"), 'op.execute("SELECT * FROM nosuch")', down="pass")
    expected = shop.planned()
    before = shop.run("look").result.catalog
    failed = shop.run("migrate", expected=expected).result
    assert (failed.reason, failed.heads) == ("MigrationFailed", ("b1", "b2"))

    undone = shop.run("downgrade", expected=expected, undo=True).result
    assert (undone.reason, undone.heads, undone.catalog) == ("Done", ("a3",), before), undone.message
    assert sorted(undone.migrate.applied) == ["b1", "b2"]


def test_nothing_is_undone_by_another_image_than_applied_it(shop):
    shop.revision("a4", "a3", create("t4"), down='op.drop_table("t4")')
    expected = shop.planned()
    shop.run("migrate", expected=expected)
    shop.revision("a4", "a3", create("t4"), down="pass")
    result = shop.run("downgrade", expected=expected, undo=True).result
    assert (result.reason, result.heads, result.changed) == ("PlanChanged", ("a4",), False)


def test_what_a_downgrade_leaves_behind_is_told_item_by_item(shop, url, tmp_path):
    backups = Backups(url, tmp_path / "backups")
    backups.take(start=("a3",))
    shop.revision("a4", "a3", create("t4"), create("t5"), down='op.drop_table("t4")')
    shop.run("migrate")
    left = wish(shop, "a3")
    assert left.reason == "Done"
    (manifest,) = backups.manifests
    assert left.catalog != manifest.catalog_digest
    order = CompareOrder(str(backups.directory), manifest.name)
    result = shop.run("compare", compare=order).result
    assert (result.reason, result.heads, result.catalog) == ("Done", ("a3",), left.catalog), result.message
    assert result.compare.count == len(result.compare.differences) > 0
    assert all("t5" in line and "left behind" in line for line in result.compare.differences), result.compare

    gone = shop.run("compare", compare=dataclasses.replace(order, backup="nosuch")).result
    assert (gone.reason, gone.outcome.value) == ("BackupNotFound", "Failed")


def test_the_empty_version_table_is_not_told_as_left_behind(project, url, tmp_path):
    shop = project("url_in_the_ini", url)
    shop.three_revisions()
    if url.startswith("sqlite"):
        (tmp_path / "shop.db").touch()
    backups = Backups(url, tmp_path / "backups")
    backups.take(start=())
    expected = shop.planned()
    shop.run("migrate", expected=expected)
    undone = wish(shop, "base")
    assert (undone.reason, undone.catalog) == ("Done", backups.manifests[0].catalog_digest)
    order = CompareOrder(str(backups.directory), backups.manifests[0].name, expected.version_table)
    result = shop.run("compare", compare=order).result
    assert (result.compare.count, result.compare.differences) == (0, ())


def test_what_is_there_again_in_name_only_is_told(shop):
    """t1's column comes back as it was made, t2 from where its rows were kept; of t3 nothing is left but the name."""
    note = 'op.add_column("t1", sa.Column("note", sa.Text))'
    shop.revision("b1", "a3", note, "op.execute(\"INSERT INTO t1 VALUES (1, 'rare')\")", down="pass")
    shop.run("migrate")
    fills = f'{create("t2")}\nop.execute("INSERT INTO t2 SELECT id FROM kept")\nop.drop_table("kept")'
    moves = 'op.execute("CREATE TABLE kept AS SELECT id FROM t2")', 'op.drop_table("t2")'
    shop.revision("b2", "b1", 'op.execute("INSERT INTO t2 VALUES (7)")', *moves, down=fills)
    with_note = 'with op.batch_alter_table("t1") as batch:\n    batch.drop_column("note")'
    shop.revision("b3", "b2", with_note, 'op.drop_table("t3")', down=f"{create('t3')}\n{note}")
    shop.run("migrate")
    undone = wish(shop, "b1")
    assert (undone.reason, undone.heads) == ("Done", ("b1",)), undone.message
    assert sorted(undone.migrate.emptied) == ["the column t1.note", "the table t3"]


def test_who_has_no_right_any_more_on_a_table_that_is_made_again_is_told(project, database):
    """Its grants went with it, and no downgrade makes them again: the schema is the one before, and reports stand still."""
    shop = project("url_in_the_ini", database.url)
    shop.three_revisions()
    shop.run("migrate")
    database.ask(
        "DROP ROLE IF EXISTS reader; CREATE ROLE reader; GRANT SELECT ON t1, t2, t3 TO reader; GRANT SELECT ON t2 TO public"
    )
    try:
        shop.revision("b1", "a3", 'op.drop_table("t2")', 'op.drop_table("t3")', down=f"{create('t2')}\n{create('t3')}")
        shop.run("migrate")
        undone = wish(shop, "a3")
        told = "(reader may use its neighbours, and not it: grant that again)"
        assert sorted(undone.migrate.emptied) == [f"the table t2 {told}", f"the table t3 {told}"]
        database.ask("GRANT SELECT ON t2 TO reader")
        shop.run("migrate")
        database.ask("ALTER DEFAULT PRIVILEGES FOR ROLE shop GRANT SELECT ON TABLES TO reader")
        assert sorted(wish(shop, "a3").migrate.emptied) == ["the table t2", "the table t3"]
    finally:
        database.ask("DROP OWNED BY reader; DROP ROLE reader")
