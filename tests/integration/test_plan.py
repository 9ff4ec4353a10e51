"""What a plan says, and that it changes nothing."""

from __future__ import annotations

import pytest

from dbmigration_runner.contract.task import Policy
from tests.integration.projects import create


def test_a_plan_tells_the_pending_revisions_in_order_with_their_titles(project, database):
    shop = project("url_in_the_ini", database.url)
    shop.revision("a1", None, create("t1"), title="First table")
    shop.revision("a2", "a1", create("t2"), title="Second table")
    ran = shop.run("plan")
    plan = ran.result.plan
    assert ran.code == 0
    assert [(found.id, found.title) for found in plan.revisions] == [("a1", "First table."), ("a2", "Second table.")]
    assert (plan.start, plan.target, plan.count) == ((), ("a2",), 2)
    assert plan.version_table == "public.alembic_version"
    assert plan.statements == 2
    assert ran.result.heads == ()
    assert ran.result.changed is False
    assert database.tables() == set()


def test_the_sql_of_each_revision_stands_in_the_log(project, database):
    shop = project("url_in_the_ini", database.url)
    shop.revision("a1", None, create("t1"))
    assert "CREATE TABLE t1" in shop.run("plan").events_called("sql")[0]["sql"]


def test_a_revision_that_queries_while_it_renders_is_told_apart_from_those_that_do_not(project, each_database):
    shop = project("url_in_the_ini", each_database.url)
    shop.revision("a1", None, create("t1"))
    shop.revision("a2", "a1", 'op.get_bind().execute(sa.text("SELECT 1")).scalar()')
    shop.revision("a3", "a2", create("t3"))
    ran = shop.run("plan")
    (finding,) = ran.result.plan.findings
    assert (finding.code, finding.revision) == ("NotRenderable", "a2")
    assert ran.result.plan.statements is None
    assert {event["revision"] for event in ran.events_called("sql")} == {"a1", "a3"}


def test_a_revision_that_never_ends_while_it_renders_costs_the_sql_and_not_the_plan(project, database):
    shop = project("url_in_the_ini", database.url)
    shop.revision("a1", None, create("t1"))
    shop.revision("a2", "a1", "while context.is_offline_mode():", "    pass")
    shop.revision("a3", "a2", create("t3"))
    ran = shop.run("plan", timeout_seconds=20)
    assert ran.result.outcome.value == "Succeeded", ran.result.message
    assert [found.id for found in ran.result.plan.revisions] == ["a1", "a2", "a3"]
    (finding,) = ran.result.plan.findings
    assert (finding.code, finding.revision) == ("NotRenderable", "a2")
    assert "not done within" in finding.message
    assert [event["revision"] for event in ran.events_called("sql")] == ["a1"]


def test_a_database_at_the_target_has_nothing_pending(project, each_database):
    shop = project("url_in_the_ini", each_database.url)
    shop.three_revisions()
    assert shop.run("migrate").code == 0
    ran = shop.run("plan")
    assert (ran.result.plan.count, ran.result.plan.start, ran.result.heads) == (0, ("a3",), ("a3",))


def test_a_plan_can_end_at_a_revision_before_the_head(project, each_database):
    shop = project("url_in_the_ini", each_database.url)
    shop.three_revisions()
    plan = shop.run("plan", migrations={"target": "a2"}).result.plan
    assert ([found.id for found in plan.revisions], plan.target) == (["a1", "a2"], ("a2",))


def test_a_database_ahead_of_the_image_is_told_by_its_revision(project, each_database):
    shop = project("url_in_the_ini", each_database.url)
    shop.three_revisions()
    shop.run("migrate")
    (shop.path / "migrations/versions/a3.py").unlink()
    result = shop.run("plan").result
    assert result.reason == "UnknownRevision"
    assert "a3" in result.message
    assert result.heads == ("a3",)


def test_a_target_behind_the_database_is_refused(project, each_database):
    shop = project("url_in_the_ini", each_database.url)
    shop.three_revisions()
    shop.run("migrate")
    assert shop.run("plan", migrations={"target": "a1"}).result.reason == "DowngradeNotAllowed"


@pytest.mark.parametrize("target", ["nosuch", "+1", "-1"])
def test_a_target_that_names_no_revision_is_refused(project, tmp_path, target):
    shop = project("url_in_the_ini", f"sqlite:///{tmp_path}/shop.db")
    shop.three_revisions()
    assert shop.run("plan", migrations={"target": target}).result.reason == "UnknownTarget"


def test_head_is_refused_where_there_are_several_and_heads_is_not(project, tmp_path):
    shop = project("url_in_the_ini", f"sqlite:///{tmp_path}/shop.db")
    shop.three_revisions()
    shop.revision("b2", "a1", create("b2"))
    result = shop.run("plan").result
    assert result.reason == "MultipleHeads"
    assert "a3" in result.message
    assert "b2" in result.message
    assert shop.run("plan", migrations={"target": "heads"}).result.plan.target == ("a3", "b2")


