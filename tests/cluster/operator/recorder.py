"""What the operator says on its way: every state of a resource, seen by a watch while a test plays, and written to a file each.

`make statuses` renews tests/packaging/statuses/recorded by it, for the tests of whoever else reads a status. What differs
from one play to the next (times, names, addresses, sizes, hashes) is made equal. Must not judge what is seen.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import yaml

from tests.cluster.operator.stage import Stage

RECORDED = Path(__file__).parents[2] / "packaging" / "statuses" / "recorded"
VARIABLE = "DBMIGRATION_RECORD_STATUSES"

_EQUAL: tuple[tuple[str, str], ...] = (
    (r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "2026-01-01T00:00:00Z"),
    (r"\b\d{8}T\d{6}Z", "20260101T000000Z"),
    (r"-[0-9a-f]{5}(-\d+-(?:plan|find|backup|migrate|downgrade|restore|compare|look)-\d+)\b", r"-00000\1"),
    (r"\b[0-9a-f]{16,}\b", "0123456789abcdef"),
    (r"\b\d{1,3}(?:\.\d{1,3}){3}\b", "192.0.2.1"),  # for documentation, RFC 5737
)
_DROPPED = frozenset({"metrics", "image", "sizeBytes"})


class Recorder:
    """Within the `with`, every state of the stage's resources is written to a file that is named by it."""

    def __init__(self, stage: Stage, source: str) -> None:
        """`source` is who plays, for the file's first line."""
        self._source = source
        self._names = {stage.database: "library", stage.role: "reader", stage.namespace.name: "reading-room"}
        cluster = stage.namespace.cluster
        program = Path(sys.executable).with_name("kubectl")
        self._watch = subprocess.Popen(
            [
                *(program, "--kubeconfig", cluster.kubeconfig, "--namespace", stage.namespace.name),
                *("get", "databasemigrations", "--watch", "--output", "json"),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._thread = threading.Thread(target=self._read, name="recorder")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._watch.terminate()
        self._watch.wait()
        self._thread.join()

    def _read(self) -> None:
        """One indented document is printed after the other, each ending with a brace alone on its line."""
        lines: list[str] = []
        assert self._watch.stdout is not None
        for line in self._watch.stdout:
            lines.append(line)
            if line == "}\n":
                document = json.loads("".join(lines))
                lines.clear()
                for item in document["items"] if document["kind"] == "List" else (document,):
                    self._write(item)

    def _write(self, document: Mapping[str, Any]) -> None:
        if document["status"]["observedGeneration"] not in {-1, document["metadata"]["generation"]}:
            return  # it speaks of what was wished before
        RECORDED.mkdir(exist_ok=True)
        path = RECORDED / f"{state_of(document)}.yaml"
        if not path.exists():
            text = yaml.safe_dump(_normalised(document, self._names), sort_keys=False, width=120, allow_unicode=True)
            path.write_text(f"# Recorded by `make statuses` while {self._source} was played.\n{text}", encoding="utf-8")


def state_of(document: Mapping[str, Any]) -> str:
    """`PHASE-REASON`, and `PHASE` alone where the operator has said nothing yet."""
    status = document["status"]
    ready = next((item["reason"] for item in status.get("conditions", ()) if item["type"] == "Ready"), "")
    suspended = "-suspended" if document["spec"].get("suspend") else ""
    return "-".join(filter(None, (status["phase"], ready))) + suspended


def _normalised(document: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    metadata = document["metadata"]
    kept = {
        "apiVersion": document["apiVersion"],
        "kind": document["kind"],
        "metadata": {"name": metadata["name"], "generation": metadata["generation"]},
        "spec": document["spec"],
        "status": _without(_DROPPED, document["status"]),
    }
    equal: dict[str, Any] = _equal(kept, names)
    return equal


def _without(keys: frozenset[str], node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _without(keys, value) for key, value in node.items() if key not in keys}
    return [_without(keys, item) for item in node] if isinstance(node, list) else node


def _equal(node: Any, names: Mapping[str, str]) -> Any:
    if isinstance(node, dict):
        return {key: _equal(value, names) for key, value in node.items()}
    if isinstance(node, list):
        return [_equal(item, names) for item in node]
    if isinstance(node, str):
        for name, word in names.items():
            node = node.replace(name, word)
        for pattern, word in _EQUAL:
            node = re.sub(pattern, word, node)
    return node
