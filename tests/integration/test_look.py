"""After a loss the database is read, and nothing is assumed."""

from __future__ import annotations

from dbmigration_runner.contract.task import ExpectedPlan


def test_a_look_tells_heads_and_schema_and_changes_nothing(project, each_database):
    shop = project("url_in_the_ini", each_database.url)
    shop.three_revisions()
    empty = shop.run("look").result
    migrated = shop.run("migrate").result
    looked = shop.run("look").result
    assert (empty.heads, empty.changed) == ((), False)
    assert (looked.heads, looked.catalog) == (("a3",), migrated.catalog)
    assert looked.catalog != empty.catalog


def test_a_look_at_an_empty_database_leaves_no_version_table(project, each_database):
    shop = project("url_in_the_ini", each_database.url)
    shop.run("look")
    assert each_database.tables() == set()


def test_a_look_does_not_need_an_environment_that_works(project, each_database):
    shop = project("url_in_the_ini", each_database.url)
    shop.three_revisions()
    shop.run("migrate")
    (shop.path / "migrations/env.py").write_text("raise RuntimeError('broken')\n")
    result = shop.run("look").result
    assert (result.outcome.value, result.heads) == ("Succeeded", ("a3",))
    assert any("RuntimeError" in warning for warning in result.warnings)


def test_a_look_needs_no_application_at_all_where_the_plan_told_the_version_table(project, database):
    shop = project("url_in_the_ini", database.url)
    shop.three_revisions()
    shop.run("migrate")
    expected = ExpectedPlan("0" * 64, (), ("a3",), "public.alembic_version")
    result = shop.start("look", expected=expected).wait().result
    assert result.heads == ("a3",)


def test_a_look_at_another_database_than_was_planned_is_refused(project, database):
    shop = project("url_in_the_ini", database.url)
    shop.three_revisions()
    expected = shop.planned()
    shop.url = database.server.url("postgres")
    result = shop.run("look", expected=expected).result
    assert (result.outcome.value, result.reason, result.heads) == ("Failed", "DatabaseMoved", None)


def test_a_look_at_a_file_works_too(project, tmp_path):
    shop = project("url_in_the_ini", f"sqlite:///{tmp_path}/shop.db")
    shop.three_revisions()
    shop.run("migrate")
    assert shop.run("look").result.heads == ("a3",)