def test_a_broken_revision_is_told_by_file_and_line(project, tmp_path):
    shop = project("url_in_the_ini", f"sqlite:///{tmp_path}/shop.db")
    shop.revision("a1", None, "this is no Python")
    result = shop.run("plan").result
    assert result.reason == "ScriptError"
    assert "migrations/versions/a1.py:12" in result.message


def test_a_revision_without_upgrade_is_refused_before_anything_runs(project, tmp_path):
    shop = project("url_in_the_ini", f"sqlite:///{tmp_path}/shop.db")
    file = shop.revision("a1", None, "pass")
    file.write_text(file.read_text().replace("def upgrade", "def upgrad"))
    result = shop.run("plan").result
    assert (result.reason, "a1" in result.message) == ("ScriptError", True)


def test_a_missing_parent_is_a_script_error(project, tmp_path):
    shop = project("url_in_the_ini", f"sqlite:///{tmp_path}/shop.db")
    shop.revision("a2", "a1", create("t2"))
    result = shop.run("plan").result
    assert (result.reason, "a1" in result.message) == ("ScriptError", True)


def test_a_missing_configuration_says_where_it_was_looked_for(project, tmp_path):
    shop = project("url_in_the_ini", f"sqlite:///{tmp_path}/shop.db")
    (shop.path / "alembic.ini").unlink()
    result = shop.run("plan").result
    assert result.reason == "ConfigNotFound"
    assert str(shop.path) in result.message


def test_an_environment_that_cannot_be_imported_is_told_by_file_and_line(project, tmp_path):
    shop = project("url_in_the_ini", f"sqlite:///{tmp_path}/shop.db")
    (shop.path / "migrations/env.py").write_text("import nosuchmodule\n")
    result = shop.run("plan").result
    assert result.reason == "ScriptError"
    assert "migrations/env.py:1" in result.message
    assert "nosuchmodule" in result.message


def test_an_environment_that_writes_while_loading_is_refused(project, each_database):
    shop = project("writes_while_loading", each_database.url)
    shop.three_revisions()
    result = shop.run("plan").result
    assert result.reason == "PlanWrites"
    assert result.changed is False
    assert each_database.tables() == set()


def test_an_environment_that_writes_to_a_file_while_loading_is_refused(project, tmp_path):
    shop = project("writes_while_loading", f"sqlite:///{tmp_path}/shop.db")
    shop.three_revisions()
    result = shop.run("plan").result
    assert (result.reason, result.changed) == ("PlanWrites", False)


def test_an_environment_that_may_write_while_loading_is_reported_to_have_done_so(project, each_database):
    shop = project("writes_while_loading", each_database.url)
    shop.three_revisions()
    result = shop.run("plan", policy=Policy(plan_writes=True)).result
    assert result.changed is True
    assert "EnvironmentWrites" in {finding.code for finding in result.plan.findings}
    assert result.plan.count == 3


def test_the_plan_of_the_same_scripts_has_the_same_hash_and_of_others_another(project, database):
    shop = project("url_in_the_ini", database.url)
    shop.three_revisions()
    first = shop.run("plan").result.plan.hash
    assert shop.run("plan").result.plan.hash == first
    with (shop.path / "migrations/versions/a2.py").open("a") as file:
        file.write("# touched\n")
    second = shop.run("plan").result.plan.hash
    third = shop.run("plan", migrations={"image": "shop@sha256:1"}).result.plan.hash
    assert len({first, second, third}) == 3


def test_a_role_that_may_not_create_is_refused(project, database):
    with database.server.superuser(database.name) as connection:
        connection.execute("DROP ROLE IF EXISTS reader")
        connection.execute("CREATE ROLE reader LOGIN PASSWORD 'readerpassword'")
    shop = project("url_in_the_ini", database.server.url(database.name, user="reader", password="readerpassword"))
    shop.three_revisions()
    result = shop.run("plan").result
    assert (result.reason, result.message) == (
        "InsufficientPrivilege",
        "The role reader may not create alembic_version in schema public: GRANT CREATE ON SCHEMA public TO reader.",
    )


def test_a_role_that_owns_none_of_the_tables_is_refused(project, database):
    database.ask("CREATE TABLE public.of_somebody_else (id integer)")
    shop = project("url_in_the_ini", database.url)
    shop.three_revisions()
    result = shop.run("plan").result
    assert (result.reason, "owns none" in result.message) == ("InsufficientPrivilege", True)


def test_a_long_plan_still_fits_and_says_that_it_was_cut(project, tmp_path):
    shop = project("url_in_the_ini", f"sqlite:///{tmp_path}/shop.db")
    for number in range(120):
        shop.revision(f"r{number:03}", f"r{number - 1:03}" if number else None, "pass", title="A long title " * 5)
    ran = shop.run("plan")
    assert len(ran.text.encode()) <= 4096
    assert ran.result.truncated
    assert ran.result.plan.count == 120
    whole = ran.stdout.split(f"-----BEGIN dbmigration result {shop.nonce}-----\n")[1].split("\n-----END")[0]
    assert '"r119"' in whole
