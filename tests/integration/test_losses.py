"""What a way down would lose, counted in real databases."""

from __future__ import annotations

import re
import sqlite3
import time

import psycopg
import pytest

from dbmigration_runner.checks.drops import Drop
from dbmigration_runner.checks.losses import Loss, Patience, losses
from dbmigration_runner.engines import engine_for, sqlite_row_counts
from dbmigration_runner.errors import StatementRefused
from tests.integration.postgresql_server import CANARY, Database


def told(found: tuple[Loss, ...]) -> list[str]:
    return [loss.sentence for loss in found]


def of(url: str, *drops: Drop, **patience: float) -> tuple[Loss, ...]:
    return losses(engine_for(url), {"a2": drops}, Patience(**patience))


def as_owner(database: Database, script: str) -> None:
    with psycopg.connect(
        host="127.0.0.1", port=database.server.port, user="shop", password=CANARY, dbname=database.name, autocommit=True
    ) as connection:
        connection.execute(script)  # type: ignore[call-overload]  # the test's own constants


ORDERS = Drop("orders")
NOTE = Drop("orders", "note")


@pytest.fixture(params=["postgresql", "mariadb", "sqlite"])
def shop(request, tmp_path):
    """A URL, and a way to run a script there."""
    if request.param == "mariadb":
        found = request.getfixturevalue("mariadb_database")

        def ask(script):
            with found.server.session(found.name) as connection, connection.cursor() as cursor:
                cursor.execute("SET SESSION sql_mode = CONCAT(@@sql_mode, ',ANSI_QUOTES')")
                cursor.execute("SET SESSION max_recursive_iterations = 4000000")
                for statement in re.split("; (?=CREATE|INSERT)", script):
                    cursor.execute(statement)

        return found.url, ask
    if request.param == "postgresql":
        database = request.getfixturevalue("database")
        return database.url, lambda script: as_owner(database, script)

    def run(script):
        with sqlite3.connect(tmp_path / "shop.db") as connection:
            connection.executescript(script)
        connection.close()

    return f"sqlite:///{tmp_path}/shop.db", run


def test_rows_and_values_are_counted(shop):
    url, run = shop
    run("CREATE TABLE orders (id int, note text); INSERT INTO orders VALUES (1, 'x'), (2, NULL), (3, '')")
    found = losses(engine_for(url), {"a3": (NOTE,), "a2": (), "a1": (ORDERS,)})
    assert found == (Loss("a3", "orders", "note", 2), Loss("a1", "orders", None, 3))
    assert told(found) == [
        "Undoing a3 loses 2 values of the column orders.note.",
        "Undoing a1 loses 3 rows of the table orders.",
    ]


def test_what_is_not_there_or_empty_is_no_loss(shop):
    url, run = shop
    run("CREATE TABLE orders (id int, note text); CREATE TABLE full_one (a int); INSERT INTO full_one VALUES (1)")
    run("CREATE VIEW some_view AS SELECT * FROM full_one")
    drops = (ORDERS, NOTE, Drop("nosuch"), Drop("nosuch", "a"), Drop("full_one", "nosuch"), Drop("some_view"))
    assert of(url, *drops, Drop("some_view", "a"), Drop("no.such.schema")) == ()
    assert told(of(url, Drop("full_one"))) == ["Undoing a2 loses 1 row of the table full_one."]


@pytest.mark.parametrize(
    "name", ['a"b', "a b", "a:b", "a%s%(x)s", "a.b", "SELECT", "ü", "a\\:b", "x'; DROP TABLE y; --"]
)
def test_a_hostile_name_is_a_name(shop, name):
    url, run = shop
    quoted = '"' + name.replace('"', '""') + '"'
    run(f"CREATE TABLE {quoted} ({quoted} text, other int); INSERT INTO {quoted} VALUES ('x', 1), (NULL, 2)")
    assert [loss.rows for loss in of(url, Drop(name), Drop(name, name))] == [2, 1]


