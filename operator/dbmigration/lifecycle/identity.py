"""What decides the work, as one hash: an equal one starts nothing, a changed one starts a new run.

The projection is versioned and leaves out every field that is at its default, so that an upgraded operator, which knows more
fields, starts nothing by itself. It must not look at anything but the spec.
"""

from __future__ import annotations

import hashlib
import json

from dbmigration.api.spec import MigrationSpec

# What changes how a run is done or kept, but not what it does.
_NOT_DECIDING = {"suspend", "timeouts", "locks", "rollback", "drain"}


def run_identity(spec: MigrationSpec) -> str:
    """Hash the deciding part of a spec: `1:` and 16 hex digits."""
    document = spec.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude=_NOT_DECIDING)
    backup = document.get("backup", {})
    document["backup"] = {"skip": backup["skip"]} if "skip" in backup else {}
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return "1:" + hashlib.sha256(text.encode()).hexdigest()[:16]
