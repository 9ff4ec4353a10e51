"""What is remembered survives a crash at any instruction, and belongs to one process at a time."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from dbmigration.local.errors import StoreBrokenError, StoreHeldError
from dbmigration.local.store import Event, Resource, folder_name, folders, holder, open_store, read, replace_file

SHOP = {"namespace": "shops", "name": "shop", "database": "postgresql://db/shop"}


def test_what_was_saved_is_read_back_equal(tmp_path):
    with open_store(tmp_path, "shop") as store:
        resource = store.load(**SHOP).wished({"a": 1}).told(Event("2026-11-23T12:00:00Z", "Planning", "…"))
        store.save(resource)
        assert store.load(**SHOP) == resource
    assert read(tmp_path / "shop") == resource


def test_a_changed_spec_is_a_new_generation_and_an_equal_one_is_not():
    resource = Resource("shops", "shop", "x", "uid").wished({"a": 1})
    assert (resource.generation, resource.wished({"a": 1}).generation, resource.wished({"a": 2}).generation) == (
        1,
        1,
        2,
    )


def test_a_store_that_is_held_is_refused_with_the_pid_of_the_holder(tmp_path):
    with (
        open_store(tmp_path, "shop"),
        pytest.raises(StoreHeldError, match=f"pid {os.getpid()}"),
        open_store(tmp_path, "shop"),
    ):
        pass


def test_a_store_whose_holder_was_killed_is_free(tmp_path):
    program = "import sys; from pathlib import Path; from dbmigration.local.store import open_store\n"
    program += "with open_store(Path(sys.argv[1]), 'shop'): print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == b"held\n"
        assert holder(tmp_path / "shop") == process.pid
        process.kill()
        process.wait()
    assert holder(tmp_path / "shop") is None
    with open_store(tmp_path, "shop"):
        pass


def test_a_crash_before_the_rename_leaves_the_old_file_whole(tmp_path, monkeypatch):
    path = tmp_path / "resource.json"
    replace_file(path, "old")
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError("no space left")))
    with pytest.raises(OSError, match="no space"):
        replace_file(path, "new" * 100_000)
    assert path.read_text(encoding="utf-8") == "old"


def test_what_is_written_is_for_its_owner_alone(tmp_path):
    with open_store(tmp_path, "shop") as store:
        store.save(store.load(**SHOP))
    assert {path.stat().st_mode & 0o077 for path in (tmp_path / "shop").iterdir()} == {0}
    assert (tmp_path / "shop").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "text", ["", "[]", '{"version": 1}', '{"version": 9}', '{"version": 1, "events": [], "colour": "red"}']
)
def test_a_store_that_cannot_be_read_says_so_and_is_not_overwritten(tmp_path, text):
    (tmp_path / "resource.json").write_text(text, encoding="utf-8")
    with pytest.raises(StoreBrokenError, match=r"resource\.json"):
        read(tmp_path)
    assert (tmp_path / "resource.json").read_text(encoding="utf-8") == text


def test_the_folders_of_one_name_are_not_those_of_a_name_that_begins_like_it(tmp_path):
    for name, database in (("shop", "a"), ("shop", "b"), ("shop-web", "a")):
        with open_store(tmp_path, folder_name("default", name, database)) as store:
            store.save(store.load(namespace="default", name=name, database=database))
    assert len(folders(tmp_path, "default", "shop")) == 2
    assert len(folders(tmp_path, "default", "shop-web")) == 1
