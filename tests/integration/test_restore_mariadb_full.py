"""A MariaDB server whose disk runs full while a backup is loaded beside the database."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from dbmigration_runner.contract.result import Outcome
from tests.integration import mariadb_backups, mariadb_restores
from tests.integration.mariadb_server import fresh_database, running_mariadb
from tests.integration.restores import Restores

MIB = 1 << 20
# Twenty and some MiB, in rows of an ordinary size.
PADDING = b"""
CREATE TABLE padding (id int AUTO_INCREMENT PRIMARY KEY, note text);
INSERT INTO padding (note) SELECT repeat(md5(seq), 10) FROM seq_1_to_40000;
"""
# Fewer than the copy takes, and enough for what the server writes besides: with five and fewer 10.11 was seen to end itself.
ROOM = 12


class Disk:
    """A file system whose size can be changed."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="dbmigration-disk-"))
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400m,mode=0755", "tmpfs", self.folder], check=True)

    def leave(self, mebibytes):
        """Room for so much more."""
        found = os.statvfs(self.folder)
        size = (found.f_blocks - found.f_bfree) * found.f_bsize + mebibytes * MIB
        subprocess.run(["mount", "-o", f"remount,size={size}", self.folder], check=True)

    def remove(self) -> None:
        subprocess.run(["umount", self.folder], check=True)
        self.folder.rmdir()


@pytest.fixture
def disk():
    found = Disk()
    yield found
    found.remove()


@pytest.fixture
def database(disk):
    """On a server of its own, all of whose files lie on that disk."""
    with running_mariadb(folder=disk.folder) as server, fresh_database(server, "shop") as found:
        yield found


def state(database):
    server, name = database.server, database.name
    return mariadb_backups.schema(server, name), mariadb_backups.contents(server, name)


def test_a_server_without_room_is_told_and_left_as_it_was_and_restores_when_there_is_room(database, disk, tmp_path):
    """The application goes on with the whole database, and what was half loaded takes its room no longer."""
    mariadb_backups.load(database, mariadb_restores.SHOP + PADDING)
    backups = mariadb_backups.of(database, tmp_path / "backups")
    shop = Restores(backups, backups.take())
    mariadb_restores.migrate(database)
    before = state(database)
    disk.leave(ROOM)
    ran = shop.run(accept_data_loss=True)
    assert (ran.result.outcome, ran.result.reason, ran.result.changed) == (Outcome.FAILED, "DiskSpaceLow", False), ran
    assert [event["stage"] for event in ran.events_called("restore-stage")] == ["verified"]
    assert database.server.processes[-1].poll() is None
    assert not mariadb_restores.is_fenced(database)
    assert mariadb_restores.databases(database) == {database.name}
    assert state(database) == before
    database.ask("INSERT INTO orders (customer, note) VALUES (1, 'the application goes on')")
    disk.leave(200)
    ran = shop.run(accept_data_loss=True, attempt=2)
    assert ran.result.outcome is Outcome.SUCCEEDED, ran
    assert mariadb_restores.databases(database) == {database.name, mariadb_restores.kept(database)}
    assert database.ask("SELECT count(*) FROM padding") == [(40000,)]
    assert database.ask("SELECT version_num FROM alembic_version") == [("a1",)]
    mariadb_restores.forget(database)
