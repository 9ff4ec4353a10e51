"""A ConfigMap's keys become a project's files, and never anything outside of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from dbmigration_runner.unpack import KeyRefused, main, path_of, unpack

KEYS = {
    "alembic.ini": "alembic.ini",
    "migrations__env.py": "migrations/env.py",
    "migrations__versions__0001_a_b.py": "migrations/versions/0001_a_b.py",
    "__init__.py": "__init__.py",
    "migrations____init__.py": "migrations/__init__.py",
    "migrations__versions____init__.py": "migrations/versions/__init__.py",
}


@pytest.mark.parametrize("key", KEYS)
def test_two_underscores_are_a_slash_except_in_a_package_s_own_file(key):
    assert str(path_of(key)) == KEYS[key]


@pytest.mark.parametrize("key", ["..__etc__passwd", "a__..__b", "__a.py", "a__", "", ".", "..", "a____b.py"])
def test_a_key_that_leads_elsewhere_is_refused(key):
    with pytest.raises(KeyRefused):
        path_of(key)


def test_a_mounted_config_map_is_laid_out_without_the_kubelet_s_own_folders(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    data = source / "..2026_11_23"
    data.mkdir(parents=True)
    target.mkdir()
    (data / "migrations__env.py").write_text("print()")
    (source / "..data").symlink_to(data.name)
    (source / "migrations__env.py").symlink_to(Path("..data", "migrations__env.py"))

    assert unpack(source, target) == 1
    assert (target / "migrations" / "env.py").read_text() == "print()"
    assert [path.name for path in target.iterdir()] == ["migrations"]


def test_what_is_wrong_is_said_where_the_operator_reads_it(tmp_path, capsys):
    (tmp_path / "a__..__b").write_text("")

    assert main([str(tmp_path), str(tmp_path / "out")]) == 1
    assert "a__..__b" in capsys.readouterr().err
