"""Roles and a PostgreSQL restore: what its own may not give back is told at the backup, and who is gone does not end it."""

from __future__ import annotations

import pytest

from dbmigration_runner.contract.result import Outcome
from tests.integration import restores
from tests.integration.backups import Backups


def said(database, *statements):
    with database.server.superuser() as connection:
        for statement in statements:
            connection.execute(statement)


@pytest.fixture
def creator(database):
    """The owner may create databases, as is asked for where there is no adminUrlFrom."""
    said(database, "ALTER ROLE shop CREATEDB", "DROP ROLE IF EXISTS reader", "CREATE ROLE reader")
    yield database
    restores.forget(database)
    database.ask("DROP OWNED BY reader")
    said(database, f'ALTER ROLE reader IN DATABASE "{database.name}" RESET ALL', "DROP ROLE reader")
    said(database, "ALTER ROLE shop NOCREATEDB")


@pytest.fixture
def leaver(database):
    """As a vault makes and drops roles by the hour."""
    said(database, 'CREATE ROLE "v-token-reader-1" LOGIN')
    yield '"v-token-reader-1"'
    restores.forget(database)


def leave(database, role):
    database.ask(f"DROP OWNED BY {role}")
    said(database, f"DROP ROLE {role}")


@pytest.mark.parametrize(
    "what",
    [
        "CREATE TABLE audit (line text); GRANT SELECT ON audit TO shop",
        "ALTER DEFAULT PRIVILEGES FOR ROLE postgres GRANT SELECT ON TABLES TO shop",
        (
            "CREATE TABLE lent (id int); ALTER TABLE lent OWNER TO shop; GRANT SELECT ON lent TO reader WITH GRANT OPTION;"
            "SET ROLE reader; GRANT SELECT ON lent TO PUBLIC; RESET ROLE"
        ),
        "ALTER ROLE reader IN DATABASE {name} SET statement_timeout = '5s'",
        "ALTER DATABASE {name} SET log_min_duration_statement = '1s'",
        "DROP EXTENSION plpgsql",
    ],
    ids=["owner", "default privileges", "grantor", "setting of a role", "setting of a superuser", "without plpgsql"],
)
def test_what_this_role_may_not_give_back_is_told_at_the_backup(creator, tmp_path, what):
    assert restores.shop(creator, tmp_path / "before", as_shop=True).report.restorable is True
    creator.ask(what.format(name=f'"{creator.name}"'))
    report = Backups(creator.url, tmp_path / "backups", None).take()
    assert report.restorable is None
    assert "a superuser might" in report.restorable_note
    by_superuser = Backups(creator.url, tmp_path / "others", creator.server.url("postgres", user="postgres"))
    assert by_superuser.take().restorable is True


def test_who_is_gone_gets_no_rights_and_all_the_others_theirs(database, leaver, tmp_path):
    database.ask(
        f"SET ROLE shop; CREATE TABLE stock (id int); RESET ROLE; GRANT SELECT ON stock TO {leaver}, PUBLIC;"
        f" ALTER DEFAULT PRIVILEGES FOR ROLE shop GRANT SELECT ON TABLES TO {leaver};"
        f" CREATE MATERIALIZED VIEW seen AS SELECT count(*) FROM stock; GRANT SELECT ON seen TO PUBLIC"
    )
    said(
        database,
        f"GRANT CONNECT ON DATABASE {database.name} TO {leaver}, PUBLIC",
        f"ALTER ROLE {leaver} IN DATABASE {database.name} SET search_path = sales",
        f"ALTER DATABASE {database.name} SET statement_timeout = '7s'",
    )
    shop = restores.shop(database, tmp_path)
    rights = "SELECT relname, relacl::text FROM pg_class WHERE relname IN ('stock', 'seen') ORDER BY 1"
    around = (
        "SELECT datacl::text, (SELECT array_agg(setconfig::text) FROM pg_db_role_setting WHERE setdatabase = d.oid)"
        f" FROM pg_database d WHERE datname = '{database.name}'"
    )
    leave(database, leaver)
    before, surroundings = database.ask(rights), database.ask(around)
    assert leaver.strip('"') not in str(surroundings)
    restores.migrate(database)
    result = shop.run(nothing_written=True).result
    assert result.outcome is Outcome.SUCCEEDED, result
    told = "Roles that the backup gave rights or settings to are gone since, and got none: v-token-reader-1."
    assert result.warnings.count(told) == 1
    assert not any("Of the database itself" in warning for warning in result.warnings)
    assert (database.ask(rights), database.ask(around)) == (before, surroundings)


def test_an_owner_who_is_gone_is_named_before_a_row_is_read(database, leaver, tmp_path):
    database.ask(f"CREATE TABLE stock (id int); ALTER TABLE stock OWNER TO {leaver}")
    shop = restores.shop(database, tmp_path)
    database.ask("ALTER TABLE stock OWNER TO shop")
    leave(database, leaver)
    result = shop.run(accept_data_loss=True).result
    assert (result.reason, result.changed) == ("RestoreNotPossible", False)
    assert "Roles of the backup are not there any more: v-token-reader-1. Make them again" in result.message
