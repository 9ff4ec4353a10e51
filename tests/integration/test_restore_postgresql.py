"""A PostgreSQL restore: what was backed up is the database again, and what was in its place is kept."""

from __future__ import annotations

import dataclasses

import psycopg
import pytest

from dbmigration_runner.contract.result import Outcome, RestoreStage
from dbmigration_runner.engines import engine_for
from dbmigration_runner.engines.restore import drop_replaced
from tests.integration import restores
from tests.integration.backups import contents, drop
from tests.integration.postgresql_server import Database

TABLES = ("sales.orders", '"Odd: (name%"', "log", "alembic_version")
SURROUNDINGS = (
    "SELECT pg_get_userbyid(d.datdba), pg_encoding_to_char(d.encoding), d.datcollate, d.datctype, d.datallowconn, d.datconnlimit,"
    " d.datistemplate, d.dattablespace, d.datacl::text, shobj_description(d.oid, 'pg_database'),"
    " (SELECT array_agg(concat(r.rolname, ':', setting) ORDER BY r.rolname, setting) FROM pg_db_role_setting s"
    "  CROSS JOIN unnest(s.setconfig) AS setting LEFT JOIN pg_roles r ON r.oid = s.setrole WHERE s.setdatabase = d.oid)"
    " FROM pg_database d WHERE d.datname = current_database()"
)


@pytest.fixture
def shop(database, tmp_path):
    yield restores.shop(database, tmp_path)
    restores.forget(database)


def everything(database):
    return {table: contents(database.server, database.name, table) for table in TABLES}


def test_the_backup_is_the_database_again_and_the_replaced_one_is_kept(shop, database):
    before = everything(database)
    restores.migrate(database)
    ran = shop.run(nothing_written=True)
    assert (ran.result.outcome, ran.result.heads, ran.result.changed) == (Outcome.SUCCEEDED, ("a1",), True), ran
    assert ran.result.catalog == shop.report.catalog
    kept = restores.kept(database)
    assert ran.result.restore is not None
    assert (ran.result.restore.stage, ran.result.restore.kept_as) == (RestoreStage.LOOKED, kept)
    assert not ran.result.restore.compared
    # The planner knows the tables before anybody is let in again.
    known = database.ask("SELECT DISTINCT tablename::text FROM pg_stats WHERE schemaname IN ('public', 'sales')")
    assert {table for (table,) in known} == {"orders", "Odd: (name%", "log", "alembic_version"}
    assert everything(database) == before
    assert set(restores.databases(database)) == {database.name, kept}
    assert not ran.events_called("restore-estimate"), "drained all along, nothing can have been written"
    assert [event["stage"] for event in ran.events_called("restore-stage")] == [
        stage.value for stage in RestoreStage if stage is not RestoreStage.COMPARED
    ]


def test_what_belongs_to_a_database_and_is_in_no_dump_comes_back(database, tmp_path):
    """Without them a restored application finds another search_path, no time limits, and doors open that were closed."""
    name = f'"{database.name}"'
    with database.server.superuser() as connection:
        connection.execute('DROP ROLE IF EXISTS "odd=role/x"; CREATE ROLE "odd=role/x"')
        for statement in (
            f'ALTER DATABASE {name} SET search_path = sales, "Odd, schema", public',
            f"ALTER DATABASE {name} SET application_name = 'it''s, ours'",
            f"ALTER DATABASE {name} SET \"shop.Tenant\" = 'a=b'",
            f"ALTER ROLE shop IN DATABASE {name} SET statement_timeout = '30s'",
            f"COMMENT ON DATABASE {name} IS 'the shop''s\nown'",
            f"REVOKE ALL ON DATABASE {name} FROM PUBLIC",
            f'GRANT CONNECT ON DATABASE {name} TO "odd=role/x" WITH GRANT OPTION',
            f"ALTER DATABASE {name} CONNECTION LIMIT 17 IS_TEMPLATE true",
        ):
            connection.execute(statement)
    try:
        shop = restores.shop(database, tmp_path)
        before = database.ask(SURROUNDINGS)
        restores.migrate(database)
        database.ask(f"ALTER DATABASE {name} RESET ALL; COMMENT ON DATABASE {name} IS 'migrated'")
        ran = shop.run(nothing_written=True)
        assert ran.result.outcome is Outcome.SUCCEEDED, ran
        assert database.ask(SURROUNDINGS) == before
        (told,) = ran.result.warnings
        assert told.endswith("is as in the backup now: settings, comment.")
    finally:
        restores.forget(database)
        with database.server.superuser() as connection:
            connection.execute(f"ALTER DATABASE {name} IS_TEMPLATE false")
            connection.execute(f'REVOKE ALL ON DATABASE {name} FROM "odd=role/x"; DROP ROLE "odd=role/x"')


