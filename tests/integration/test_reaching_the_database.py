"""Each way of not reaching a database has a reason of its own, and none of them tells the password."""

from __future__ import annotations

import os
import socket
import subprocess

import pytest
from psycopg import sql
from sqlalchemy.engine import make_url

from tests.integration.postgresql_server import CANARY


def closed_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


@pytest.mark.parametrize("driver", ["postgresql+psycopg", "postgresql+psycopg2", "postgresql+asyncpg"])
def test_the_reason_is_told_apart_by_every_driver(project, database, driver):
    good = make_url(database.server.url(database.name, driver=driver))
    wrong = {
        "AuthenticationFailed": good.set(password="not-the-password"),
        "DatabaseNotFound": good.set(database="nosuch"),
        "DatabaseUnreachable": good.set(port=closed_port()),
    }
    shop = project("url_in_the_ini", database.url)
    for reason, url in wrong.items():
        shop.url = url.render_as_string(hide_password=False)
        ran = shop.run("plan")
        assert (ran.result.reason, ran.result.changed) == (reason, False), ran.result.message
        assert CANARY not in ran.text + ran.stdout + ran.stderr


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("no url at all", "UrlInvalid"),
        ("oracle+oracledb://shop:longpassword@127.0.0.1/shop", "EngineNotSupported"),
        ("sqlite://", "UrlInvalid"),
        ("sqlite:////nosuchfolder/shop.db", "DatabaseNotFound"),
    ],
)
def test_a_url_that_cannot_be_used_is_told(project, url, reason):
    ran = project("url_in_the_ini", url).run("plan")
    assert ran.result.reason == reason
    assert "longpassword" not in ran.text + ran.stdout + ran.stderr


def test_a_file_that_is_no_database_is_told(project, tmp_path):
    (tmp_path / "shop.db").write_text("this is a text, and a long one at that " * 50)
    result = project("url_in_the_ini", f"sqlite:///{tmp_path}/shop.db").run("plan").result
    assert (result.reason, "not a database" in result.message) == ("DatabaseUnreachable", True)


def test_a_role_that_only_reads_is_refused(project, database):
    with database.server.superuser() as connection:
        connection.execute(
            sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = on").format(sql.Identifier(database.name))
        )
    shop = project("url_in_the_ini", database.url)
    assert shop.run("plan").result.reason == "DatabaseReadOnly"
    assert shop.run("migrate").result.reason == "DatabaseReadOnly"


def test_a_url_that_begins_with_postgres_is_understood(project, database):
    shop = project("url_in_the_ini", database.url.replace("postgresql+psycopg://", "postgres://"))
    shop.three_revisions()
    assert shop.run("plan").result.plan.count == 3


def test_a_transaction_pooler_is_detected(project, database, pooler):
    shop = project(
        "url_in_the_ini", make_url(database.url).set(port=pooler("transaction")).render_as_string(hide_password=False)
    )
    shop.three_revisions()
    assert shop.run("plan").result.reason == "PoolerDetected"


def test_a_session_pooler_is_as_good_as_the_server(project, database, pooler):
    shop = project(
        "url_in_the_ini", make_url(database.url).set(port=pooler("session")).render_as_string(hide_password=False)
    )
    shop.three_revisions()
    assert shop.run("migrate").result.heads == ("a3",)


def test_equal_databases_have_equal_fingerprints_and_others_others(project, database):
    shop = project("url_in_the_ini", database.url)
    first = shop.run("look").result.database.fingerprint
    shop.url = database.server.url(database.name, driver="postgresql+asyncpg")
    assert shop.run("look").result.database.fingerprint == first
    shop.url = database.server.url("postgres", user="postgres")
    assert shop.run("look").result.database.fingerprint != first


def test_an_interpreter_without_the_libraries_is_told(project, tmp_path):
    bare = tmp_path / "bare"
    subprocess.run([os.path.realpath("/proc/self/exe"), "-m", "venv", "--without-pip", bare], check=True)
    shop = project("url_in_the_ini", f"sqlite:///{tmp_path}/shop.db", python=str(bare / "bin/python"))
    result = shop.run("plan").result
    assert (result.reason, "SQLAlchemy" in result.message) == ("InterpreterUnsuitable", True)
