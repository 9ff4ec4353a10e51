"""What env.py connects to must be what the manifest names, and that is proved through its own connection."""

from __future__ import annotations

import shutil
import sqlite3

import pytest
from psycopg import sql

from dbmigration_runner.contract.task import UrlHandover


@pytest.fixture
def clone(database):
    """A copy of the database on the same server: same schema, same heads, another name."""
    name = f"{database.name}_clone"
    with database.server.superuser() as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER shop").format(
                sql.Identifier(name), sql.Identifier(database.name)
            )
        )
    yield name
    with database.server.superuser() as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.mark.parametrize("step", ["plan", "migrate"])
def test_another_database_of_the_same_server_is_refused(project, database, clone, step):
    shop = project("url_in_a_variable", database.url, url_to=UrlHandover(None))
    shop.variables = {"SHOP_DATABASE_URL": database.server.url(clone)}
    shop.three_revisions()
    result = shop.run(step).result
    assert (result.reason, result.changed) == ("WrongDatabase", False)
    assert database.tables() == set()
    with database.server.superuser(clone) as connection:
        assert connection.execute("SELECT to_regclass('t1')").fetchone() == (None,)


def test_a_refusal_that_env_swallows_is_still_the_answer(project, database, clone):
    shop = project("url_in_a_variable", database.url, url_to=UrlHandover(None))
    shop.variables = {"SHOP_DATABASE_URL": database.server.url(clone)}
    shop.three_revisions()
    env = shop.path / "migrations/env.py"
    env.write_text(
        "try:\n" + "".join(f"    {line}\n" for line in env.read_text().splitlines()) + "except Exception:\n    pass\n"
    )
    assert shop.run("migrate").result.reason == "WrongDatabase"


def test_a_copy_of_the_file_is_not_the_file(project, tmp_path):
    sqlite3.connect(tmp_path / "shop.db").close()
    (tmp_path / "shop.db").touch()
    shutil.copy(tmp_path / "shop.db", tmp_path / "copy.db")
    shop = project("url_in_a_variable", f"sqlite:///{tmp_path}/shop.db", url_to=UrlHandover(None))
    shop.variables = {"SHOP_DATABASE_URL": f"sqlite:///{tmp_path}/copy.db"}
    shop.three_revisions()
    assert shop.run("migrate").result.reason == "WrongDatabase"


def test_the_same_database_by_another_driver_and_address_is_the_same(project, database):
    shop = project("url_in_a_variable", database.url, url_to=UrlHandover(None))
    other = database.server.url(database.name, driver="postgresql+psycopg2").replace("127.0.0.1", "localhost")
    shop.variables = {"SHOP_DATABASE_URL": other}
    shop.three_revisions()
    assert shop.run("migrate").result.heads == ("a3",)
