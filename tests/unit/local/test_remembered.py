"""How a run stands is told of the one that is meant, and what else has its name is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from dbmigration.cli import main
from dbmigration.local.driving import Exit
from dbmigration.local.store import Resource, folder_name, open_store

ONE = ("sqlite:///one.db", "one/shop")
TWO = ("sqlite:///two.db", "two/shop")


@pytest.fixture
def ask(tmp_path, capsys, monkeypatch):
    """Two folders of one name, each with a database of its own; asks how things stand, and answers with code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DBMIGRATION_URL", raising=False)
    for url, project in (ONE, TWO):
        Path(project).mkdir(parents=True)
        database = url.replace("///", f"///{tmp_path}/")
        with open_store(tmp_path / "state", folder_name("default", "shop", database)) as store:
            spec = {"migrations": {"path": str(tmp_path / project)}}
            store.save(Resource("default", "shop", database, "uid", spec=spec))

    def ask(*options):
        code = main(["status", "--state", "state", *options])
        return (code, *capsys.readouterr())

    return ask


def test_the_database_that_is_named_is_told_and_no_other(ask, tmp_path, monkeypatch):
    Path("url").write_text(ONE[0], encoding="utf-8")
    monkeypatch.setenv("DBMIGRATION_URL", TWO[0])
    for options, is_of, is_not in (((), TWO, ONE), (("--url-file", "url"), ONE, TWO), (("--url", ONE[0]), ONE, TWO)):
        code, out, err = ask("--project", ONE[1], *options)
        assert (code, err) == (Exit.SUCCEEDED, "")
        assert f"{tmp_path}/{is_of[0].rpartition('/')[2]}" in out
        assert is_not[0].rpartition("/")[2] not in out


def test_without_a_url_it_is_what_was_run_from_the_project_and_the_others_are_named(ask, tmp_path):
    code, out, err = ask("--project", "one/../two/shop")
    assert code == Exit.SUCCEEDED
    assert f"{tmp_path}/two.db" in out
    assert "one.db" not in out
    assert f"sqlite:///{tmp_path}/one.db (project {tmp_path}/one/shop)" in err


def test_where_only_others_of_the_name_are_there_they_are_named(ask, tmp_path):
    Path("three/shop").mkdir(parents=True)
    for options in (("--project", "three/shop"), ("--project", ONE[1], "--url", "sqlite:///three.db")):
        code, out, err = ask(*options)
        assert (code, out) == (Exit.INVALID, "")
        assert "Nothing was run for default/shop" in err
        for database, project in ((f"{tmp_path}/one.db", ONE[1]), (f"{tmp_path}/two.db", TWO[1])):
            assert f"sqlite:///{database} (project {tmp_path}/{project})" in err