def test_the_extensions_are_the_backups_and_one_in_another_version_is_named(shop, database):
    """CREATE EXTENSION, as it stands in a dump, takes the server's default version; plpgsql is in every new database."""
    database.ask("CREATE EXTENSION pg_trgm VERSION '1.5'; DROP EXTENSION plpgsql")
    shop = restores.Restores(shop.backups, shop.backups.take("second"))
    ran = shop.run(nothing_written=True)
    assert ran.result.outcome is Outcome.SUCCEEDED, ran
    (told,) = ran.result.warnings
    assert "the server's versions, not the backup's: pg_trgm 1.6 instead of 1.5." in told
    assert database.ask("SELECT extname::text FROM pg_extension") == [("pg_trgm",)]


def test_a_database_that_is_read_only_and_open_to_nobody_comes_back_so(database, tmp_path):
    name = f'"{database.name}"'
    asked = "SELECT datacl FROM pg_database WHERE datname = current_database()"
    try:
        shop = restores.shop(database, tmp_path)
        database.ask(f"REVOKE ALL ON DATABASE {name} FROM PUBLIC; REVOKE ALL ON DATABASE {name} FROM shop")
        database.ask(f"ALTER DATABASE {name} SET default_transaction_read_only = on; ALTER ROLE shop SUPERUSER")
        shop = restores.Restores(shop.backups, shop.backups.take("second"))
        ran = shop.run(nothing_written=True)
        assert ran.result.outcome is Outcome.SUCCEEDED, ran
        assert [row[0] for row in database.ask(asked)] == [[]]
        assert database.ask("SHOW default_transaction_read_only") == [("on",)]
    finally:
        with database.server.superuser() as connection:
            connection.execute("ALTER ROLE shop NOSUPERUSER")
        restores.forget(database)


def test_the_owner_with_createdb_needs_no_administrator(database, tmp_path):
    with database.server.superuser() as connection:
        connection.execute("ALTER ROLE shop CREATEDB")
    try:
        shop = restores.shop(database, tmp_path, as_shop=True)
        before = everything(database)
        restores.migrate(database)
        ran = shop.run(nothing_written=True)
        assert ran.result.outcome is Outcome.SUCCEEDED, ran
        assert everything(database) == before
    finally:
        restores.forget(database)
        with database.server.superuser() as connection:
            connection.execute("ALTER ROLE shop NOCREATEDB")


def test_large_objects_and_many_tables_come_back_by_several_processes_at_once(database, tmp_path):
    """What is said of a large object must be there before its bytes, whoever restores the rows beside it."""
    database.ask(
        "SET ROLE shop; CREATE TABLE picture (id int PRIMARY KEY, image oid);"
        " INSERT INTO picture SELECT n, lo_from_bytea(0, decode(repeat(md5(n::text), 9000), 'hex')) FROM generate_series(1, 20) n;"
        " DO $$ DECLARE image oid; BEGIN FOR image IN SELECT p.image FROM picture p LOOP"
        " EXECUTE format('COMMENT ON LARGE OBJECT %s IS ''of the shop''', image);"
        " EXECUTE format('GRANT SELECT ON LARGE OBJECT %s TO PUBLIC', image); END LOOP; END $$"
    )
    for number in range(30):
        database.ask(
            f"SET ROLE shop; CREATE TABLE many_{number} (id serial PRIMARY KEY, note text);"
            f" INSERT INTO many_{number} (note) SELECT md5(n::text) FROM generate_series(1, {number * 50}) n"
        )
    shop = restores.shop(database, tmp_path)
    seen = (
        "SELECT p.id, md5(lo_get(p.image)), pg_get_userbyid(m.lomowner), m.lomacl::text,"
        " obj_description(m.oid, 'pg_largeobject') FROM picture p JOIN pg_largeobject_metadata m ON m.oid = p.image ORDER BY 1"
    )
    numbers = "SELECT schemaname, sequencename, last_value FROM pg_sequences ORDER BY 1, 2"
    before, given = database.ask(seen), database.ask(numbers)
    assert len(before) == 20
    restores.migrate(database)
    ran = shop.run(nothing_written=True)
    assert ran.result.outcome is Outcome.SUCCEEDED, ran
    assert (database.ask(seen), database.ask(numbers)) == (before, given)
    assert database.ask("SELECT count(*) FROM many_29") == [(1450,)]
    restores.forget(database)


