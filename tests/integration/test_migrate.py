"""What a migration leaves behind, and that its report says exactly that."""

from __future__ import annotations

import json
import sqlite3

import pytest

from dbmigration_runner.contract.task import (
    BackupOrder,
    ChecksAfter,
    ChecksBefore,
    ExpectedPlan,
    QueryCheck,
    RunIdentity,
)
from tests.integration.postgresql_server import CANARY
from tests.integration.projects import create


def test_every_pending_revision_is_applied_and_told_as_it_happens(project, each_database):
    shop = project("url_in_the_ini", each_database.url)
    shop.three_revisions()
    ran = shop.run("migrate", expected=shop.planned())
    assert (ran.code, ran.result.reason) == (0, "Done")
    assert ran.result.migrate.applied == ("a1", "a2", "a3")
    assert ran.result.heads == ("a3",)
    assert ran.result.changed is True
    assert each_database.tables() == {"alembic_version", "t1", "t2", "t3"}
    assert [event["done"] for event in ran.events_called("revision-applied")] == [1, 2, 3]


def test_a_second_migration_changes_nothing_and_says_so(project, each_database):
    shop = project("url_in_the_ini", each_database.url)
    shop.three_revisions()
    shop.run("migrate")
    result = shop.run("migrate").result
    assert (result.outcome.value, result.changed, result.migrate.applied) == ("Succeeded", False, ())


def test_sqlite_is_migrated_too(project, tmp_path):
    shop = project("url_in_the_ini", f"sqlite:///{tmp_path}/shop.db")
    shop.three_revisions()
    ran = shop.run(
        "migrate", expected=shop.planned(), after=ChecksAfter(integrity=True, tables=("t3",), columns=("t3.id",))
    )
    assert ran.result.outcome.value == "Succeeded"
    assert [check.passed for check in ran.result.migrate.checks] == [True] * 4
    with sqlite3.connect(tmp_path / "shop.db") as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("a3",)]


def test_a_failed_revision_on_postgresql_leaves_nothing_and_the_report_says_so(project, database):
    shop = project("url_in_the_ini", database.url)
    shop.three_revisions()
    shop.revision("a4", "a3", 'op.execute("SELECT * FROM nosuch")')
    ran = shop.run("migrate")
    assert ran.result.reason == "MigrationFailed"
    assert ran.result.migrate.failed_revision == "a4"
    assert ran.result.migrate.applied == ()
    assert "42P01" in ran.result.message
    assert 'relation "nosuch" does not exist' in ran.result.message
    assert (ran.result.heads, ran.result.changed) == ((), False)
    assert database.tables() == set()


def test_a_failed_revision_on_sqlite_leaves_half_of_itself_and_the_report_says_so(project, tmp_path):
    shop = project("url_in_the_ini", f"sqlite:///{tmp_path}/shop.db")
    shop.three_revisions()
    shop.revision("a4", "a3", create("half"), 'op.execute("SELECT * FROM nosuch")')
    result = shop.run("migrate").result
    assert result.migrate.failed_revision == "a4"
    assert result.migrate.applied == ("a1", "a2", "a3")
    assert (result.heads, result.changed) == (("a3",), True)


def test_a_revision_that_commits_by_itself_is_not_said_to_have_changed_nothing(project, database):
    database.ask("CREATE TABLE public.rows (id integer); ALTER TABLE public.rows OWNER TO shop")
    shop = project("url_in_the_ini", database.url)
    shop.revision(
        "a1",
        None,
        "with op.get_context().autocommit_block():",
        '    op.execute("INSERT INTO rows VALUES (1)")',
        'raise RuntimeError("after the commit")',
    )
    database.ask("CREATE TABLE public.alembic_version (version_num varchar(32) PRIMARY KEY)")
    database.ask("ALTER TABLE public.alembic_version OWNER TO shop")
    result = shop.run("migrate").result
    assert result.reason == "MigrationFailed"
    assert database.ask("SELECT count(*) FROM public.rows") == [(1,)]
    assert result.heads == ()
    assert result.changed is True


