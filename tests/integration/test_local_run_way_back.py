"""The way back without a cluster: undone, restored, refused, with the caller's own commands around a restore."""

from __future__ import annotations

import signal
import stat
import sys

import pytest

from tests.integration.local_program import Program, Said
from tests.integration.projects import create, wait_for
from tests.sampling import some

STORAGE = {"storage": {"persistentVolumeClaim": {"claimName": "backups"}}}
BROKEN = 'op.execute("ALTER TABLE nowhere ADD COLUMN x INTEGER")'
RAISES = 'raise RuntimeError("nobody wrote it")'


def said_in(status):
    return status["conditions"][0]["message"]


@pytest.fixture
def calls(tmp_path):
    """Two commands that write down how they are called."""
    noted = tmp_path / "calls"
    for name in ("drain", "resume"):
        script = tmp_path / name
        script.write_text(
            f"#!{sys.executable}\nimport os\nwith open({str(noted)!r}, 'a') as file:\n"
            f"    print({name!r}, os.environ['DBMIGRATION_WORKLOAD'], os.environ['DBMIGRATION_REPLICAS'], file=file)\n"
        )
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return noted


@pytest.fixture
def shop(project, database, tmp_path, calls):
    """A release with one table, and a second one whose first revision commits and whose second fails."""
    shop = project("url_in_the_ini", database.url)
    env = shop.path / "migrations" / "env.py"
    text = env.read_text(encoding="utf-8")
    env.write_text(text.replace("context.configure(", "context.configure(transaction_per_migration=True, "), "utf-8")
    shop.revision("a1", None, create("t1"), down='op.drop_table("t1")')
    program = Program(shop, tmp_path)
    program.spec["backup"] = STORAGE
    assert program.run().code == 0
    database.ask("INSERT INTO t1 VALUES (1)")
    shop.revision("a2", "a1", create("t2"), down=RAISES)
    shop.revision("a3", "a2", BROKEN, down="pass")
    program.spec["drain"] = {"workloads": [{"kind": "Deployment", "name": "shop-web"}]}
    yield program
    program.end()


@pytest.fixture
def around(calls, database):
    """The commands, and a role that may create databases."""
    folder = calls.parent
    (folder / "admin-url").write_text(database.server.url(database.name, user="postgres"))
    commands = "--drain-command", str(folder / "drain"), "--resume-command", str(folder / "resume")
    return *commands, "--admin-url-file", str(folder / "admin-url")


def test_a_backup_is_restored_where_the_downgrade_fails(shop, database, calls, around):
    said = shop.run("run", "--on-failure", "DowngradeOrRestore", *around)
    assert said.code == 8, said.err
    assert database.ask("SELECT version_num FROM alembic_version") == [("a1",)]
    assert database.ask("SELECT id FROM t1") == [(1,)]
    assert database.tables() == {"alembic_version", "t1"}
    assert calls.read_text().splitlines() == ["drain Deployment/shop-web 0", "resume Deployment/shop-web 1"]
    status = shop.status()
    assert shop.steps() == [
        ("plan", "Succeeded"), ("backup", "Succeeded"), ("migrate", "Failed"), ("downgrade", "Failed"), ("restore", "Succeeded"),
    ]  # fmt: skip
    assert (status["phase"], status["currentRevisions"], status.get("drain")) == ("RolledBack", ["a1"], None)
    restored = status["run"]["restored"]
    assert (restored["backup"], restored["compared"]) == (status["run"]["backup"], True)
    assert "nobody wrote it" not in said.out
    why = "Revision a2 failed: RuntimeError (migrations/versions/a2.py:"
    assert f"The downgrade failed: {why}" in said.err
    assert f"The downgrade had failed: {why}" in status["conditions"][0]["message"]
    assert f"The downgrade had failed: {why}" in " ".join(said.out.split())
    events = [event["reason"] for event in shop.resource()["events"]]
    told = next(event["message"] for event in shop.resource()["events"] if event["reason"] == "RollbackFailed")
    assert told.startswith(f"The downgrade failed: {why}")
    wanted = ["MigrationFailed", "RollingBack", "RollbackFailed", "Draining", "Restoring", "Resuming", "RolledBack"]
    assert [reason for reason in events if reason in wanted][-len(wanted) :] == wanted