def test_nobody_gets_into_the_replaced_database(shop, database):
    """A pool that holds its address would go on writing where nobody reads."""
    restores.migrate(database)
    shop.run(nothing_written=True)
    with pytest.raises(psycopg.OperationalError, match="not currently accepting connections"):
        contents(database.server, restores.kept(database), "sales.orders")


def test_a_database_is_restored_again_and_again(shop, database):
    before = everything(database)
    for number in (7, 8):
        restores.migrate(database)
        ran = shop.run(nothing_written=True, run=number, keep_as=f"before-{number}")
        assert ran.result.outcome is Outcome.SUCCEEDED, ran
        assert everything(database) == before


@pytest.mark.parametrize("name", ['od"d', "a=b c", "x" * 63, "dbmigration_restore_0", "naïve/%s:q?", "user=postgres"])
def test_a_database_may_have_any_name(name, postgres, tmp_path):
    with postgres.superuser() as connection:
        connection.execute(psycopg.sql.SQL("CREATE DATABASE {} OWNER shop").format(psycopg.sql.Identifier(name)))
    database = Database(postgres, name)
    replaced = ""
    try:
        shop = restores.shop(database, tmp_path)
        before = everything(database)
        restores.migrate(database)
        ran = shop.run(accept_data_loss=True)
        assert ran.result.outcome is Outcome.SUCCEEDED, ran
        assert ran.result.restore is not None
        replaced = ran.result.restore.kept_as
        assert len(replaced.encode()) <= 63
        assert everything(database) == before
    finally:
        for found in {name, replaced} - {""}:
            with postgres.superuser() as connection:
                connection.execute(
                    psycopg.sql.SQL("DROP DATABASE {} WITH (FORCE)").format(psycopg.sql.Identifier(found))
                )


def test_only_what_a_restore_replaced_is_ever_dropped(shop, database):
    """By the name alone a person's own database would go that is called like one of ours."""
    restores.migrate(database)
    shop.run(nothing_written=True)
    own = f"{database.name}_before-8"
    with database.server.superuser() as connection:
        connection.execute(f'CREATE DATABASE "{own}"')
    engine, admin = engine_for(database.url), engine_for(database.server.url("postgres", user="postgres"))
    try:
        assert not drop_replaced(engine, admin, own)
        assert not drop_replaced(engine, admin, database.name)
        assert not drop_replaced(engine_for(database.server.url("another")), admin, restores.kept(database))
        assert drop_replaced(engine, admin, restores.kept(database))
        assert set(restores.databases(database)) == {database.name, own}
    finally:
        drop(database.server, own)


def test_the_step_that_verified_a_backup_drops_what_it_is_told_to_and_what_bears_our_mark(shop, database):
    shop.run(nothing_written=True)
    kept = restores.kept(database)
    theirs = f"{database.name}_theirs"
    with database.server.superuser() as connection:
        connection.execute(f'CREATE DATABASE "{theirs}"')
    try:
        told = shop.backups.start("second", drop_replaced=(kept, theirs, database.name)).wait().result
        assert (told.backup.dropped, told.backup.missing) == ((kept,), (theirs, database.name))
        assert set(restores.databases(database)) == {database.name, theirs}
    finally:
        drop(database.server, theirs)


def test_a_replaced_database_that_cannot_be_dropped_costs_no_backup(shop, database):
    """Here the role is not the owner any more."""
    shop.run(nothing_written=True)
    kept = restores.kept(database)
    with database.server.superuser() as connection:
        connection.execute(f'ALTER DATABASE "{kept}" OWNER TO postgres')
    own = dataclasses.replace(shop.backups, admin_url=None)
    told = own.start("second", drop_replaced=(kept,)).wait().result
    assert (told.outcome, told.backup.dropped, told.backup.missing) == (Outcome.SUCCEEDED, (), ())
    assert any(kept in warning and "tried again" in warning for warning in told.warnings)
    assert kept in restores.databases(database)
