"""Each of the ways in which real env.py files differ from the tutorial is planned and migrated as it is."""

from __future__ import annotations

import sqlite3

import pytest
from sqlalchemy.engine import make_url

from dbmigration_runner.contract.task import ExpectedPlan, UrlHandover, UrlPart
from tests.integration.projects import create

NO_INI = {"ini_option": None}
PARTS = {
    "SHOP_DRIVER": UrlPart.DRIVER,
    "SHOP_USER": UrlPart.USER,
    "SHOP_PASSWORD": UrlPart.PASSWORD,
    "SHOP_HOST": UrlPart.HOST,
    "SHOP_PORT": UrlPart.PORT,
    "SHOP_NAME": UrlPart.DATABASE,
}
WAYS = [
    ("url_in_the_ini", UrlHandover()),
    ("url_in_a_variable", UrlHandover(None, {"SHOP_DATABASE_URL": UrlPart.URL})),
    ("url_in_parts", UrlHandover(None, PARTS)),
    ("package_called_dbmigration", UrlHandover(None, {"SHOP_DATABASE_URL": UrlPart.URL})),
    ("url_as_x_argument", UrlHandover(None, x_arguments=("database", "tenant=blue"))),
    ("connection_only", UrlHandover(None, connection=True)),
    ("version_folder_chosen_in_env", UrlHandover()),
    ("muted_and_coloured_logs", UrlHandover()),
]


@pytest.mark.parametrize(("environment", "handover"), WAYS, ids=[way for way, _ in WAYS])
def test_it_is_planned_and_migrated_as_it_is(project, database, environment, handover):
    shop = project(environment, database.url, url_to=handover)
    shop.three_revisions()
    plan = shop.run("plan").result
    assert plan.reason == "Done", plan.message
    assert plan.plan.count == 3
    expected = ExpectedPlan(plan.plan.hash, plan.plan.start, plan.plan.target, plan.plan.version_table)
    result = shop.run("migrate", expected=expected).result
    assert (result.outcome.value, result.heads, result.migrate.applied) == ("Succeeded", ("a3",), ("a1", "a2", "a3"))


@pytest.mark.parametrize("driver", ["postgresql+asyncpg", "postgresql+psycopg", "postgresql+psycopg2"])
def test_every_driver_works_for_the_application_and_for_us(project, database, driver):
    environment = "url_in_the_ini" if driver.endswith("2") else "asynchronous"
    shop = project(environment, database.server.url(database.name, driver=driver))
    shop.three_revisions()
    assert shop.run("plan").result.plan.statements == 3
    assert shop.run("migrate").result.heads == ("a3",)


def test_an_asynchronous_engine_on_sqlite_works(project, tmp_path):
    shop = project("asynchronous", f"sqlite+aiosqlite:///{tmp_path}/shop.db")
    shop.three_revisions()
    assert shop.run("plan").result.plan.count == 3
    assert shop.run("migrate").result.heads == ("a3",)


def test_two_labelled_roots_have_two_heads_and_each_can_be_the_target(project, database):
    shop = project("two_labelled_roots", database.url)
    shop.revision("a1", None, create("t1"), extra='branch_labels = ("None",)')
    shop.folder = "migrations/others"
    shop.revision("b1", None, create("b1"), extra='branch_labels = ("others",)')
    assert shop.run("migrate", migrations={"target": "others@head"}).result.heads == ("b1",)
    result = shop.run("migrate", migrations={"target": "heads"}).result
    assert (result.heads, result.migrate.applied) == (("a1", "b1"), ("a1",))


def test_a_dependency_between_branches_is_applied_and_the_heads_are_what_alembic_keeps(project, database):
    shop = project("two_labelled_roots", database.url)
    shop.revision("a1", None, create("t1"))
    shop.folder = "migrations/others"
    shop.revision("b1", None, create("b1"), extra='depends_on = "a1"')
    plan = shop.run("plan", migrations={"target": "heads"}).result.plan
    assert shop.run("migrate", migrations={"target": "heads"}).result.heads == plan.target


