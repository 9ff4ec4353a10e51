"""How far a backup is can be heard while it is made, whichever the engine, and a short one keeps quiet."""

from __future__ import annotations

import contextlib
import sqlite3

import pytest

from dbmigration_runner.checks.backup_progress import BackupProgress
from dbmigration_runner.contract.result import Outcome
from tests.integration.backups import Backups

TABLE = "CREATE TABLE orders (id int, note text)"


class Listener:
    """Hears how far a backup is, without its usual pauses: what is done, how many bytes, and of how many."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, int, int | None]] = []
        self.far = BackupProgress(self._hear, period_seconds=0)

    def of(self, doing: str) -> list[tuple[int, int | None]]:
        return [(count, of) for known, count, of in self.heard if known == doing]

    def _hear(self, event: str, *, doing: str, bytes: int, of: int | None) -> None:  # noqa: A002  # as the log has it
        assert event == "backup-progress"
        self.heard.append((doing, bytes, of))


@pytest.fixture(params=["postgresql", "mariadb", "sqlite"])
def shop(request, tmp_path):
    """The backups of five thousand rows."""
    if request.param == "sqlite":
        with contextlib.closing(sqlite3.connect(tmp_path / "shop.db")) as connection, connection:
            connection.execute(TABLE)
            connection.executemany("INSERT INTO orders VALUES (?, ?)", ((i, f"note {i}" * 10) for i in range(5000)))
        return Backups(f"sqlite:///{tmp_path}/shop.db", tmp_path / "backups")
    if request.param == "mariadb":
        there = request.getfixturevalue("mariadb_database")
        there.ask(TABLE)
        there.ask("INSERT INTO orders SELECT seq, repeat(concat('note ', seq), 10) FROM seq_1_to_5000")
        return Backups(there.url, tmp_path / "backups")
    database = request.getfixturevalue("database")
    database.ask(
        f"{TABLE}; GRANT ALL ON orders TO shop;"
        "INSERT INTO orders SELECT i, repeat('note ' || i, 10) FROM generate_series(1, 5000) i"
    )
    return Backups(database.url, tmp_path / "backups")


def test_how_far_it_is_is_told_while_it_is_written_and_while_it_is_read_back(shop):
    listener = Listener()
    report = shop.take(far=listener.far)
    written, read = listener.of("writing"), listener.of("reading back")
    assert all(0 <= count <= report.size_bytes and of is None for count, of in written)
    assert read[-1] == (report.size_bytes, report.size_bytes)
    assert written == sorted(written)
    assert read == sorted(read)


def test_a_backup_that_is_soon_done_tells_nothing_on_its_way(shop):
    """Each line costs a write of the operator's."""
    ran = shop.start("soon").wait()
    assert ran.result.outcome is Outcome.SUCCEEDED
    assert ran.events_called("backup-progress") == []
