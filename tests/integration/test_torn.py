"""Of a half-applied revision the report names the statements that stay, all of them and no others, and none of their values."""

from __future__ import annotations

import pytest

from dbmigration_runner.contract.task import Policy
from tests.integration.mariadb_server import WORK
from tests.integration.projects import create, wait_for

DRIVERS = {"mysql+pymysql": "url_in_the_ini", "mariadb+asyncmy": "asynchronous", "mysql+aiomysql": "asynchronous"}
CREATED = "CREATE TABLE half ( id INTEGER NOT NULL AUTO_INCREMENT, PRIMARY KEY (id) )"


@pytest.fixture
def shop(project, mariadb_database):
    shop = project("url_in_the_ini", mariadb_database.url)
    shop.revision("a1", None, create("t1"))
    shop.run("migrate")
    return shop


@pytest.mark.parametrize(("driver", "environment"), DRIVERS.items())
def test_the_statements_that_stay_are_told_and_those_that_do_not_are_not(
    project, mariadb_database, driver, environment
):
    shop = project(environment, mariadb_database.server.url(mariadb_database.name, driver=driver))
    shop.revision("a1", None, create("t1"))
    shop.revision(
        "a2",
        "a1",
        create("half"),
        'op.add_column("t1", sa.Column("name", sa.String(20), server_default="Grace"))',
        'op.execute("INSERT INTO half VALUES (7)")',
        "op.execute(\"INSERT INTO t1 VALUES (7, 'Grace Hopper')\")",
        'op.execute("CREATE INDEX i1 ON t1 (name)")',
        'op.execute("INSERT INTO half VALUES (8)")',
        "op.execute(\"SELECT 'Grace' FROM nosuch\")",
    )
    ran = shop.run("migrate")
    result = ran.result
    assert (result.reason, result.heads, result.changed) == ("MigrationFailed", ("a1",), True)
    assert (result.migrate.applied, result.migrate.failed_revision, result.migrate.torn) == (("a1",), "a2", True)
    statements = (
        CREATED,
        "ALTER TABLE t1 ADD COLUMN name VARCHAR(20) DEFAULT ?",
        "INSERT INTO half VALUES (?)",
        "INSERT INTO t1 VALUES (?, ?)",
        "CREATE INDEX i1 ON t1 (name)",
    )
    assert result.migrate.ran == statements
    assert result.message.startswith("Revision a2 is half applied: 5 of its statements ran and are committed: CREATE")
    assert (
        "ADD COLUMN name VARCHAR(20) DEFAULT ?; INSERT INTO half VALUES (?); and 2 more. Revision a2 failed"
        in result.message
    )
    logged = ran.events_called("statement-committed")
    assert [event["statement"] for event in logged] == list(statements)
    assert (logged[0]["revision"], logged[0]["number"], logged[0]["of"]) == ("a2", 1, 5)
    assert "Grace" not in ran.text
    assert mariadb_database.ask("SELECT id FROM half") == [(7,)]


def test_a_change_that_fails_has_committed_what_was_written_before_it(shop, mariadb_database):
    shop.revision(
        "a2", "a1", 'op.execute("INSERT INTO t1 VALUES (7)")', 'op.execute("ALTER TABLE t1 DROP COLUMN nosuch")'
    )
    result = shop.run("migrate").result
    assert (result.migrate.torn, result.migrate.ran) == (True, ("INSERT INTO t1 VALUES (?)",))
    assert (
        "1 of its statements ran and is committed: INSERT INTO t1 VALUES (?). Revision a2 failed: 1091"
        in result.message
    )
    assert mariadb_database.ask("SELECT id FROM t1") == [(7,)]


def test_a_revision_that_fails_at_once_is_not_torn(shop, mariadb_database):
    shop.revision("a2", "a1", 'op.execute("ALTER TABLE t1 ADD UNIQUE (nosuch)")', create("t2"))
    result = shop.run("migrate").result
    assert (result.migrate.torn, result.migrate.ran, result.changed) == (False, (), False)
    assert "half applied" not in result.message