def test_a_version_table_of_another_name_in_another_schema_is_read_there(project, database):
    database.ask("CREATE SCHEMA bookkeeping AUTHORIZATION shop")
    shop = project("version_table_elsewhere", database.url)
    shop.three_revisions()
    plan = shop.planned()
    assert plan.version_table == "bookkeeping.shop_versions"
    assert shop.run("migrate", expected=plan).result.heads == ("a3",)
    looked = shop.run("look", expected=plan).result
    assert looked.heads == ("a3",)
    # Until env.py tells it, nobody knows that this table is the one that the schema is taken without.
    again = shop.run("plan").result
    assert (again.changed, again.catalog, again.plan.findings) == (False, looked.catalog, ())


def test_several_version_tables_in_one_run_are_refused_clearly(project, database):
    shop = project("several_version_tables", database.url)
    shop.three_revisions()
    result = shop.run("plan").result
    assert result.reason == "ConfigInvalid"
    assert "versions_blue, versions_green" in result.message
    assert database.tables() == set()


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("sqlalchemy.url = postgresql://shop:S3cret@db/shop\n", "MissingSectionHeaderError, line 1"),
        ("[alembic]\nS3cret\n", "ParsingError, line 2"),
        ("[alembic]\nscript_location = %(S3cret)s\n", "InterpolationMissingOptionError, option script_location"),
    ],
)
def test_an_ini_that_cannot_be_read_is_told_by_its_line_and_not_by_what_stands_there(project, tmp_path, text, fault):
    shop = project("url_in_the_ini", f"sqlite:///{tmp_path / 'shop.db'}")
    (shop.path / "alembic.ini").write_text(text, encoding="utf-8")
    result = shop.run("plan").result
    assert result.reason == "ConfigInvalid"
    assert fault in result.message
    assert "S3cret" not in result.message


@pytest.mark.parametrize("end", ["sys.exit", "abruptly"])
def test_an_environment_that_ends_the_process_is_told_and_what_it_did_too(project, database, end):
    shop = project("exits_after_its_work", database.url, variables={"SHOP_END": end})
    shop.three_revisions()
    result = shop.run("migrate").result
    assert (result.reason, result.outcome.value) == ("EnvironmentExited", "Failed")
    assert "at the target nevertheless" in result.message
    assert (result.heads, result.migrate.applied) == (("a3",), ("a1", "a2", "a3"))


def test_an_environment_that_runs_nothing_is_told(project, database):
    shop = project("url_in_the_ini", database.url)
    shop.three_revisions()
    (shop.path / "migrations/env.py").write_text('"""Nothing."""\n')
    assert shop.run("plan").result.reason == "EnvironmentDidNothing"
    assert shop.run("migrate").result.reason == "EnvironmentDidNothing"


def test_a_url_that_never_reaches_env_is_told(project, database):
    shop = project("url_in_a_variable", database.url)
    shop.three_revisions()
    result = shop.run("plan").result
    assert result.reason == "EnvironmentFailed"
    assert "SHOP_DATABASE_URL" in result.message
    assert "migrations/env.py" in result.message


def test_revision_ids_need_not_be_hexadecimal(project, tmp_path):
    shop = project("url_in_the_ini", f"sqlite:///{tmp_path}/shop.db")
    shop.revision("1.2.0", None, create("t1"))
    shop.revision("with words", "1.2.0", create("t2"))
    assert shop.run("migrate", expected=shop.planned()).result.heads == ("with words",)


def test_a_password_with_every_special_character_reaches_the_server(database):
    assert set("%/+ :@'\"\\") <= set(make_url(database.url).password)


def test_a_database_file_that_is_not_there_yet_is_an_empty_database(project, tmp_path):
    shop = project("url_in_the_ini", f"sqlite:///{tmp_path}/new.db")
    shop.three_revisions()
    assert shop.run("plan").result.plan.start == ()
    assert shop.run("migrate").result.heads == ("a3",)
    with sqlite3.connect(tmp_path / "new.db") as connection:
        assert connection.execute("SELECT count(*) FROM t3").fetchone() == (0,)
