"""The caller's kubeconfig files, merged as kubectl merges them, as far as the current context goes.

The client takes over the last file's current context, and kubectl the first one's. It must not read credentials out of them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml


@dataclass(frozen=True, slots=True)
class Contexts:
    """All contexts by their names, and the name of the current one; "" where no file says which."""

    current: str = ""
    known: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def namespace(self) -> str:
        """The namespace that kubectl would use."""
        return str(self.known.get(self.current, {}).get("namespace") or "default")


def read_contexts(paths: str) -> Contexts:
    """Read what `paths` names, as KUBECONFIG does. The first to say something wins; files that are missing or unreadable say nothing."""
    current = ""
    known: dict[str, dict[str, Any]] = {}
    for path in paths.split(os.pathsep):
        document = _document(path) if path else None
        if not isinstance(document, dict):
            continue
        current = current or str(document.get("current-context") or "")
        listed = document.get("contexts")
        for item in listed if isinstance(listed, list) else ():
            if isinstance(item, dict) and isinstance(item.get("context"), dict):
                known.setdefault(str(item.get("name")), item["context"])
    return Contexts(current, known)


def _document(path: str) -> Any:
    try:
        return yaml.safe_load(Path(path).expanduser().read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return None
