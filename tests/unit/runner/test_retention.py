"""Which backups go and which stay."""

from __future__ import annotations

import dataclasses

import pytest

from dbmigration_runner.checks.manifest import Manifest, read_manifests, write_manifest
from dbmigration_runner.checks.retention import prune, remove_partial, superfluous

MANIFEST = Manifest(
    name="",
    file="",
    object="shops/shop/0123",
    run=1,
    attempt=1,
    taken_at="",
    verified_at="",
    engine="sqlite",
    server_version="3",
    tool="test",
    size_bytes=4,
    decoded_bytes=4,
    data_bytes=4,
    sha256="",
    revisions=(),
    version_table="alembic_version",
    catalog_digest="1:",
    catalog=(),
    rows={},
)


def backup(day, *, restorable=True):
    return dataclasses.replace(
        MANIFEST,
        name=f"day-{day}",
        file=f"day-{day}.sqlite",
        taken_at=f"2026-11-{day:02d}T00:00:00Z",
        restorable=restorable,
    )


# Days on which backups were taken, - before one that did not restore, ? before one that could not be tried.
@pytest.mark.parametrize(
    ("taken", "keep_last", "gone"),
    [
        pytest.param("1 2 3", 5, "", id="fewer than are kept stay"),
        pytest.param("1 2 3 4", 2, "1 2", id="the oldest go first"),
        pytest.param("3 1 2", 1, "1 2", id="age counts and not order"),
        pytest.param("1", 1, "", id="the last one stays"),
        pytest.param("1 2", 0, "1", id="nobody can ask for none"),
        pytest.param("1 -2 -3", 1, "", id="what does not restore replaces nothing"),
        pytest.param("-1 -2", 1, "", id="where none restores all stay for a look"),
        pytest.param("1 -2 3", 5, "2", id="what did not restore goes when a younger one does"),
        pytest.param("1 ?2 ?3", 2, "1", id="what could not be tried is a backup"),
        pytest.param("", 3, "", id="nothing"),
    ],
)
def test_the_newest_that_a_run_may_rely_on_are_kept(taken, keep_last, gone):
    states = {"-": False, "?": None}
    found = [backup(int(day.strip("-?")), restorable=states.get(day[0], True)) for day in taken.split()]
    assert [manifest.name for manifest in superfluous(found, keep_last)] == [f"day-{day}" for day in gone.split()]


def stored(directory, day, **changes):
    manifest = dataclasses.replace(backup(day), **changes)
    (directory / manifest.file).write_bytes(b"dump")
    write_manifest(directory, manifest)
    return manifest


def names(directory):
    return {path.name for path in directory.iterdir()}


def test_dump_and_manifest_go_together(tmp_path):
    for day in (1, 2, 3):
        stored(tmp_path, day)
    assert prune(tmp_path, 2) == ("day-1",)
    assert names(tmp_path) == {f"day-{day}{suffix}" for day in (2, 3) for suffix in (".sqlite", ".manifest.json")}


def test_what_a_crash_left_goes_with_the_next_backup(tmp_path):
    stored(tmp_path, 2)
    for name in ("day-1.sqlite", "old.dump.zst.corrupt", "notes.txt"):
        (tmp_path / name).write_bytes(b"left")
    assert prune(tmp_path, 2) == ()
    assert names(tmp_path) == {"day-2.sqlite", "day-2.manifest.json", "notes.txt"}


def test_a_dump_whose_manifest_is_of_a_newer_version_is_not_ours_to_remove(tmp_path):
    stored(tmp_path, 1, version=2)
    stored(tmp_path, 2)
    prune(tmp_path, 1)
    assert [manifest.name for manifest in read_manifests(tmp_path)] == ["day-2"]
    assert "day-1.sqlite" in names(tmp_path)


def test_only_partial_files_are_removed_before_a_backup(tmp_path):
    stored(tmp_path, 1)
    (tmp_path / "day-2.sqlite.partial").write_bytes(b"half")
    remove_partial(tmp_path)
    assert names(tmp_path) == {"day-1.sqlite", "day-1.manifest.json"}


def test_a_manifest_is_read_as_it_was_written(tmp_path):
    manifest = stored(tmp_path, 1, rows={'public."odd ""name"': 3}, notes=("ä",), revisions=("a", "b"))
    assert read_manifests(tmp_path) == (manifest,)


@pytest.mark.parametrize("file", ["../day-1.sqlite", "/etc/passwd", "none.sqlite"])
def test_a_manifest_of_a_dump_elsewhere_is_no_backup(tmp_path, file):
    stored(tmp_path, 1)
    write_manifest(tmp_path, dataclasses.replace(backup(1), file=file))
    assert read_manifests(tmp_path) == ()
