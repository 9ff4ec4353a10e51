"""A folder of backups tells the truth about itself, also where somebody tampered with it."""

from __future__ import annotations

import hashlib
import json

import pytest

from dbmigration.local.archive import look_through
from dbmigration.local.errors import LocalError


def put(folder, name="shop-1", content=b"dump", **changes):
    """A backup as the runner leaves it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.dump").write_bytes(content)
    document = {
        "name": name,
        "file": f"{name}.dump",
        "object": "default/shop/uid",
        "taken_at": "2026-11-23T12:00:00Z",
        "verified_at": "2026-11-23T12:01:00Z",
        "size_bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "revisions": ["a1"],
        "server_version": "18.6",
        "tool": "pg_dump 18.6",
        "of_a_newer_release": {"x": 1},
        **changes,
    }
    (folder / f"{name}.manifest.json").write_text(json.dumps(document), encoding="utf-8")


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
