"""Plays a scenario of tests/scenarios on a stage, as its author would by hand: supply what it names, apply, wait, look.

The stage is of the scenario's first engine. The manifests are applied as they are; only a SQLite database gets the claim that it lies on, which nobody needs elsewhere.
Must not judge what is seen.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.access import eventually
from tests.cluster.operator.stage import Stage
from tests.cluster.providers import Volume
from tests.scenarios.loader import Scenario, Seen

CLAIM = "PersistentVolumeClaim"
SQLITE_FILE = "library.db"
SQLITE_CLAIM = {"claimName": "data", "mountPath": "/data"}


@dataclass
class Player:
    """One scenario on one stage."""

    stage: Stage
    scenario: Scenario
    data: Volume | None = None  # of a SQLite database

    def play(self) -> Seen:
        """Apply every manifest and wait for its end; all but the last must succeed."""
        if self.scenario.engines[0] == "sqlite":
            self.data = self.stage.namespace.volume(SQLITE_CLAIM["claimName"])
        status: dict[str, Any] = {}
        supplied: set[tuple[str, str]] = set()
        for path in self.scenario.manifests:
            assert status.get("phase", "Succeeded") == "Succeeded", f"before {path.name}: {status}"
            document = self._document(path)
            # Claims first: they take a moment to be bound.
            for kind, name in sorted(self._wanted(document["spec"]) - supplied, key=lambda item: item[0] != CLAIM):
                self._supply(kind, name)
                supplied.add((kind, name))
            # Not as YAML again: "0009" is a text to who writes it there, and a number to who reads it.
            self.stage.namespace.kubectl("apply", "--filename", "-", input=json.dumps(document))
            status = self._end(document["metadata"]["name"])
        events = tuple(event.partition(":")[0] for event in self.stage.events())
        return Seen(status, events, tuple(self._answer(query.sql) for query in self.scenario.expected.queries))

    def _document(self, path: Path) -> dict[str, Any]:
        document: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
        if self.data is not None:
            document["spec"]["database"]["persistentVolumeClaim"] = SQLITE_CLAIM
        return document

    def _wanted(self, spec: dict[str, Any]) -> set[tuple[str, str]]:
        wanted = {("Secret", spec["database"]["urlFrom"]["secretKeyRef"]["name"])}
        wanted.add(("ConfigMap", spec["migrations"]["source"]["configMap"]["name"]))
        if "storage" in spec["backup"]:
            wanted.add((CLAIM, spec["backup"]["storage"]["persistentVolumeClaim"]["claimName"]))
        return wanted

    def _supply(self, kind: str, name: str) -> None:
        match kind:
            case "Secret":
                url = None if self.data is None else f"sqlite:///{SQLITE_CLAIM['mountPath']}/{SQLITE_FILE}"
                self.stage.secret(url, name=name)
            case "ConfigMap":
                files = self.scenario.application.items()
                data = {place.replace("/", "__"): file.read_text("utf-8") for place, file in files}
                manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}
                self.stage.namespace.apply(manifest)
            case _:
                self.stage.namespace.volume(name)

    def _end(self, name: str) -> dict[str, Any]:
        """The status once it is Ready or Stalled at the newest generation."""

        def look() -> dict[str, Any] | None:
            document = self.stage.resource(name)
            status: dict[str, Any] = document.get("status", {})
            conditions = {item["type"]: item["status"] for item in status.get("conditions", ())}
            ended = "True" in {conditions.get("Ready"), conditions.get("Stalled")}
            return status if ended and status["observedGeneration"] == document["metadata"]["generation"] else None

        try:
            return eventually(look, "The end of the run", timeout=120)
        except TimeoutError as late:
            raise TimeoutError(f"{late}\n{self.stage.evidence()}") from None

    def _answer(self, sql: str) -> tuple[tuple[Any, ...], ...]:
        if self.data is None:
            return self.stage.rows(sql)
        assert self.data.folder is not None
        with sqlite3.connect(f"file:{self.data.folder / SQLITE_FILE}?mode=ro", uri=True) as connection:
            return tuple(connection.execute(sql))
