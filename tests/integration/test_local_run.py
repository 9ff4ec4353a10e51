"""A migration without a cluster, as whoever starts it sees it."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import re
import subprocess
from pathlib import Path

import pytest

from tests.integration.local_program import Program
from tests.integration.projects import create

STORAGE = {"storage": {"persistentVolumeClaim": {"claimName": "backups"}}}
BROKEN = 'op.execute("ALTER TABLE nowhere ADD COLUMN x INTEGER")'


@pytest.fixture
def program(project, database, tmp_path):
    """The program, with a project on a fresh PostgreSQL database."""
    program = Program(project("url_in_the_ini", database.url), tmp_path)
    yield program
    program.end()


@pytest.fixture
def on_sqlite(project, tmp_path):
    """The same on a file."""
    program = Program(project("url_in_the_ini", f"sqlite:///{tmp_path / 'shop.db'}"), tmp_path)
    yield program
    program.end()


def test_three_revisions_are_backed_up_applied_and_read_back(program, database):
    program.project.three_revisions()
    program.spec["backup"] = STORAGE
    said = program.run()
    assert said.code == 0, said.err
    assert database.tables() == {"alembic_version", "t1", "t2", "t3"}
    status = program.status()
    assert (status["phase"], status["currentRevisions"]) == ("Succeeded", ["a3"])
    (backup,) = status["backups"]
    assert hashlib.sha256(Path(backup["location"]).read_bytes()).hexdigest() == backup["sha256"]
    for part in ("Succeeded", "stands at   a3", backup["sha256"], backup["location"]):
        assert part in said.out


def test_the_same_start_again_reads_the_database_and_finds_nothing_pending(on_sqlite):
    on_sqlite.project.three_revisions()
    assert on_sqlite.run().code == 0
    again = on_sqlite.run()
    assert again.code == 0
    assert "nothing was pending" in again.out
    assert on_sqlite.steps() == [("plan", "Succeeded")]
    assert on_sqlite.status()["run"]["number"] == 2


def test_a_revision_that_fails_leaves_a_report_of_where_the_database_really_stands(program, database):
    """The project runs all revisions in one transaction: with the second one the first is gone too."""
    program.project.revision("a1", None, create("t1"))
    program.project.revision("a2", "a1", BROKEN)
    program.project.revision("a3", "a2", create("t3"))
    said = program.run()
    assert said.code == 3, said.err
    assert database.tables() == set()
    assert "Failed (MigrationFailed)" in said.out
    assert "stands at   <base>" in said.out
    for row in ("pending  a1", "FAILED   a2", "pending  a3"):
        assert row in said.out


def test_a_mended_revision_is_a_new_run(on_sqlite):
    on_sqlite.project.revision("a1", None, create("t1"))
    on_sqlite.project.revision("a2", "a1", BROKEN)
    assert on_sqlite.run().code == 3
    on_sqlite.project.revision("a2", "a1", create("t2"))
    assert on_sqlite.run().code == 0
    assert [entry["outcome"] for entry in on_sqlite.status()["history"]] == ["Succeeded", "Failed"]


def test_an_edited_manifest_is_a_new_generation_and_a_new_run(on_sqlite):
    on_sqlite.project.three_revisions()
    on_sqlite.spec["targetRevision"] = "a2"
    assert on_sqlite.run().code == 0
    assert on_sqlite.status()["currentRevisions"] == ["a2"]
    on_sqlite.spec["targetRevision"] = "head"
    assert on_sqlite.run().code == 0
    assert on_sqlite.status()["currentRevisions"] == ["a3"]
    assert (on_sqlite.resource()["generation"], on_sqlite.status()["run"]["number"]) == (2, 2)


def test_the_same_manifest_for_another_database_is_another_resource(on_sqlite, tmp_path):
    on_sqlite.project.three_revisions()
    assert on_sqlite.run().code == 0
    on_sqlite.project.url = f"sqlite:///{tmp_path / 'other.db'}"
    assert "3 revisions applied" in on_sqlite.run().out
    assert len(list(on_sqlite.state.iterdir())) == 2


def test_a_plan_alone_changes_nothing_and_keeps_no_run(program, database):
    program.project.three_revisions()
    said = program.run("run", "--plan-only", "--sql")
    assert said.code == 0, said.err
    assert "pending     3 revisions" in said.out
    assert "CREATE TABLE t2" in said.out
    as_json = json.loads(program.run("run", "--plan-only", "--sql", "--json").out)
    assert ("CREATE TABLE t2" in "".join(as_json["sql"]), as_json["refused"]) == (True, None)
    assert database.tables() == set()
    assert program.written() == {}


@pytest.mark.parametrize("driver", ["sqlite", "sqlite+aiosqlite"])
def test_a_plan_alone_does_not_make_a_database_file_that_is_not_there(project, tmp_path, driver):
    environment = "asynchronous" if driver.endswith("aiosqlite") else "url_in_the_ini"
    program = Program(project(environment, f"{driver}:///{tmp_path / 'shop.db'}"), tmp_path)
    program.project.three_revisions()
    for name in ("sales.db", "shop-1.db", "shop-1.db-wal"):
        (tmp_path / name).touch()
    said = program.run("run", "--plan-only", "--json")
    assert said.code == 0, said.err
    told = json.loads(said.out)
    (warning,) = told["warnings"]
    beside = sorted(found.name for found in tmp_path.iterdir() if found.is_file() and found.suffix != ".db-wal")
    assert warning == (
        f"The database file {tmp_path}/shop.db does not exist: it will be made anew, from the first revision on. "
        f"Files beside it: {', '.join(beside)}."
    )
    assert {"sales.db", "shop-1.db"} < set(beside)
    assert told["plan"]["count"] == 3
    assert not list(tmp_path.glob("shop.db*"))


def test_a_plan_that_is_refused_says_why_and_fails(on_sqlite):
    on_sqlite.project.revision("a1", None)
    on_sqlite.project.revision("b1", None)
    said = on_sqlite.run("run", "--plan-only")
    assert said.code == 3
    assert "MultipleHeads" in said.out


def test_a_plan_that_a_run_would_refuse_for_its_losses_fails_too(on_sqlite):
    shop = on_sqlite.project
    shop.revision("a1", None, create("t1"), 'op.execute("INSERT INTO t1 VALUES (1)")', down='op.drop_table("t1")')
    assert on_sqlite.run().code == 0
    way_down = ("run", "--plan-only", "--target", "base", "--allow-downgrade")
    said = on_sqlite.run(*way_down)
    assert (said.code, "DataLossNotAccepted" in said.out) == (3, True), said.out
    assert on_sqlite.run(*way_down, "--accept-data-loss").code == 0


def test_a_database_that_is_not_there_yet_is_waited_for_and_the_next_start_goes_on_with_the_run(program, database):
    program.project.three_revisions()
    name = f"{database.name}_later"
    program.project.url = database.server.url(name)
    said = program.run("run", "--max-wait", "3s")
    assert said.code == 6, said.err
    assert "DatabaseNotFound" in said.err
    assert "waiting for something outside" in said.out
    with database.server.superuser() as connection:
        connection.execute(f"CREATE DATABASE {name} OWNER shop")
    said = program.run("run", "--max-wait", "3s")
    assert said.code == 0, said.err
    assert program.status()["run"]["number"] == 1
    with database.server.superuser() as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_the_final_status_as_json_is_all_that_stands_on_stdout(on_sqlite):
    on_sqlite.project.three_revisions()
    said = on_sqlite.run("run", "--json")
    document = json.loads(said.out)
    assert (document["kind"], document["status"]["phase"]) == ("DatabaseMigration", "Succeeded")
    assert "Upgrading" in said.err


def test_the_stored_state_can_be_told_without_the_database(on_sqlite):
    on_sqlite.project.three_revisions()
    on_sqlite.run()
    on_sqlite.project.url = ""
    said = on_sqlite.run("status")
    assert said.code == 0
    assert "stands at   a3" in said.out


def test_without_a_terminal_every_line_is_dated_and_plain(on_sqlite):
    on_sqlite.project.three_revisions()
    said = on_sqlite.run()
    assert "\x1b" not in said.out + said.err
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ ", line) for line in said.err.splitlines())


def test_on_a_terminal_the_phase_and_the_revisions_done_are_live(on_sqlite):
    on_sqlite.project.three_revisions()
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        on_sqlite.command("run"),
        env={**on_sqlite.environment, "TERM": "xterm"},
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
    )
    os.close(terminal)
    seen = b""
    try:
        while part := os.read(controller, 4096):
            seen += part
    except OSError:  # the last user of the terminal is gone
        pass
    os.close(controller)
    assert process.wait(60) == 0
    assert b"Migrating" in seen
    assert b"/3" in seen
    assert b"stands at   a3" in seen


def test_a_manifest_that_is_not_valid_starts_nothing(on_sqlite):
    on_sqlite.spec["backup"] = {}
    said = on_sqlite.run()
    assert said.code == 2
    assert "spec.backup: set backup.storage, or state in backup.skip.reason why no backup is wanted" in said.err
    assert on_sqlite.written() == {}


def test_a_wanted_backup_without_a_folder_for_it_starts_nothing(on_sqlite):
    on_sqlite.spec["backup"] = STORAGE
    command = [part for part in on_sqlite.command("run") if part not in {"--backups", str(on_sqlite.backups)}]
    done = subprocess.run(command, env=on_sqlite.environment, check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert "give --backups the folder" in done.stderr


def test_what_is_wrong_is_told_in_the_words_of_this_machine(program, database):
    """Nobody here has a Secret, a Pod or an annotation."""
    program.project.three_revisions()
    address, _, rest = program.project.url.rpartition("@")
    program.project.url = f"{address.rpartition(':')[0]}:wrong@{rest}"
    said = program.run("run", "--max-wait", "1s")
    assert (said.code, program.status()["conditions"][0]["reason"]) == (6, "AuthenticationFailed")
    assert "Mend user and password in the URL" in said.err
    assert "Mend user and password in the URL" in said.out
    assert "Secret" not in said.err + said.out


def test_a_damaged_backup_is_told_from_a_whole_one(on_sqlite):
    on_sqlite.project.three_revisions()
    on_sqlite.spec["backup"] = STORAGE
    assert on_sqlite.run().code == 0
    listing = [*on_sqlite.command("backups")[:4], str(on_sqlite.backups), "--verify"]
    whole = subprocess.run(listing, env=on_sqlite.environment, check=False, capture_output=True, text=True)
    assert (whole.returncode, "(read now)" in whole.stdout) == (0, True)
    unread = subprocess.run(listing[:-1], env=on_sqlite.environment, check=False, capture_output=True, text=True)
    assert (unread.returncode, "--verify reads them" in unread.stderr, whole.stderr) == (0, True, "")
    dump = Path(on_sqlite.status()["backups"][0]["location"])
    content = bytearray(dump.read_bytes())
    content[len(content) // 2] ^= 1
    dump.write_bytes(content)
    damaged = subprocess.run(listing, env=on_sqlite.environment, check=False, capture_output=True, text=True)
    assert (damaged.returncode, "the SHA-256 differs" in damaged.stdout) == (3, True)