def test_rows_committed_by_a_revision_whose_version_was_rolled_back_are_not_forgotten(project, database):
    """One transaction for all: the second revision fails, and nothing but the first one's rows is left."""
    shop = project("url_in_the_ini", database.url)
    shop.revision("a1", None, create("rows"))
    shop.run("migrate")
    row = '    op.execute("INSERT INTO rows VALUES (DEFAULT)")'
    shop.revision("a2", "a1", "with op.get_context().autocommit_block():", row)
    shop.revision("a3", "a2", 'op.execute("SELECT * FROM nosuch")')
    result = shop.run("migrate").result
    assert (result.reason, result.heads, result.changed) == ("MigrationFailed", ("a1",), True)


def test_a_stopped_migration_that_left_rows_is_a_failed_one(project, database):
    """Read as stopped by somebody it would be started again, and the rows be there twice."""
    shop = project("url_in_the_ini", database.url)
    shop.revision("a1", None, create("rows"))
    shop.run("migrate")
    row = '    op.execute("INSERT INTO rows VALUES (DEFAULT)")'
    sleep = 'op.execute("SELECT pg_sleep(60)")'
    shop.revision("a2", "a1", "with op.get_context().autocommit_block():", row, sleep)
    result = shop.run("migrate", timeout_seconds=5).result
    assert (result.reason, result.heads, result.changed) == ("MigrationFailed", ("a1",), True)


def test_a_migration_stopped_after_a_revision_that_is_committed_is_only_stopped(project, database):
    shop = project("url_in_the_ini", database.url)
    env = shop.path / "migrations/env.py"
    env.write_text(
        env.read_text().replace("connection=connection", "connection=connection, transaction_per_migration=True")
    )
    shop.revision("a1", None, create("rows"))
    shop.revision("a2", "a1", 'op.execute("SELECT pg_sleep(60)")')
    result = shop.run("migrate", timeout_seconds=5).result
    assert (result.reason, result.heads, result.changed) == ("TimedOut", ("a1",), True)


def test_rows_in_an_error_never_leave_the_process(project, each_database):
    shop = project("url_in_the_ini", each_database.url)
    shop.revision(
        "a1",
        None,
        create("people", 'sa.Column("name", sa.Text, unique=True)'),
        "for _ in range(2):",
        '    op.get_bind().execute(sa.text("INSERT INTO people (name) VALUES (:name)"), {"name": " ".join(("Grace", "Hopper"))})',
    )
    ran = shop.run("migrate")
    assert "23505" in ran.result.message or "1062 Duplicate entry '…'" in ran.result.message
    assert "Grace Hopper" not in ran.text
    assert "Grace Hopper" not in "\n".join(json.dumps(event) for event in ran.events)


def test_a_plan_of_other_scripts_is_not_run(project, each_database):
    shop = project("url_in_the_ini", each_database.url)
    shop.three_revisions()
    expected = shop.planned()
    with (shop.path / "migrations/versions/a2.py").open("a") as file:
        file.write("# slipped in after the approval\n")
    result = shop.run("migrate", expected=expected).result
    assert (result.reason, result.changed) == ("PlanChanged", False)
    assert each_database.tables() == set()


def test_a_database_that_an_earlier_attempt_took_along_the_plan_is_finished(project, each_database):
    shop = project("url_in_the_ini", each_database.url)
    shop.three_revisions()
    expected = shop.planned()
    assert shop.run("migrate", migrations={"target": "a2"}).code == 0
    again = RunIdentity("shops", "shop", "0123", 7, 2)
    result = shop.run("migrate", expected=expected, run=again).result
    assert (result.outcome.value, result.migrate.applied) == ("Succeeded", ("a3",))


