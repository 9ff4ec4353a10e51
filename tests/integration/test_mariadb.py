"""MariaDB is planned, migrated and looked at like every database, by whichever driver the application has."""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from dbmigration_runner.contract.task import (
    ChecksAfter,
    ChecksBefore,
    DatabaseAccess,
    LockBudget,
    QueryCheck,
    UrlHandover,
)
from dbmigration_runner.engines import engine_for, read_catalog
from tests.integration.application_environments import python_with
from tests.integration.certificates import write_certificates
from tests.integration.mariadb_server import CANARY, fresh_database, running_mariadb, said
from tests.integration.projects import create

DRIVERS = {"mysql+pymysql": "url_in_the_ini", "mariadb+asyncmy": "asynchronous", "mysql+aiomysql": "asynchronous"}
OLDEST = ("sqlalchemy==1.4.54", "alembic==1.13.3", "pymysql==1.1.2")
MYSQLCLIENT_ALONE = ("sqlalchemy==2.0.44", "alembic==1.16.5", "mysqlclient==2.2.7")
ASYNCMY_ALONE = ("sqlalchemy[asyncio]==2.0.44", "alembic==1.16.5", "asyncmy==0.2.10")
INSTALL_PACKAGES = Path(__file__).parents[2] / "scripts" / "install-packages"
TO_BUILD_MYSQLCLIENT = ("libmariadb-dev", "pkg-config", "gcc", "python3-dev")


@pytest.mark.parametrize(("driver", "environment"), DRIVERS.items())
def test_a_plan_a_migration_and_a_look_work(project, mariadb_database, driver, environment):
    shop = project(environment, mariadb_database.server.url(mariadb_database.name, driver=driver))
    shop.three_revisions()
    plan = shop.run("plan").result
    assert (plan.reason, plan.plan.statements, plan.changed) == ("Done", 3, False), plan.message
    assert (plan.database.engine, plan.database.flavour, plan.warnings) == ("mysql", "mariadb", ())
    assert mariadb_database.tables() == set()
    asked = ChecksAfter(
        queries=(
            QueryCheck("percent", "SELECT 'a%s' LIKE 'a%'", "1"),
            QueryCheck("writes", "INSERT INTO t1 VALUES (1) RETURNING id", "1"),
        ),
        tables=("t3", f"{mariadb_database.name}.t2", "nosuch"),
        columns=("t3.id", "t3.nosuch"),
        integrity=True,
    )
    migrated = shop.run("migrate", expected=shop.planned(), after=asked).result
    failed = {check.name for check in migrated.migrate.checks if not check.passed}
    assert failed == {"query writes", "table nosuch", "column t3.nosuch"}
    assert (migrated.reason, migrated.heads) == ("CheckFailed", ("a3",)), migrated.message
    looked = shop.run("look").result
    assert (looked.heads, looked.catalog) == (("a3",), migrated.catalog)
    assert mariadb_database.ask("SELECT count(*) FROM t1") == [(0,)]


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("requirements", "driver"),
    [(OLDEST, "mysql+pymysql"), (MYSQLCLIENT_ALONE, "mysql"), (ASYNCMY_ALONE, "mysql+asyncmy")],
    ids=["the oldest libraries", "mysqlclient alone", "asyncmy alone"],
)
def test_an_application_with_one_driver_is_served_by_that(project, mariadb_database, requirements, driver):
    if requirements is MYSQLCLIENT_ALONE:  # it comes as source
        subprocess.run([INSTALL_PACKAGES, *TO_BUILD_MYSQLCLIENT], check=True)
    environment = "asynchronous" if "async" in driver else "url_in_the_ini"
    url = mariadb_database.server.url(mariadb_database.name, driver=driver)
    shop = project(environment, url, python=python_with(*requirements))
    shop.three_revisions()
    migrated = shop.run("migrate", expected=shop.planned()).result
    assert (migrated.reason, migrated.heads) == ("Done", ("a3",)), migrated.message
    shop.revision("a4", "a3", create("half"), 'op.add_column("t1", sa.Column("x", sa.Integer))')
    with mariadb_database.server.superuser(mariadb_database.name) as reader:
        said(reader, "BEGIN")
        said(reader, "SELECT * FROM t1")
        waited = shop.run("migrate", locks=LockBudget(timeout_milliseconds=50, retry_for_seconds=2)).result
    assert (waited.reason, waited.migrate.torn) == ("MigrationFailed", True), waited.message
    assert "1205 Lock wait timeout exceeded" in waited.message
    assert waited.migrate.ran == ("CREATE TABLE half ( id INTEGER NOT NULL AUTO_INCREMENT, PRIMARY KEY (id) )",)
    shop.url = make_url(shop.url).set(password="not-the-password").render_as_string(hide_password=False)
    assert shop.run("look").result.reason == "AuthenticationFailed"


