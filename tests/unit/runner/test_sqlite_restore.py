"""An SQLite restore whose last statement fails: what was replaced is kept, whatever comes behind the copy."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3

from dbmigration_runner.engines import engine_for, sqlite_restore
from dbmigration_runner.engines.restore import Wanted, restore_for


def rows(path):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT id FROM orders").fetchall()


def test_where_the_journal_mode_cannot_be_given_back_the_replaced_rows_are_kept(tmp_path, monkeypatch):
    live, dump = tmp_path / "shop.db", tmp_path / "first.sqlite"
    with contextlib.closing(sqlite3.connect(live)) as connection:
        connection.executescript("PRAGMA journal_mode = WAL; CREATE TABLE orders (id INTEGER PRIMARY KEY)")
    shutil.copy(live, dump)
    with contextlib.closing(sqlite3.connect(live)) as connection:
        connection.executescript("INSERT INTO orders VALUES (7)")

    def fails(connection, pragma):
        if pragma == "main.journal_mode = WAL":
            raise sqlite3.OperationalError("disk I/O error")
        return connection.execute(f"PRAGMA {pragma}").fetchone()[0]

    monkeypatch.setattr(sqlite_restore, "_asked", fails)
    engine = engine_for(f"sqlite:///{live}")
    wanted = Wanted(dump, "hash", {}, (), "alembic_version", None, None, "token", "before", "a test")
    way = restore_for(engine, None, wanted)
    with contextlib.closing(way), way.fence(lambda: None):
        kept = way.swap(engine.lock(exclusive=True, should_stop=lambda: None, wait_seconds=1), lambda: None)
    way.discard()
    assert (rows(live), rows(tmp_path / kept)) == ([], [(7,)])
    assert "not in WAL mode any more: disk I/O error" in " ".join(way.confirm())
