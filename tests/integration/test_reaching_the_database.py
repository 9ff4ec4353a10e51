"""Each way of not reaching a database has a reason of its own, and none of them tells the password."""

from __future__ import annotations

import contextlib
import os
import socket
import socketserver
import subprocess
import threading

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
        ("postgresql+psycopg://shop:p@longpassword/w@127.0.0.1:54999/shop", "UrlInvalid"),
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


DRIVERS = ("postgresql+psycopg", "postgresql+psycopg2", "postgresql+asyncpg")
# The packages of the server that is tested with hold no translations; equally long words leave its packets whole.
GERMAN = (
    (b"is not currently accepting connections", "lässt gerade keine Verbindungen zu   ".encode()),
    (b"does not exist", b"gibt es nicht."),
)


@pytest.fixture
def german_port(database):
    """The server, as one that speaks German."""

    class Translator(socketserver.BaseRequestHandler):
        def handle(self):
            with socket.create_connection(("127.0.0.1", database.server.port)) as server:
                back = threading.Thread(target=self.hand_on, args=(server, self.request, GERMAN))
                back.start()
                self.hand_on(self.request, server, ())
                back.join()

        def hand_on(self, source, target, words):
            with contextlib.suppress(OSError):
                while data := source.recv(1 << 16):
                    for english, german in words:
                        assert len(english) == len(german)
                        data = data.replace(english, german)
                    target.sendall(data)
            with contextlib.suppress(OSError):
                target.shutdown(socket.SHUT_WR)

    class Relay(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Relay(("127.0.0.1", 0), Translator) as relay:
        serving = threading.Thread(target=relay.serve_forever)
        serving.start()
        yield relay.server_address[1]
        relay.shutdown()
        serving.join()


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_closed_door_is_known_by_the_servers_catalog_and_not_by_its_words(project, database, driver, german_port):
    """Libpq gives no code, the words are in the server's language, and an invalid database has the fence's code."""
    url = make_url(database.server.url(database.name, driver=driver)).set(port=german_port)
    environment = "asynchronous" if driver.endswith("asyncpg") else "url_in_the_ini"
    shop = project(environment, url.render_as_string(hide_password=False))
    shop.three_revisions()
    with database.server.superuser() as connection:

        def say(text, name=database.name):
            connection.execute(sql.SQL(text).format(sql.Identifier(name)))

        say("COMMENT ON DATABASE {} IS 'dbmigration/fence/1 A restore that is gone.'")
        say("ALTER DATABASE {} ALLOW_CONNECTIONS false")
        lifted = shop.run("plan").result
        assert (lifted.reason, lifted.plan.count) == ("Done", 3), lifted.message

        say("ALTER DATABASE {} ALLOW_CONNECTIONS false")
        shut = shop.run("plan").result
        assert (shut.reason, "not by a restore" in shut.message) == ("DatabaseUnreachable", True), shut

        say("ALTER DATABASE {} ALLOW_CONNECTIONS true")
        connection.execute("UPDATE pg_database SET datconnlimit = -2 WHERE datname = %s", [database.name])
        invalid = shop.run("plan").result
        assert (invalid.reason, "not by a restore" in invalid.message) == ("DatabaseUnreachable", False), invalid
        connection.execute("UPDATE pg_database SET datconnlimit = -1 WHERE datname = %s", [database.name])

    shop.url = url.set(database="nosuch").render_as_string(hide_password=False)
    assert shop.run("plan").result.reason == "DatabaseNotFound"