@pytest.mark.parametrize(("driver", "environment"), DRIVERS.items())
def test_the_reason_is_told_apart_by_every_driver(project, mariadb_database, driver, environment):
    good = make_url(mariadb_database.server.url(mariadb_database.name, driver=driver))
    wrong = {
        "AuthenticationFailed": good.set(password="not-the-password"),
        "InsufficientPrivilege": good.set(database="mysql"),
        "DatabaseUnreachable": good.set(port=9),
        "UrlInvalid": good.set(database=""),
    }
    shop = project(environment, mariadb_database.url)
    for reason, url in wrong.items():
        shop.url = url.render_as_string(hide_password=False)
        ran = shop.run("plan")
        assert (ran.result.reason, ran.result.changed) == (reason, False), ran.result.message
        assert CANARY not in ran.text + ran.stdout + ran.stderr


@pytest.fixture
def secured(mariadb_database):
    """The user is let in by an encrypted connection alone."""
    with server_set(mariadb_database.server, "ALTER USER shop REQUIRE SSL", back=["ALTER USER shop REQUIRE NONE"]):
        yield mariadb_database


@pytest.mark.parametrize("driver", ["mysql+pymysql", "mariadb+asyncmy"])
def test_the_manifests_certificate_reaches_our_sessions_and_the_applications(project, secured, tmp_path, driver):
    shop = project(DRIVERS[driver], secured.server.url(secured.name, driver=driver))
    shop.three_revisions()
    access = DatabaseAccess(url_file=str(tmp_path / "url"), tls_directory=str(secured.server.home))
    assert shop.run("plan", database=access).result.plan.count == 3
    result = shop.run("migrate", database=access).result
    assert (result.reason, result.heads) == ("Done", ("a3",)), result.message


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_server_that_another_authority_vouches_for_is_not_talked_to(project, secured, tmp_path, driver):
    (tmp_path / "tls").mkdir()
    write_certificates(tmp_path / "tls")
    shop = project(DRIVERS[driver], secured.server.url(secured.name, driver=driver))
    access = DatabaseAccess(url_file=str(tmp_path / "url"), tls_directory=str(tmp_path / "tls"))
    result = shop.run("plan", database=access).result
    assert result.reason == "DatabaseUnreachable"
    assert "cert" in result.message.lower()


@pytest.mark.parametrize("driver", [*DRIVERS])
@pytest.mark.parametrize("step", ["plan", "migrate"])
def test_another_database_of_the_same_server_is_refused(project, mariadb_database, driver, step):
    environment = "url_in_a_variable" if "pymysql" in driver else "asynchronous"
    with fresh_database(mariadb_database.server, f"{mariadb_database.name}_clone") as clone:
        shop = project(environment, mariadb_database.url, url_to=UrlHandover(None))
        other = clone.server.url(clone.name, driver=driver)
        shop.variables = {"SHOP_DATABASE_URL": other}
        ini = shop.path / "alembic.ini"
        ini.write_text(ini.read_text().replace("driver://placeholder", other.replace("%", "%%")))
        shop.three_revisions()
        result = shop.run(step).result
        assert (result.reason, result.changed) == ("WrongDatabase", False)
        assert (clone.tables(), mariadb_database.tables()) == (set(), set())


def test_the_database_of_the_same_name_on_another_server_is_refused(project, mariadb_database):
    """Of a server that is a copy everything is the same but the sessions."""
    with running_mariadb() as copy, fresh_database(copy, mariadb_database.name) as clone:
        shop = project("url_in_a_variable", mariadb_database.url, url_to=UrlHandover(None))
        shop.variables = {"SHOP_DATABASE_URL": clone.url}
        shop.three_revisions()
        result = shop.run("migrate").result
        assert (result.reason, clone.tables(), mariadb_database.tables()) == ("WrongDatabase", set(), set())
        shop.variables = {"SHOP_DATABASE_URL": mariadb_database.url}
        expected = shop.planned()
        shop.url = clone.url
        assert shop.run("look", expected=expected).result.reason == "DatabaseMoved"


def test_the_same_database_by_another_driver_and_address_is_the_same(project, mariadb_database):
    shop = project("url_in_a_variable", mariadb_database.url.replace("pymysql", "aiomysql"), url_to=UrlHandover(None))
    shop.variables = {"SHOP_DATABASE_URL": mariadb_database.url.replace("127.0.0.1", "localhost")}
    shop.three_revisions()
    assert shop.run("migrate").result.heads == ("a3",)


