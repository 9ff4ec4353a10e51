"""The application's own environment is used, however old or sparse: SQLAlchemy 1.4, Alembic 1.13, one driver."""

from __future__ import annotations

import pytest

from dbmigration_runner.contract.task import ChecksAfter, LockBudget, QueryCheck
from tests.integration.application_environments import python_with
from tests.integration.projects import create

OLDEST = ("sqlalchemy==1.4.54", "alembic==1.13.3", "psycopg2-binary==2.9.13")
ASYNCPG_ALONE = ("sqlalchemy[asyncio]==2.0.44", "alembic==1.16.5", "asyncpg==0.32.0")
TOO_OLD = ("sqlalchemy==1.4.54", "alembic==1.12.1")


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("requirements", "environment", "driver"),
    [(OLDEST, "url_in_the_ini", "postgresql+psycopg2"), (ASYNCPG_ALONE, "asynchronous", "postgresql+asyncpg")],
    ids=["the oldest libraries", "asyncpg alone"],
)
def test_a_plan_a_migration_and_a_look_work(project, database, requirements, environment, driver):
    url = database.server.url(database.name, driver=driver)
    shop = project(environment, url, python=python_with(*requirements))
    shop.three_revisions()
    plan = shop.run("plan").result
    assert (plan.reason, plan.plan.statements) == ("Done", 3), plan.message
    asked = ChecksAfter(
        queries=(QueryCheck("percent", "SELECT 'a%s' LIKE 'a%'", "true"),), tables=("t3",), integrity=True
    )
    migrated = shop.run("migrate", expected=shop.planned(), after=asked).result
    assert (migrated.reason, migrated.heads) == ("Done", ("a3",)), migrated.message
    looked = shop.run("look").result
    assert (looked.heads, looked.catalog) == (("a3",), migrated.catalog)
    assert looked.resources.peak_memory_bytes is None, "psutil is not in this environment"


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("requirements", "environment", "driver"),
    [(OLDEST, "url_in_the_ini", "postgresql+psycopg2"), (ASYNCPG_ALONE, "asynchronous", "postgresql+asyncpg")],
    ids=["the oldest libraries", "asyncpg alone"],
)
def test_a_lock_timeout_and_a_failure_are_told_as_everywhere(project, database, requirements, environment, driver):
    url = database.server.url(database.name, driver=driver)
    shop = project(environment, url, python=python_with(*requirements))
    shop.revision("a1", None, create("t1"))
    shop.run("migrate")
    shop.revision("a2", "a1", 'op.add_column("t1", sa.Column("x", sa.Integer))', 'op.execute("SELECT * FROM nosuch")')
    with database.server.superuser(database.name) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM t1")
        waiting = shop.run("migrate", locks=LockBudget(timeout_milliseconds=50, retry_for_seconds=1)).result
    assert (waiting.reason, waiting.changed) == ("LockBudgetExhausted", False)
    failed = shop.run("migrate").result
    assert (failed.reason, failed.migrate.failed_revision, failed.changed) == ("MigrationFailed", "a2", False)
    assert '42P01 relation "nosuch" does not exist' in failed.message


@pytest.mark.timeout(300)
def test_an_alembic_that_is_too_old_is_told(project, tmp_path):
    shop = project("url_in_the_ini", f"sqlite:///{tmp_path}/shop.db", python=python_with(*TOO_OLD))
    result = shop.run("plan").result
    assert (result.reason, "Alembic 1.12" in result.message) == ("InterpreterUnsuitable", True)
