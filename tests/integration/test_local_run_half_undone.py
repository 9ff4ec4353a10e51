"""A way back that is killed in the middle of a revision, where half a downgrade stays: it is told, or the backup is restored; it is never run again."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from dbmigration_runner.contract.result import BackupReport, Outcome
from tests.integration.backups import Backups
from tests.integration.local_program import Program, Said, wait_for_end
from tests.integration.projects import create, wait_for
from tests.integration.restores import Restores

AROUND = ("--drain-command", "true", "--resume-command", "true")
BEFORE = {"alembic_version", "t1"}


@pytest.fixture
def release(piecemeal, tmp_path):
    """A release of one table with a row, and a second one of three revisions, of which the last fails."""
    shop = piecemeal.project
    shop.revision("a1", None, create("t1"), 'op.execute("INSERT INTO t1 VALUES (7)")')
    assert shop.run("migrate").result.heads == ("a1",)
    shop.revision("a2", "a1", *map(create, ("kept2", "gone2")), down=way_back(2, tmp_path))
    shop.revision("a3", "a2", *map(create, ("kept3", "gone3")), down=way_back(3, tmp_path))
    shop.revision("a4", "a3", 'op.execute("ALTER TABLE nowhere ADD COLUMN x INTEGER")', down="pass")
    return piecemeal


def way_back(revision: int, folder: Path) -> str:
    """Drops one of two tables, and stands still before the other when it is told to and comes there for the first time."""
    stop, reached = str(folder / f"stop-{revision}"), str(folder / "reached")
    return (
        f'import os, time\nop.drop_table("gone{revision}")\nif os.path.exists({stop!r}) and not os.path.exists({reached!r}):\n'
        f'    open({reached!r}, "w").close()\n    time.sleep(600)\nop.drop_table("kept{revision}")'
    )


def killed_in(program: Program, revision: int, *wishes: str) -> Said:
    """Program and step are lost in this revision's downgrade, as with their node; what the next start says."""
    command = ("run", *wishes, *program.admin)
    (program.folder / f"stop-{revision}").touch()
    started = program.start(*command)
    wait_for(lambda: (program.folder / "reached").exists() or started.process.poll() is not None, 90)
    started.kill()
    runner = program.runner("downgrade")
    os.killpg(runner, signal.SIGKILL)
    wait_for_end(runner)
    return program.run(*command)


def test_half_an_undone_revision_is_told_and_the_named_backup_leads_back(release):
    said = killed_in(release, 3, "--on-failure", "Downgrade")
    assert said.code == 3, said.err
    status = release.status()
    ready = status["conditions"][0]
    assert (status["phase"], status["currentRevisions"], ready["reason"]) == ("Failed", ["a3"], "RollbackFailed")
    assert release.steps()[-3:] == [("migrate", "Failed"), ("downgrade", "Failed"), ("look", "Succeeded")]
    name = status["run"]["backup"]
    assert "the schema is another one although the revision is the same: a revision is half undone" in ready["message"]
    assert (
        f"The database is at a3. Restore the backup {name}, or mend it by hand. The migration had failed"
        in (ready["message"])
    )
    assert release.tables() == BEFORE | {"kept2", "gone2", "kept3"}, "as the kill left it"
    restored = restore(release, status["backups"][0])
    assert restored.outcome is Outcome.SUCCEEDED, restored
    assert (release.tables(), release.ask("SELECT id FROM t1")) == (BEFORE, [(7,)])


def restore(program: Program, backup):
    """By a runner, as it is ordered."""
    assert backup["name"] == program.status()["run"]["backup"]
    directory = Path(backup["location"]).parent
    admin = Path(program.admin[1]).read_text(encoding="utf-8") if program.admin else None
    backups = Backups(program.project.url, directory, admin)
    report = BackupReport(backup["name"], str(directory), 0, backup["sha256"], (), "", "", restorable=True)
    return Restores(backups, report).run().result


def test_between_two_revisions_the_backup_is_restored_where_that_is_wished(release):
    said = killed_in(release, 2, "--on-failure", "DowngradeOrRestore", *AROUND)
    assert said.code == 8, said.out + said.err
    assert [name for name, _ in release.steps()] == ["plan", "backup", "migrate", "downgrade", "look", "restore"]
    assert (release.status()["phase"], release.status()["currentRevisions"]) == ("RolledBack", ["a1"])
    assert release.ask("SELECT version_num FROM alembic_version") == [("a1",)]
    assert (release.tables(), release.ask("SELECT id FROM t1")) == (BEFORE, [(7,)])
    (told,) = [event["message"] for event in release.resource()["events"] if event["reason"] == "RollbackFailed"]
    assert "nobody can tell whether the next one is half undone" in told