def test_a_user_that_may_not_create_is_refused(project, mariadb_database):
    server, name = mariadb_database.server, mariadb_database.name
    with server.superuser() as root:
        said(root, "CREATE OR REPLACE USER reader IDENTIFIED BY 'readerpassword'")
        said(root, f"GRANT SELECT ON {name}.* TO reader")
    shop = project("url_in_the_ini", server.url(name, user="reader", password="readerpassword"))
    shop.three_revisions()
    result = shop.run("plan").result
    told = f"`reader`@`%` (the account that the server chose) may not create alembic_version in the database {name}"
    grant = f"GRANT CREATE ON `{name}`.* TO `reader`@`%`."
    assert (result.reason, result.message) == ("InsufficientPrivilege", f"{told}: {grant}")
    with server.superuser() as root:
        said(root, f"GRANT INSERT, UPDATE, DELETE, CREATE, INDEX, ALTER ON {name}.* TO reader")
    assert shop.run("migrate").result.heads == ("a3",)


def test_tables_without_transactions_are_named_by_the_plan(project, mariadb_database):
    mariadb_database.ask("CREATE TABLE visits (id int) ENGINE=MyISAM")
    mariadb_database.ask("CREATE TABLE queue (id int) ENGINE=Aria")
    mariadb_database.ask("CREATE TABLE orders (id int) ENGINE=InnoDB")
    shop = project("url_in_the_ini", mariadb_database.url)
    shop.three_revisions()
    (finding,) = shop.run("plan").result.plan.findings
    assert finding.code == "NotTransactional"
    assert "2 tables" in finding.message
    assert "queue (Aria), visits (MyISAM)" in finding.message


@contextlib.contextmanager
def server_set(server, *statements, back):
    with server.superuser() as root:
        for statement in statements:
            said(root, statement)
        try:
            yield
        finally:
            for statement in back:
                said(root, statement)


def test_a_server_that_only_reads_is_refused(project, mariadb_database):
    shop = project("url_in_the_ini", mariadb_database.url)
    with server_set(mariadb_database.server, "SET GLOBAL read_only = 1", back=["SET GLOBAL read_only = 0"]):
        result = shop.run("plan").result
    assert (result.reason, "read_only" in result.message) == ("DatabaseReadOnly", True)


def test_a_replica_that_could_be_written_to_is_refused(project, mariadb_database):
    shop = project("url_in_the_ini", mariadb_database.url)
    follow = (
        "SET GLOBAL server_id = 7",
        "CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = 9, MASTER_USER = 'nobody', MASTER_CONNECT_RETRY = 60",
        "START SLAVE",
    )
    with server_set(
        mariadb_database.server, *follow, back=["STOP SLAVE", "RESET SLAVE ALL", "SET GLOBAL server_id = 1"]
    ):
        result = shop.run("plan").result
    assert (result.reason, "replica" in result.message) == ("DatabaseReadOnly", True)


def test_a_long_transaction_keeps_a_migration_from_beginning(project, mariadb_database):
    shop = project("url_in_the_ini", mariadb_database.url)
    shop.revision("a1", None, create("t1"))
    shop.run("migrate")
    shop.revision("a2", "a1", create("t2"))
    young = ChecksBefore(max_transaction_age_seconds=1)
    with mariadb_database.server.superuser(mariadb_database.name) as other:
        said(other, "BEGIN")
        said(other, "SELECT count(*) FROM t1")
        said(other, "SELECT SLEEP(2.5)")
        blind = shop.run("migrate", before=young, migrations={"target": "a1"}).result
        with server_set(
            mariadb_database.server, "GRANT PROCESS ON *.* TO shop", back=["REVOKE PROCESS ON *.* FROM shop"]
        ):
            result = shop.run("migrate", before=young).result
    assert (result.reason, result.changed) == ("LongTransaction", False)
    assert "root (session" in result.message
    assert any("does not see transactions" in warning for warning in blind.warnings)


HOSTILE = 'it\'s a `shop` "of" 100%s :old'


def test_a_database_and_objects_with_hostile_names_are_migrated_and_told(project, mariadb):
    with fresh_database(mariadb, "a `quoted' shop") as database:
        shop = project("url_in_the_ini", database.url)
        shop.revision("a1", None, f"op.create_table({HOSTILE!r}, sa.Column({HOSTILE!r}, sa.Integer))")
        asked = ChecksAfter(tables=(HOSTILE,), columns=(f"{HOSTILE}.{HOSTILE}",), integrity=True)
        result = shop.run("migrate", after=asked).result
        assert (result.reason, result.heads) == ("Done", ("a1",)), result.message
        assert database.tables() == {"alembic_version", HOSTILE}
        with engine_for(database.url).connect() as session:
            before = read_catalog(engine_for(database.url), session)
            name = HOSTILE.replace("`", "``")
            database.ask(f"ALTER TABLE `{name}` ADD x int".replace("%", "%%").replace("%%", "%"))
            assert read_catalog(engine_for(database.url), session) != before