def test_what_sql_left_unquoted_is_found_whatever_its_letters(shop):
    url, run = shop
    if url.startswith("mysql"):  # there a table of other letters is another table, and a column is not
        run("CREATE TABLE orders (note text); INSERT INTO orders VALUES ('x')")
        assert [loss.rows for loss in of(url, Drop("orders"), Drop("orders", "Note"), Drop("Orders"))] == [1, 1]
        return
    run("CREATE TABLE orders (note text); INSERT INTO orders VALUES ('x')")
    assert [loss.rows for loss in of(url, Drop("Orders"), Drop("ORDERS", "Note"))] == [1, 1]


def test_what_is_computed_of_other_columns_is_no_loss(shop):
    url, run = shop
    run("CREATE TABLE t (a int, b int GENERATED ALWAYS AS (a + 1) STORED); INSERT INTO t (a) VALUES (1)")
    assert of(url, Drop("t", "b")) == ()


def test_a_table_that_is_not_counted_in_time_holds_some_rows(shop):
    url, run = shop
    run("CREATE TABLE huge (i int, none int)")
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000000)"
    run(f"INSERT INTO huge {numbers} SELECT i, NULL FROM n")
    found = of(url, Drop("huge"), Drop("huge", "i"), count=0.001, probe=30)
    assert [(loss.rows, loss.some) for loss in found] == [(None, True), (None, True)]
    assert told(found[:1]) == ["Undoing a2 loses rows of the table huge; how many was not counted: it takes too long."]
    assert of(url, Drop("huge", "none"), count=0.001, probe=30) == (), "the probe went through all of it"
    (loss,) = of(url, Drop("huge", "none"), count=0.001, probe=0.001)
    assert (loss.rows, loss.some) == (None, False)
    assert "whether there are values is not known" in loss.sentence


def test_a_count_that_begins_when_its_time_is_over_is_ended_too(tmp_path, monkeypatch):
    """An interrupt of SQLite ends what is at work at that moment, and nothing later."""
    file = tmp_path / "shop.db"
    with sqlite3.connect(file) as connection:
        numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000000)"
        connection.execute(f"CREATE TABLE huge AS {numbers} SELECT i, NULL AS none FROM n")
    with engine_for(f"sqlite:///{file}").connect() as session:
        ask = session.first_value

        def late(statement):
            time.sleep(0.1)
            return ask(statement)

        monkeypatch.setattr(session, "first_value", late)
        with pytest.raises(StatementRefused) as refused:
            sqlite_row_counts.has_rows(session, "huge", "none", seconds=0.001)
    assert refused.value.is_timeout


def test_nothing_is_counted_when_the_time_is_over(shop):
    url, run = shop
    run("CREATE TABLE orders (note text); INSERT INTO orders VALUES ('x')")
    (loss,) = of(url, ORDERS, total=0)
    assert (loss.rows, loss.some, loss.why) == (None, False, "there was no time left")


def test_a_database_that_cannot_be_reached_is_told_and_not_raised(database):
    url = database.url.replace(f":{database.server.port}/", ":1/")
    (loss,) = of(url, ORDERS)
    assert (loss.rows, loss.some) == (None, False)
    assert "S3cret" not in loss.sentence


def test_a_locked_table_is_not_waited_for(database):
    as_owner(
        database, "CREATE TABLE orders (note text); INSERT INTO orders VALUES ('x'); CREATE TABLE free AS SELECT 1 AS a"
    )
    with database.server.superuser(database.name) as holder:
        holder.execute("BEGIN")
        holder.execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
        found = of(database.url, ORDERS, NOTE, Drop("free"))
        holder.execute("ROLLBACK")
    assert [(loss.table, loss.rows, loss.some) for loss in found] == [
        ("orders", None, False),
        ("orders", None, False),
        ("free", 1, True),
    ]
    assert "lock timeout" in found[0].sentence


