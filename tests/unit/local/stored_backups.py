"""Backups on a folder, as the runner leaves them."""

from __future__ import annotations

import hashlib
import json


def put(folder, name="shop-1", content=b"dump", **changes):
    """A dump and its manifest."""
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
