"""MariaDB is planned, migrated and looked at like every database, by whichever driver the application has."""

from __future__ import annotations

import pytest

DRIVERS = ("mysql+pymysql", "mariadb+asyncmy", "mysql+aiomysql")


def environment_of(driver):
    return "url_in_the_ini" if driver.endswith("pymysql") and "aio" not in driver else "asynchronous"


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_plan_a_migration_and_a_look_work(project, mariadb_database, driver):
    shop = project(environment_of(driver), mariadb_database.server.url(mariadb_database.name, driver=driver))
    shop.three_revisions()
    plan = shop.run("plan").result
    assert (plan.reason, plan.plan.statements) == ("Done", 3), plan.message
    assert mariadb_database.tables() == set()
    migrated = shop.run("migrate", expected=shop.planned()).result
    assert (migrated.reason, migrated.heads) == ("Done", ("a3",)), migrated.message
    looked = shop.run("look").result
    assert (looked.heads, looked.catalog) == (("a3",), migrated.catalog)