def test_a_database_that_somebody_took_along_the_plan_before_the_first_attempt_is_left_alone(project, each_database):
    """The backup was taken before: restoring it would undo what somebody else did."""
    shop = project("url_in_the_ini", each_database.url)
    shop.three_revisions()
    expected = shop.planned()
    shop.run("migrate", migrations={"target": "a2"})
    result = shop.run("migrate", expected=expected).result
    assert (result.reason, result.heads, result.changed) == ("DatabaseMoved", ("a2",), False)


@pytest.mark.parametrize("step", ["migrate", "backup"])
def test_another_database_than_was_planned_is_left_alone_though_it_is_at_the_same_revision(
    project, database, tmp_path, step
):
    shop = project("url_in_the_ini", database.url)
    shop.three_revisions()
    expected = shop.planned()
    shop.url = database.server.url("template1")
    order = BackupOrder(directory=str(tmp_path / "backups"), name="shop-7")
    result = shop.run(step, expected=expected, backup=order).result
    assert (result.reason, result.changed) == ("DatabaseMoved", False)
    assert not list(tmp_path.glob("backups/*"))


def test_a_database_that_somebody_moved_off_the_plan_is_left_alone(project, database):
    shop = project("url_in_the_ini", database.url)
    shop.three_revisions()
    shop.run("migrate", migrations={"target": "a2"})
    plan = shop.planned()
    database.ask("UPDATE public.alembic_version SET version_num = 'a1'")
    result = shop.run("migrate", expected=plan).result
    assert (result.reason, result.heads, result.changed) == ("DatabaseMoved", ("a1",), False)
    assert "t3" not in database.tables()


def test_a_version_table_that_says_something_else_afterwards_is_not_believed(project, each_database):
    shop = project("url_in_the_ini", each_database.url)
    shop.three_revisions()
    with (shop.path / "migrations/env.py").open("a") as file:
        file.write(
            "\nfrom sqlalchemy import create_engine, text\n"
            "if not context.is_offline_mode():\n"
            '    with create_engine(context.config.get_main_option("sqlalchemy.url")).begin() as c:\n'
            "        c.execute(text(\"UPDATE alembic_version SET version_num = 'a1'\"))\n"
        )
    result = shop.run("migrate").result
    assert (result.reason, result.heads, result.changed) == ("VerificationFailed", ("a1",), True), result.message


def test_checks_after_are_asked_of_the_database(project, database):
    shop = project("url_in_the_ini", database.url)
    shop.three_revisions()
    shop.variables = {"SHOP_HOME": "here"}
    asked = ChecksAfter(
        queries=(
            QueryCheck("empty", "SELECT count(*) FROM t1", "0"),
            QueryCheck("percent", "SELECT 'a%s' LIKE 'a%'", "true"),
            QueryCheck("wrong", "SELECT 'Grace Hopper'", "nobody"),
            QueryCheck("writes", "INSERT INTO t1 VALUES (1) RETURNING id", "1"),
        ),
        tables=("t1", "public.t2", "nosuch"),
        columns=("t1.id", "public.t1.nosuch"),
        command=("sh", "-c", 'echo from the command; test -f alembic.ini && test "$SHOP_HOME" = here'),
        integrity=True,
    )
    ran = shop.run("migrate", after=asked)
    assert ran.result.reason == "CheckFailed"
    assert ran.result.heads == ("a3",)
    failed = {check.name for check in ran.result.migrate.checks if not check.passed}
    assert failed == {"query wrong", "query writes", "table nosuch", "column public.t1.nosuch"}
    assert "from the command" in ran.stdout
    assert "Grace Hopper" not in ran.text
    assert database.ask("SELECT count(*) FROM t1") == [(0,)]


