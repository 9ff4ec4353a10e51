"""A PostgreSQL restore: what was backed up is the database again, and what was in its place is kept."""

from __future__ import annotations

import pytest

from dbmigration_runner.contract.result import Outcome, RestoreStage
from tests.integration import restores
from tests.integration.backups import contents, drop

TABLES = ("sales.orders", '"Odd: (name%"', "log", "alembic_version")
_SURROUNDINGS = (
    "SELECT pg_get_userbyid(d.datdba), pg_encoding_to_char(d.encoding), d.datcollate, d.datctype, d.datallowconn, d.datconnlimit,"
    " d.dattablespace, d.datacl::text, shobj_description(d.oid, 'pg_database'),"
    " (SELECT array_agg(concat(r.rolname, ':', s.setconfig) ORDER BY 1) FROM pg_db_role_setting s"
    "  LEFT JOIN pg_roles r ON r.oid = s.setrole WHERE s.setdatabase = d.oid)"
    " FROM pg_database d WHERE d.datname = current_database()"
)


@pytest.fixture
def shop(database, tmp_path):
    yield restores.shop(database, tmp_path)
    forget(database)


def forget(database):
    for name in restores.databases(database):
        if name != database.name:
            drop(database.server, name)


def migrate(database):
    """What a migration that failed half-way leaves behind."""
    database.ask(
        "SET ROLE shop; UPDATE alembic_version SET version_num = 'a2'; CREATE TABLE invoices (id int PRIMARY KEY);"
        "ALTER TABLE sales.orders ADD COLUMN paid boolean DEFAULT false"
    )


def everything(database):
    return {table: contents(database.server, database.name, table) for table in TABLES}


def test_the_backup_is_the_database_again_and_the_replaced_one_is_kept(shop, database):
    before = everything(database)
    migrate(database)
    ran = shop.run(nothing_written=True)
    assert (ran.result.outcome, ran.result.heads, ran.result.changed) == (Outcome.SUCCEEDED, ("a1",), True), ran
    assert ran.result.catalog == shop.report.catalog
    kept = f"{database.name}_{restores.KEPT}"
    assert ran.result.restore is not None
    assert (ran.result.restore.stage, ran.result.restore.kept_as) == (RestoreStage.LOOKED, kept)
    assert not ran.result.restore.compared
    assert everything(database) == before
    assert set(restores.databases(database)) == {database.name, kept}


def test_nobody_gets_into_the_replaced_database(shop, database):
    migrate(database)
    shop.run(nothing_written=True)
    with pytest.raises(Exception, match="not currently accepting connections"):
        contents(database.server, f"{database.name}_{restores.KEPT}", "sales.orders")