@pytest.fixture
def at_second(piecemeal, calls):
    """Two revisions and a row, on a database that keeps what half a revision did; no way back of the second one leads there."""
    shop = piecemeal.project
    shop.revision("a1", None, create("t1"), 'op.execute("INSERT INTO t1 VALUES (1)")', down='op.drop_table("t1")')
    shop.revision("a2", "a1", *map(create, ("t2", "t3")), down=f'op.drop_table("t3")\n{BROKEN}')
    assert shop.run("migrate").result.heads == ("a2",)
    piecemeal.spec["drain"] = {"workloads": [{"kind": "Deployment", "name": "shop-web"}]}
    return piecemeal


def came_back(program, calls, *wishes) -> Said:
    """Run, with the caller's commands; the database is at its second revision as it was, and the application is back."""
    folder = program.folder
    commands = ("--drain-command", str(folder / "drain"), "--resume-command", str(folder / "resume"))
    said = program.run("run", *wishes, *commands, *program.admin)
    assert said.code == 8, said.out + said.err
    assert program.ask("SELECT version_num FROM alembic_version") == [("a2",)]
    assert program.ask("SELECT id FROM t1") == [(1,)]
    assert program.tables() == {"alembic_version", "t1", "t2", "t3"}
    assert calls.read_text().splitlines() == ["drain Deployment/shop-web 0", "resume Deployment/shop-web 1"]
    status = program.status()
    assert (status["phase"], status["currentRevisions"]) == ("RolledBack", ["a2"])
    assert status["run"]["restored"]["compared"] is True
    return said


def test_a_torn_revision_is_told_and_then_put_back(at_second, calls):
    """What its first statement did stays when the next one fails: no transaction and no downgrade undoes it."""
    at_second.project.revision("a3", "a2", create("t4"), down='op.drop_table("t4")')
    at_second.project.revision("a4", "a3", create("half"), BROKEN, down="pass")
    said = came_back(at_second, calls, "--on-failure", "DowngradeOrRestore")
    assert "CREATE TABLE half" in said.err


@pytest.mark.parametrize("piecemeal", some(["mariadb", "sqlite"], 1), indirect=True)
def test_a_wished_downgrade_that_fails_half_way_is_put_back(at_second, calls):
    said = came_back(at_second, calls, "--target", "a1", "--allow-downgrade", "--on-failure", "DowngradeOrRestore")
    assert "DROP TABLE t3" in said.err
    assert [name for name, _ in at_second.steps()] == ["plan", "backup", "downgrade", "restore"]


def test_a_manifest_that_drains_is_refused_where_nobody_said_how(shop):
    said = shop.run("run", "--on-failure", "DowngradeOrRestore")
    assert said.code == 2
    assert "--drain-command and --resume-command" in said.err


def test_what_a_failed_release_applied_is_undone_without_a_restore_where_it_can_be(shop, database, calls, around):
    shop.project.revision("a2", "a1", create("t2"), down='op.drop_table("t2")')
    said = shop.run("run", "--on-failure", "DowngradeOrRestore", *around)
    assert said.code == 8, said.err
    assert not calls.exists()
    assert database.tables() == {"alembic_version", "t1"}
    assert "undone   a2" in said.out


