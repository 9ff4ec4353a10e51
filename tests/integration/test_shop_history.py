"""The example's own history, taken back by 1, by 3 and to its base on each engine."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dbmigration_runner.checks.difference import difference
from dbmigration_runner.contract.task import Policy, UrlHandover, UrlPart
from dbmigration_runner.engines import engine_for, read_catalog
from tests.integration.projects import Project

SHOP = Path(__file__).parents[2] / "examples" / "shop"
HEAD = "11b"


@pytest.fixture
def shop(url, tmp_path):
    """Release 1.1, and nothing of it in the database yet."""
    path = tmp_path / "shop"
    shutil.copytree(SHOP, path)
    return Project(path, url, url_to=UrlHandover(ini_option=None, environment={"DATABASE_URL": UrlPart.URL}))


def migrations(target):
    return {"config": "alembic-1.1.ini", "target": target}


def schema_of(shop):
    engine = engine_for(shop.url)
    with engine.connect() as session:
        return read_catalog(engine, session)


@pytest.mark.parametrize(("target", "undone"), [("11a", 1), ("10b", 3), ("base", 5)])
def test_the_shop_goes_back_to_the_schema_it_had(shop, target, undone):
    if target != "base":
        assert shop.run("migrate", migrations=migrations(target)).result.heads == (target,)
        meant = schema_of(shop)
    assert shop.run("migrate", migrations=migrations("head")).result.heads == (HEAD,)

    wanted = {"migrations": migrations(target), "policy": Policy(downgrade=True)}
    result = shop.run("downgrade", expected=shop.planned(**wanted), **wanted).result
    assert (result.reason, result.heads) == ("Done", () if target == "base" else (target,)), result.message
    assert len(result.migrate.applied) == undone
    if target == "base":
        tables = {item for item in schema_of(shop).items if item.startswith("table ")}
        assert all("alembic_version" in table for table in tables), tables
    else:
        assert difference(meant, schema_of(shop)) == ()
