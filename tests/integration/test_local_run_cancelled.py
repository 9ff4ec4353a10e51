"""Cancelling a run whose way back is a restore: it is gone to its end with its backup, or refused with the remedy; never left half applied."""

from __future__ import annotations

import contextlib
import sqlite3
import sys

import pytest

from tests.integration.local_program import Program
from tests.integration.projects import create, wait_for

STORAGE = {"storage": {"persistentVolumeClaim": {"claimName": "backups"}}}
BROKEN = 'op.execute("ALTER TABLE nowhere ADD COLUMN x INTEGER")'
COMMANDS = ("--resume-command", "true", "--drain-command")


@pytest.fixture
def shop(project, tmp_path):
    """A release with one table and a row, and a second one whose first revision commits and whose second fails."""
    shop = project("url_in_the_ini", f"sqlite:///{tmp_path / 'shop.db'}")
    env = shop.path / "migrations" / "env.py"
    text = env.read_text(encoding="utf-8")
    env.write_text(text.replace("context.configure(", "context.configure(transaction_per_migration=True, "), "utf-8")
    shop.revision("a1", None, create("t1"), 'op.execute("INSERT INTO t1 DEFAULT VALUES")')
    program = Program(shop, tmp_path)
    program.spec["backup"] = STORAGE
    assert program.run().code == 0
    shop.revision("a2", "a1", create("t2"))
    shop.revision("a3", "a2", create("half"), BROKEN)
    program.spec["drain"] = {"workloads": [{"kind": "Deployment", "name": "shop-web"}]}
    yield program
    program.end()


@pytest.fixture
def interrupted(shop, tmp_path):
    """The second release, failed, and interrupted while nothing can be drained."""
    gate = tmp_path / "gate"
    waits = f"{sys.executable} -c 'import pathlib, sys; sys.exit(not pathlib.Path(\"{gate}\").exists())'"
    started = shop.start("run", "--on-failure", "Restore", *COMMANDS, waits)
    wait_for(lambda: any(event["reason"] == "Draining" for event in shop.resource().get("events", ())), 60)
    wait_for(lambda: shop.status()["drain"]["workloads"][0].get("replicas") is not None, 60)
    started.interrupt()
    said = started.wait()
    assert said.code == 5, said.err
    assert "drained     Deployment/shop-web, or about to be, since" in said.out
    assert "its way back has begun, and dbmigration cancel, with the same options, goes to its end too" in joined(said)
    assert shop.status()["run"]["procedure"] == "Restore"
    return shop


def joined(said):
    """The report in one line."""
    return " ".join(said.out.split())


def _tables(folder):
    with contextlib.closing(sqlite3.connect(folder / "shop.db")) as connection:
        return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def test_a_pending_restore_is_gone_to_its_end_by_an_end(interrupted, tmp_path):
    backups = ("--backups", str(interrupted.backups))
    said = interrupted.run("cancel", "--on-failure", "Restore", *backups, *COMMANDS, "true")
    assert said.code == 8, said.out + said.err
    assert _tables(tmp_path) == {"alembic_version", "t1"}
    assert interrupted.status()["phase"] == "RolledBack"
    assert "restored away a2" in said.out
    assert "Run 2 goes to its end, for its way back has begun and is not broken off: the restore behind" in said.err


def test_an_order_that_has_only_tried_to_drain_is_given_up_by_an_end(shop, tmp_path):
    (backup,) = (item["name"] for item in shop.status()["backups"])
    ordered = ("--restore", backup, "--accept-data-loss", *COMMANDS, "false")
    started = shop.start("run", *ordered)
    wait_for(lambda: list(shop.state.glob("*/drained/Deployment-shop-web")), 60)
    started.interrupt()
    assert "nothing was restored yet, and dbmigration cancel, with the same options, gives the restore up" in joined(
        started.wait()
    )
    del shop.spec["drain"]
    refused = shop.run()
    assert refused.code == 2, refused.out + refused.err
    open_order = f", backup {backup}, draining since"
    assert open_order in refused.err.partition("Run 2 is open: restore-")[2]
    assert "This run drains workloads: give both --drain-command and --resume-command" in refused.err
    # It needs no backups any more; what failed to stop the application may yet have stopped a part of it.
    resumed = tmp_path / "resumed"
    said = shop.run("cancel", "--drain-command", "true", "--resume-command", f"touch {resumed}")
    assert (said.code, resumed.exists()) == (4, True), said.out + said.err
    assert (_tables(tmp_path), shop.steps()) == ({"alembic_version", "t1"}, [("find", "Succeeded")])
    assert open_order in said.err.partition("Run 2 is given up, nothing was restored: ")[2]
    assert "It was cancelled before anything was restored." in joined(said)


def test_without_its_backups_folder_it_is_refused_and_stays_as_it_was(interrupted):
    before = interrupted.resource()
    said = interrupted.run("cancel", *COMMANDS, "true")
    name = interrupted.status()["run"]["backup"]
    assert said.code == 2, said.out + said.err
    assert f"This run is to restore the backup {name}: give --backups the folder it is in" in said.err
    assert interrupted.resource() == before


def test_what_a_run_without_a_drain_in_its_manifest_drains_is_not_forgotten_by_an_end(interrupted):
    del interrupted.spec["drain"]
    said = interrupted.run("cancel", "--backups", str(interrupted.backups))
    assert said.code == 2, said.out + said.err
    assert "This run drains workloads: give both --drain-command and --resume-command" in said.err


def test_another_folder_than_that_of_the_backup_is_refused(interrupted, tmp_path):
    before = interrupted.resource()
    said = interrupted.run("cancel", "--backups", str(tmp_path / "elsewhere"), *COMMANDS, "true")
    assert said.code == 2, said.out + said.err
    assert "is not in" in said.err
    assert interrupted.resource() == before


def test_where_a_restore_may_follow_the_folder_is_asked_for_before_the_migration_is_stopped(shop, tmp_path):
    gate = tmp_path / "gate"
    waits = f"import os, time\nwhile not os.path.exists({str(gate)!r}):\n    time.sleep(0.1)"
    shop.project.revision("a3", "a2", waits)
    started = shop.start("run", "--on-failure", "Restore", *COMMANDS, "true")
    wait_for(lambda: ("migrate", "Started") in shop.steps(), 60)
    started.kill()
    said = shop.run("cancel", *COMMANDS, "true")
    assert said.code == 2, said.out + said.err
    assert "This run may have to restore the backup" in said.err
    assert shop.steps()[-1] == ("migrate", "Started")
    gate.touch()
    assert shop.run("run", "--on-failure", "Restore", *COMMANDS, "true").code == 0