def test_a_drain_command_that_fails_is_called_again_and_nothing_is_restored_before_it_succeeds(
    shop, calls, database, around
):
    drain = calls.parent / "drain"
    good = drain.read_text()
    drain.write_text(f"#!{sys.executable}\nimport sys, pathlib\np = pathlib.Path({str(calls.parent / 'tries')!r})\n"
                     "n = int(p.read_text()) if p.exists() else 0\np.write_text(str(n + 1))\n"
                     "if n < 1:\n    sys.exit(1)\n" + good.partition("\n")[2])  # fmt: skip
    said = shop.run("run", "--on-failure", "Restore", *around)
    assert said.code == 8, said.err
    assert said.err.count("ended with 1; it is called again") == 1
    assert calls.read_text().splitlines() == ["drain Deployment/shop-web 0", "resume Deployment/shop-web 1"]
    assert database.ask("SELECT id FROM t1") == [(1,)]


def test_rows_that_were_written_meanwhile_are_not_thrown_away_unasked(shop, calls, database, around):
    shop.project.revision("a3", "a2", 'op.execute("INSERT INTO t1 VALUES (99); COMMIT")', BROKEN)
    said = shop.run("run", "--on-failure", "Restore", *around)
    assert said.code == 3, said.err
    assert (99,) in database.ask("SELECT id FROM t1")
    status = shop.status()
    assert status["conditions"][0]["reason"] == "RestoreNeedsAcknowledgement"
    backup = status["run"]["backup"]
    assert f"dbmigration restore shop --namespace default --backup {backup} --accept-data-loss" in said_in(status)
    assert calls.read_text().splitlines()[-1] == "resume Deployment/shop-web 1"
    assert status.get("drain") is None

    asked = shop.run("run", "--restore", backup, *around)
    assert asked.code == 3, asked.err
    assert "Failed (RestoreNeedsAcknowledgement)" in asked.out
    assert "An estimate: since the backup" in asked.err
    assert f"If that may be: the same command with --restore {backup} --accept-data-loss" in " ".join(asked.out.split())
    assert (99,) in database.ask("SELECT id FROM t1")
    told = shop.run("run", "--restore", backup, "--accept-data-loss", *around)
    assert told.code == 0, told.err
    assert database.ask("SELECT id FROM t1") == [(1,)]
    status = shop.status()
    assert (status["phase"], status["currentRevisions"], status.get("drain")) == ("Restored", ["a1"], None)
    assert calls.read_text().splitlines()[-2:] == ["drain Deployment/shop-web 0", "resume Deployment/shop-web 1"]
    assert "The database rests at a1: nothing goes on" in " ".join(told.out.split())


def test_an_order_that_is_interrupted_is_gone_on_with_and_whatever_else_is_wished_is_not_begun(
    shop, calls, database, around
):
    (backup,) = (item["name"] for item in shop.status()["backups"])
    drains = ("--drain-command", "false", *around[2:])
    started = shop.start("run", "--restore", backup, "--accept-data-loss", *drains)
    wait_for(lambda: shop.status().get("drain"))
    started.process.send_signal(signal.SIGINT)
    assert started.wait().code == 5
    refused = shop.run("run", "--restore", "another", *around)
    assert (refused.code, f"restores {backup}" in refused.err) == (2, True), refused.err
    said = shop.run("run", "--target", "a2", *around)
    assert said.code == 0, said.err
    first = said.err.splitlines()[0]
    assert f", backup {backup}, draining since " in first.partition("Run 2 goes on: restore-")[2]
    assert "; gives up at " in first
    assert database.tables() == set(), "the backup is of the empty database"
    assert (shop.status()["phase"], shop.status()["run"]["number"]) == ("Restored", 2)
    assert calls.read_text().splitlines()[-1] == "resume Deployment/shop-web 1"


def test_a_role_that_could_not_restore_is_refused_before_anything_is_changed(shop, calls, database, around):
    said = shop.run("run", "--on-failure", "Restore", *around[:4])
    assert said.code == 3, said.err
    assert shop.status()["conditions"][0]["reason"] == "RestoreNotPossible"
    assert "CREATEDB" in said.out
    assert [step["name"] for step in shop.status()["steps"]] == ["plan"], "no backup is waited for to be told"
    assert database.ask("SELECT version_num FROM alembic_version") == [("a1",)]
    assert not calls.exists()