SCHEMA = (
    "CREATE TABLE parents (id int PRIMARY KEY AUTO_INCREMENT, name varchar(40) DEFAULT 'it''s', CHECK (name <> ''))",
    "CREATE TABLE children (id int, parent int, FOREIGN KEY (parent) REFERENCES parents (id))",
    "CREATE VIEW named AS SELECT p.name, c.id FROM parents p JOIN children c ON c.parent = p.id",
    "CREATE TRIGGER counted BEFORE INSERT ON children FOR EACH ROW SET NEW.id = NEW.id + 1",
    "CREATE FUNCTION twice (a int) RETURNS int DETERMINISTIC RETURN 2 * a",
    "CREATE PROCEDURE tidy () DELETE FROM children",
    "CREATE SEQUENCE numbers START WITH 5",
    "CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY STARTS '2030-01-01 00:00:00' DO DELETE FROM children",
)
CHANGES = {
    "a default": "ALTER TABLE parents ALTER name SET DEFAULT 'its'",
    "a type": "ALTER TABLE parents MODIFY name varchar(41) DEFAULT 'it''s'",
    "a constraint": "ALTER TABLE parents DROP CONSTRAINT CONSTRAINT_1",
    "an index": "CREATE INDEX i ON children (id)",
    "an index that is ignored": "ALTER TABLE children ALTER INDEX parent IGNORED",
    "a foreign key": "ALTER TABLE children DROP FOREIGN KEY children_ibfk_1",
    "a view": "CREATE OR REPLACE VIEW named AS SELECT p.name FROM parents p",
    "a trigger": "CREATE OR REPLACE TRIGGER counted BEFORE INSERT ON children FOR EACH ROW SET NEW.id = NEW.id + 2",
    "a function": "CREATE OR REPLACE FUNCTION twice (a int) RETURNS int DETERMINISTIC RETURN a + a",
    "a parameter": "CREATE OR REPLACE PROCEDURE tidy (a int) DELETE FROM children",
    "a sequence": "ALTER SEQUENCE numbers INCREMENT BY 2",
    "an event": "ALTER EVENT nightly DISABLE",
    "an engine": "ALTER TABLE children ENGINE=Aria",
    "a collation": "ALTER DATABASE COLLATE utf8mb4_bin",
}
NO_CHANGES = (
    "INSERT INTO parents (name) VALUES ('a'), ('b')",
    "INSERT INTO children VALUES (1, 1)",
    "ANALYZE TABLE parents",
    "ALTER TABLE parents AUTO_INCREMENT = 500",
    "SELECT NEXT VALUE FOR numbers",
    "CALL tidy()",
)


def test_every_change_of_the_schema_changes_its_fingerprint_and_rows_and_counters_do_not(mariadb_database):
    engine = engine_for(mariadb_database.url)
    with engine.connect() as session, mariadb_database.server.session(mariadb_database.name) as owner:
        for statement in SCHEMA:
            said(owner, statement)
        seen = [read_catalog(engine, session)]
        for statement in NO_CHANGES:
            said(owner, statement)
            assert read_catalog(engine, session) == seen[0], statement
        for statement in CHANGES.values():
            said(owner, statement)
            seen.append(read_catalog(engine, session))
    same = [what for what, before, after in zip(CHANGES, seen, seen[1:], strict=False) if before == after]
    assert same == []


def test_a_table_that_cannot_be_opened_fails_the_integrity_check(project, mariadb_database):
    shop = project("url_in_the_ini", mariadb_database.url)
    shop.revision("a1", None, create("t1"))
    shop.run("migrate")
    mariadb_database.ask("CREATE TABLE visits (id int) ENGINE=Aria")
    mariadb_database.ask("FLUSH TABLES visits")
    folder = mariadb_database.ask("SELECT @@datadir")[0][0]
    Path(folder, mariadb_database.name, "visits.MAD").unlink()
    result = shop.run("migrate", after=ChecksAfter(integrity=True)).result
    assert result.reason == "CheckFailed"
    assert "visits" in next(check.message for check in result.migrate.checks if not check.passed)


def test_a_view_that_leads_nowhere_is_warned_of(project, mariadb_database):
    shop = project("url_in_the_ini", mariadb_database.url)
    shop.revision("a1", None, create("t1"), create("t2"), 'op.execute("CREATE VIEW v AS SELECT id FROM t1")')
    shop.revision("a2", "a1", 'op.drop_table("t1")')
    result = shop.run("migrate", after=ChecksAfter(integrity=True)).result
    assert result.outcome.value == "Succeeded"
    assert [warning for warning in result.warnings if "not there: v" in warning]
