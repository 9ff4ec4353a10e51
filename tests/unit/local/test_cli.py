"""The command line: quick to help, strict about what it is given, and honest about how it ended."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from dbmigration.cli import main
from dbmigration.local.driving import Exit

ROOT = Path(__file__).parents[3]
_RESTORING = ("run", "--project", "{tmp}", "--url", "sqlite:////x.db", "--on-failure", "Restore")


def test_help_loads_nothing_that_takes_time():
    program = "import sys\nfrom dbmigration.cli import main\ntry: main(['run', '--help'])\nexcept SystemExit: pass\n"
    program += (
        "print([name for name in ('pydantic', 'yaml', 'rich', 'psutil', 'kubernetes', 'kopf') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": f"{ROOT}/operator"},
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_running_here_loads_neither_a_database_nor_a_cluster():
    program = "import sys\nfrom dbmigration.local import commands\n"
    program += "print([name for name in ('sqlalchemy', 'alembic', 'kubernetes', 'kopf') if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": f"{ROOT}/operator"},
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_every_exit_code_is_explained_by_the_help(capsys):
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    lines = capsys.readouterr().out.partition("exit codes:")[2].splitlines()
    explained = {int(found[1]) for line in lines if (found := re.match(r"  (\d+)  \S", line))}
    assert explained == {int(code) for code in Exit}


def test_as_a_plugin_of_kubectl_it_calls_itself_so(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/usr/local/bin/kubectl-dbmigration"])
    with pytest.raises(SystemExit):
        main(["--help"])
    assert capsys.readouterr().out.startswith("usage: kubectl dbmigration ")


def test_the_crds_that_are_printed_are_those_that_are_shipped(capsys):
    assert main(["crd"]) == 0
    shipped = sorted((ROOT / "crds").glob("dbmigration.io_*.yaml"))
    printed = list(yaml.safe_load_all(capsys.readouterr().out))
    assert printed == [yaml.safe_load(path.read_text(encoding="utf-8")) for path in shipped]


def test_a_folder_is_told_from_a_resource_by_its_slash_or_by_being_there(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    assert main(["backups", "there"]) == Exit.SUCCEEDED
    assert main(["backups", "not/there"]) == Exit.INVALID
    assert main(["backups", "shop", "--verify"]) == Exit.INVALID
    assert "--verify reads dumps: give it with a folder." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["run"], "Give a manifest by --filename, or a project by --project"),
        (["run", "--project", "{tmp}"], "Which database? Give its URL in the variable DBMIGRATION_URL"),
        (["run", "--project", "{tmp}/nowhere", "--url", "sqlite:////x.db"], "there is no folder"),
        (
            ["run", "--project", "{tmp}", "--url", "sqlite:////x.db", "--python", "nosuchpython"],
            "there is no program nosuchpython",
        ),
        (
            ["run", "--project", "{tmp}", "--url", "sqlite:////x.db", "--drain-command", "./stopp now"],
            "--drain-command: there is no program ./stopp.",
        ),
        (
            ["cancel", "--project", "{tmp}", "--url", "sqlite:////x.db", "--resume-command", "sh -c 'true"],
            "--resume-command: sh -c 'true cannot be read: No closing quotation.",
        ),
        (
            ["run", "--project", "{tmp}", "--url", "sqlite:////x.db", "--resume-command", ""],
            "--resume-command: it is empty",
        ),
        (
            ["run", "--project", "{tmp}", "--url", "sqlite:////x.db", "--tls", "{tmp}/nowhere"],
            "--tls: there is no folder",
        ),
        (
            ["run", "--project", "{tmp}", "--url", "postgresql+psycopg://shop:p@ss/w@127.0.0.1:54999/shop"],
            "The URL has more than one @: in a password write @ as %40 and / as %2F",
        ),
        (["run", "--filename", "{tmp}/nowhere.yaml"], "nowhere.yaml cannot be read: No such file or directory."),
        (["run", "--project", "{tmp}", "--url-file", "{tmp}/nowhere"], "nowhere cannot be read"),
        (["run", "--filename", "{tmp}/x.yaml", "--no-backup", "small"], "write metadata.name and backup.skip.reason"),
        (["backups", "{tmp}/nowhere"], "There is no folder"),
        (
            [*_RESTORING, "--backups", "{tmp}/b", "--resume-command", "true"],
            "give --drain-command and --resume-command",
        ),
        (
            [*_RESTORING, "--backups", "{tmp}/b", "--drain-command", "true"],
            "--on-failure Restore restores a backup only when nothing writes to the database: give --drain-command and --resume-command",
        ),
        (
            [*_RESTORING, "--no-backup", "small", "--drain-command", "true", "--resume-command", "true"],
            "--on-failure Restore restores a backup: leave --no-backup away.",
        ),
    ],
)
def test_what_is_missing_is_named_and_nothing_is_started(arguments, complaint, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("DBMIGRATION_URL", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert main([part.replace("{tmp}", str(tmp_path)) for part in arguments]) == Exit.INVALID
    told = capsys.readouterr()
    assert complaint in told.err
    assert "ss/w" not in told.out + told.err
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(("option", "more"), [("--backups", []), ("--state", ["--no-backup", "a test"])])
def test_a_folder_that_cannot_be_made_is_told_by_its_option(option, more, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "alembic.ini").touch()
    (tmp_path / "file").touch()
    given = [
        "run",
        "--project",
        str(tmp_path),
        "--url",
        f"sqlite:///{tmp_path}/x.db",
        option,
        str(tmp_path / "file"),
        *more,
    ]
    assert main(given) == Exit.INVALID
    assert f"dbmigration: {option}: the folder {tmp_path / 'file'}/" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["5", "m", "5 m", "1.5h"])
def test_a_duration_that_cannot_be_read_is_refused(text, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["run", "--max-wait", text])
    assert "30s, 5m or 2h" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        (["run", "--rest", "shop-7", "--acc"], "unrecognized arguments: --rest shop-7 --acc"),
        (["restore", "shop", "--backup", "shop-7", "--accept"], "unrecognized arguments: --accept"),
        (["run", "--steps", "1"], "--steps: here it is --target REVISION --allow-downgrade"),
        (["run", "--to=10c"], "--to: here it is --target REVISION --allow-downgrade"),
    ],
)
def test_an_option_is_written_out_and_one_of_another_command_is_answered(given, complaint, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(given)
    assert complaint in capsys.readouterr().err


def test_an_end_takes_the_options_of_the_run_and_does_not_ask_for_what_they_need(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "alembic.ini").touch()
    given = ["--project", str(tmp_path), "--url", f"sqlite:///{tmp_path}/x.db", "--on-failure", "Restore"]
    assert main(["cancel", *given, "--accept-data-loss"]) == Exit.SUCCEEDED
    assert "No run is open; there is nothing to cancel." in capsys.readouterr().err


def test_a_missing_library_is_named_with_a_remedy_that_leads_to_no_registry(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "dbmigration.controller.app", None)
    assert main(["controller"]) == Exit.INVALID
    assert "pip install '/path/to/dbmigration-operator[operator]'" in capsys.readouterr().err