def test_rows_that_were_rolled_back_are_not_said_to_stay(shop, mariadb_database):
    shop.revision("a2", "a1", 'op.execute("INSERT INTO t1 VALUES (7)")', 'raise RuntimeError("no")')
    result = shop.run("migrate").result
    assert (result.migrate.torn, result.migrate.ran, result.changed) == (False, (), False)
    assert mariadb_database.ask("SELECT id FROM t1") == []


def test_a_revision_that_is_half_undone_names_what_is_gone(project, mariadb_database):
    shop = project("url_in_the_ini", mariadb_database.url)
    shop.revision("a1", None, create("t1"))
    shop.revision("a2", "a1", create("t2"), create("t3"), down='op.drop_table("t3")\nop.drop_table("nosuch")')
    shop.run("migrate")
    back = {"policy": Policy(downgrade=True), "migrations": {"target": "a1"}}
    result = shop.run("downgrade", expected=shop.planned(**back), **back).result
    assert (result.migrate.torn, result.migrate.ran) == (True, ("DROP TABLE t3",)), result.message
    assert "Revision a2 is half undone: 1 of its statements ran and is committed: DROP TABLE t3. " in result.message
    assert mariadb_database.tables() == {"alembic_version", "t1", "t2"}


def test_many_statements_are_counted_shortened_and_told_in_the_log(shop, mariadb_database):
    shop.revision(
        "a2",
        "a1",
        "for number in range(40):",
        "    op.create_table(f'a_table_with_a_rather_long_name_{number}',"
        " *(sa.Column(f'column_{n}', sa.Integer) for n in range(20)))",
        "for number in range(1, 501):",
        '    op.get_bind().execute(sa.text("INSERT INTO t1 VALUES (:n)"), {"n": number})',
        "op.get_bind().commit()",
        'raise RuntimeError("no")',
    )
    ran = shop.run("migrate")
    result = ran.result
    assert len(ran.text.encode()) <= 4096
    assert "41 of its statements ran" in result.message
    assert "RuntimeError" in result.message
    assert 5 <= len(result.migrate.ran) <= 12
    logged = ran.events_called("statement-committed")
    assert len(logged) == 41
    assert logged[-1]["statement"] == "INSERT INTO t1 VALUES (%(n)s) (500 times)"
    assert all(len(event["statement"]) <= 220 for event in logged)


def test_what_ran_before_the_process_was_ended_is_told_too(shop, mariadb_database):
    shop.revision("a2", "a1", create("half"), f'op.execute("{WORK}")')
    running = shop.start("migrate", timeout_seconds=8)
    wait_for(mariadb_database.at_work)
    result = running.wait(40).result
    assert (result.migrate.torn, result.migrate.ran) == (True, (CREATED,))
    assert mariadb_database.at_work() == []


def test_a_torn_revision_on_sqlite_names_what_stays(project, tmp_path):
    shop = project("url_in_the_ini", f"sqlite:///{tmp_path}/shop.db")
    shop.revision("a1", None, create("half"), 'op.execute("SELECT * FROM nosuch")')
    result = shop.run("migrate").result
    assert (result.migrate.torn, len(result.migrate.ran)) == (True, 1)
    assert result.migrate.ran[0].startswith("CREATE TABLE half")


def test_a_torn_revision_on_postgresql_names_what_it_committed_by_itself(project, database):
    shop = project("url_in_the_ini", database.url)
    shop.revision("a1", None, create("t1"))
    shop.run("migrate")
    shop.revision(
        "a2",
        "a1",
        create("half"),
        "with op.get_context().autocommit_block():",
        '    op.create_index("i1", "t1", ["id"], postgresql_concurrently=True)',
        create("gone"),
        'op.execute("SELECT * FROM nosuch")',
    )
    result = shop.run("migrate").result
    assert result.migrate.torn
    assert [line.split("(")[0].strip() for line in result.migrate.ran] == [
        "CREATE TABLE half",
        "CREATE INDEX CONCURRENTLY i1 ON t1",
    ]