def test_an_invalid_index_fails_the_integrity_check(project, database):
    shop = project("url_in_the_ini", database.url)
    shop.revision("a1", None, create("t1"), 'op.execute("INSERT INTO t1 VALUES (1), (2)")')
    shop.run("migrate")
    with pytest.raises(Exception, match="could not create unique index"):
        database.ask("CREATE UNIQUE INDEX CONCURRENTLY broken ON public.t1 ((1))")
    result = shop.run("migrate", after=ChecksAfter(integrity=True)).result
    assert result.reason == "CheckFailed"
    assert "public.broken" in next(check.message for check in result.migrate.checks if not check.passed)


def test_an_invalid_index_is_warned_of_where_nobody_asked(project, database):
    shop = project("url_in_the_ini", database.url)
    shop.revision("a1", None, create("t1"), 'op.execute("INSERT INTO t1 VALUES (1), (2)")')
    assert shop.run("migrate").result.warnings == ()
    with pytest.raises(Exception, match="could not create unique index"):
        database.ask("CREATE UNIQUE INDEX CONCURRENTLY broken ON public.t1 ((1))")
    result = shop.run("migrate").result
    assert (result.outcome.value, result.reason) == ("Succeeded", "Done")
    assert [warning for warning in result.warnings if "public.broken" in warning and "REINDEX" in warning]


def test_a_long_transaction_keeps_a_migration_from_beginning(project, database):
    shop = project("url_in_the_ini", database.url)
    shop.three_revisions()
    with database.server.superuser(database.name) as other:
        other.execute("SET application_name = 'report'")
        other.execute("BEGIN")
        other.execute("SELECT pg_sleep(1.5)")
        database.ask("GRANT pg_read_all_stats TO shop")
        result = shop.run("migrate", before=ChecksBefore(max_transaction_age_seconds=1)).result
        database.ask("REVOKE pg_read_all_stats FROM shop")
        blind = shop.run("migrate", before=ChecksBefore(max_transaction_age_seconds=1)).result
    assert (result.reason, result.changed) == ("LongTransaction", False)
    assert "report" in result.message
    assert any("does not see" in warning for warning in blind.warnings)


def test_too_little_disk_keeps_a_migration_from_beginning(project, tmp_path):
    shop = project("url_in_the_ini", f"sqlite:///{tmp_path}/shop.db")
    shop.three_revisions()
    assert shop.run("migrate", before=ChecksBefore(min_free_disk_bytes=1 << 60)).result.reason == "DiskSpaceLow"


def test_the_password_is_in_no_word_that_the_runner_or_the_application_says(project, each_database):
    shop = project("url_in_the_ini", each_database.url)
    shop.three_revisions()
    (shop.path / "migrations/versions/a2.py").write_text(
        (shop.path / "migrations/versions/a2.py")
        .read_text()
        .replace(
            "def upgrade():",
            "def upgrade():\n"
            "    import base64, json, sys, urllib.parse\n"
            "    url = context.config.get_main_option('sqlalchemy.url')\n"
            "    word = sa.engine.make_url(url).password\n"
            "    forms = [url, word, repr(word), json.dumps(word), urllib.parse.quote(word), urllib.parse.quote_plus(word),\n"
            "        base64.b64encode(word.encode()).decode(), url.replace('%', '%%')]\n"
            "    print('forms:', *forms, flush=True)\n"
            "    print('forms:', *forms, file=sys.stderr, flush=True)\n"
            "    raise RuntimeError(f'cannot connect to {url} with {word}')\n",
        )
    )
    ran = shop.run("migrate")
    assert ran.result.reason == "MigrationFailed"
    everything = ran.text + ran.stdout + ran.stderr
    assert "forms: ***" in ran.stdout
    for fragment in ("S3cret", "UzNjcmV0", CANARY):
        assert fragment not in everything


def test_an_expected_plan_of_another_start_is_told_from_this_one(project, database):
    shop = project("url_in_the_ini", database.url)
    shop.three_revisions()
    plan = shop.planned()
    result = shop.run("migrate", expected=ExpectedPlan("0" * 64, plan.start, plan.target)).result
    assert result.reason == "PlanChanged"
