"""The databases that PostgreSQL's benchmarks work on: two tables, of a size that is asked for."""

from __future__ import annotations

from tests.integration.postgresql_server import Database, Server

TABLES = ("orders", "events")
_HEADS = (
    "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY); INSERT INTO alembic_version VALUES ('a1');"
)
_ROWS = """
CREATE TABLE orders (id bigserial PRIMARY KEY, customer int NOT NULL, note text, total numeric(10,2));
INSERT INTO orders (customer, note, total)
SELECT (random() * 100000)::int, md5(i::text) || ' words on order ' || i, (random() * 1000)::numeric(10,2)
FROM generate_series(1, 5600 * {megabytes}) i;
CREATE TABLE events (id bigserial PRIMARY KEY, kind int, payload text);
INSERT INTO events (kind, payload)
SELECT i % 7, format('{{"user": %s, "path": "/item/%s"}}', (random() * 1e6)::int, i)
FROM generate_series(1, 2300 * {megabytes}) i;
GRANT ALL ON ALL TABLES IN SCHEMA public TO shop;
GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO shop;
ALTER TABLE alembic_version OWNER TO shop;
"""


def filled(server: Server, megabytes: int, name: str = "bench") -> Database:
    """A new database at revision a1; says how large it came out."""
    database = Database(server, name)
    with server.superuser() as connection:
        connection.execute(f"CREATE DATABASE {name} OWNER shop")
    database.ask(_HEADS + _ROWS.format(megabytes=megabytes))
    with server.superuser(name) as connection:
        connection.execute("VACUUM ANALYZE")
    size = database.ask(f"SELECT pg_database_size('{name}') / 1000000")[0][0]
    print(f"a database of {size} MB")
    return database