@pytest.fixture
def schemas(database):
    """Two schemas that the role searches, in this order, and one that it does not."""
    as_owner(database, "CREATE SCHEMA app; CREATE SCHEMA other; CREATE SCHEMA hidden")
    database.ask("ALTER ROLE shop IN DATABASE " + database.name + " SET search_path = app, other")
    return database


def test_an_unqualified_name_leads_where_the_roles_path_leads(schemas):
    as_owner(
        schemas,
        "CREATE TABLE other.orders AS SELECT 1 AS a; CREATE TABLE hidden.orders AS SELECT generate_series(1, 9) AS a",
    )
    assert [loss.rows for loss in of(schemas.url, ORDERS, Drop("hidden.orders"), Drop("other.orders", "a"))] == [
        1,
        9,
        1,
    ]
    as_owner(schemas, "CREATE TABLE app.orders AS SELECT generate_series(1, 2) AS a")
    assert [loss.rows for loss in of(schemas.url, ORDERS)] == [2]


def test_a_view_in_front_of_a_table_saves_it(schemas):
    as_owner(schemas, "CREATE TABLE other.orders AS SELECT 1 AS a; CREATE VIEW app.orders AS SELECT 1 AS a")
    assert of(schemas.url, ORDERS) == ()
    assert [loss.rows for loss in of(schemas.url, Drop("other.orders"))] == [1]


def test_off_the_path_every_table_of_the_name_counts(schemas):
    """env.py may set the path as it likes: nothing is lost in silence."""
    as_owner(
        schemas,
        "CREATE TABLE hidden.orders AS SELECT 1 AS a; CREATE SCHEMA more; CREATE TABLE more.orders AS SELECT 2 AS a",
    )
    assert [loss.rows for loss in of(schemas.url, ORDERS, Drop("orders", "a"))] == [2, 2]


def test_partitions_are_counted_with_their_table(schemas):
    as_owner(schemas, "CREATE TABLE app.orders (a int) PARTITION BY LIST (a); CREATE TABLE app.orders_1 PARTITION OF app.orders FOR VALUES IN (1, 2)")  # fmt: skip
    as_owner(schemas, "INSERT INTO app.orders VALUES (1), (2)")
    assert [loss.rows for loss in of(schemas.url, ORDERS)] == [2]


def test_rows_that_a_policy_hides_are_not_taken_for_none(database):
    database.ask("CREATE TABLE orders (a int); INSERT INTO orders VALUES (1); GRANT SELECT ON orders TO shop")
    database.ask("ALTER TABLE orders ENABLE ROW LEVEL SECURITY; CREATE POLICY none ON orders USING (false)")
    (loss,) = of(database.url, ORDERS)
    assert (loss.rows, loss.some) == (None, False)
    assert "row-level security" in loss.sentence


def test_a_table_that_the_role_may_not_read_is_not_taken_for_empty(database):
    database.ask("CREATE TABLE orders (a int); INSERT INTO orders VALUES (1)")
    (loss,) = of(database.url, ORDERS)
    assert (loss.rows, loss.some) == (None, False)
    assert "permission denied" in loss.sentence


def test_nothing_of_a_tenant_is_called_while_counting(schemas):
    """A function that stands in for count() or unnest() on the role's path."""
    as_owner(schemas, "CREATE TABLE app.calls (n int); CREATE TABLE app.orders AS SELECT 1 AS a")
    for name, kind in (("unnest", "anyarray"), ("set_config", "text, text, boolean"), ("current_setting", "text")):
        body = "INSERT INTO app.calls VALUES (1); SELECT NULL::text"
        as_owner(schemas, f"CREATE FUNCTION app.{name}({kind}) RETURNS text LANGUAGE sql AS $$ {body} $$")
    schemas.ask("ALTER ROLE shop IN DATABASE " + schemas.name + " SET search_path = app, pg_catalog")
    assert [loss.rows for loss in of(schemas.url, ORDERS)] == [1]
    assert schemas.ask("SELECT count(*) FROM app.calls") == [(0,)]
