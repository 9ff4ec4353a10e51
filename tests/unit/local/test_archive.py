"""A folder of backups tells the truth about itself, also where somebody tampered with it."""

from __future__ import annotations

import pytest

from dbmigration.local.archive import look_through
from dbmigration.local.errors import LocalError
from tests.unit.local.stored_backups import put


def faults(folder, *, verify=False):
    return {item.path.name.partition(".")[0]: item.fault for item in look_through(folder, verify=verify)}


def test_the_newest_comes_first_from_the_folder_and_those_in_it(tmp_path):
    put(tmp_path / "default.shop-1", "old", taken_at="2026-11-21T12:00:00Z")
    put(tmp_path / "default.shop-1", "new")
    put(tmp_path, "middle", taken_at="2026-11-22T12:00:00Z")
    assert [item.backup.name for item in look_through(tmp_path, verify=True)] == ["new", "middle", "old"]
    assert set(faults(tmp_path).values()) == {""}


def test_a_dump_that_is_missing_cut_or_changed_is_no_backup(tmp_path):
    for name in ("missing", "cut", "changed", "whole"):
        put(tmp_path, name)
    (tmp_path / "missing.dump").unlink()
    (tmp_path / "cut.dump").write_bytes(b"du")
    (tmp_path / "changed.dump").write_bytes(b"dumb")
    found = faults(tmp_path, verify=True)
    assert "missing" in found["missing"]
    assert "2 bytes, not 4" in found["cut"]
    assert "SHA-256" in found["changed"]
    assert found["whole"] == ""


def test_a_manifest_that_points_elsewhere_or_cannot_be_read_is_no_backup(tmp_path):
    put(tmp_path, "elsewhere", file="../../etc/passwd")
    put(tmp_path, "torn")
    (tmp_path / "torn.manifest.json").write_text('{"name": ', encoding="utf-8")
    found = faults(tmp_path)
    assert "elsewhere" in found["elsewhere"]
    assert "cannot be read" in found["torn"]


def test_a_folder_that_is_not_there_is_an_error_and_not_an_empty_list(tmp_path):
    with pytest.raises(LocalError, match="There is no folder"):
        look_through(tmp_path / "nowhere", verify=False)
