"""The program of an application that writes all the time, drawn by a seed, on whichever database its URL names.

Runs in a Pod, by the tools image's SQLAlchemy and drivers, and knows nothing of tests. Each Pod inserts, updates and deletes
rows of its own and keeps a ledger: a line is begun with the row and its note (`-` where it is deleted) before the database
is asked, and ended with `ok` when the commit was answered. A line without it may have happened or not; its row is left alone.
"""

from __future__ import annotations

import contextlib
import os
import random
import time
from pathlib import Path

from sqlalchemy import Connection, NullPool, create_engine, text
from sqlalchemy.exc import SQLAlchemyError

ROWS = 300  # few enough that one is met again, and many enough that not all are
INSERT = text("INSERT INTO orders (id, note) VALUES (:id, :note)")
UPDATE = text("UPDATE orders SET note = :note WHERE id = :id")
DELETE = text("DELETE FROM orders WHERE id = :id")


class Writer:
    """One Pod's writes."""

    def __init__(self, pod: str, folder: Path) -> None:
        self._pod = pod
        self._seed = folder / "seed"
        # What a killed process wrote is there all the same: nothing has to be forced to the disk.
        self._ledger = (folder / f"{pod}.ledger").open("a", encoding="utf-8")
        self._count = 0
        self._there: set[str] = set()
        self._doubtful: set[str] = set()

    def write(self, connection: Connection) -> None:
        """Draw and do the next write."""
        self._count += 1
        chance = random.Random(f"{self._seed.read_text()} {self._count}")
        row = f"{self._pod}/{chance.randrange(ROWS)}"
        if row in self._doubtful:
            return
        if row not in self._there:
            statement, note = INSERT, str(self._count)
        elif chance.random() < 0.7:
            statement, note = UPDATE, str(self._count)
        else:
            statement, note = DELETE, "-"
        self._say(f"\n{row} {note}")
        self._doubtful.add(row)
        connection.execute(statement, {"id": row} if statement is DELETE else {"id": row, "note": note})
        connection.commit()
        self._say(" ok")
        self._doubtful.discard(row)
        (self._there.discard if statement is DELETE else self._there.add)(row)
        time.sleep(chance.uniform(0.005, 0.05))

    def _say(self, words: str) -> None:
        self._ledger.write(words)
        self._ledger.flush()


def main() -> None:
    """Write until the Pod is killed; whoever is put out comes again."""
    engine = create_engine(Path("/etc/database/url").read_text(encoding="utf-8").strip(), poolclass=NullPool)
    writer = Writer(os.environ["HOSTNAME"], Path("/ledger"))
    while True:
        with contextlib.suppress(SQLAlchemyError), engine.connect() as connection:
            if engine.dialect.name == "sqlite":
                connection.exec_driver_sql("PRAGMA journal_mode = WAL")  # else nobody reads while it writes
            while True:
                writer.write(connection)
        time.sleep(0.1)


if __name__ == "__main__":
    main()
