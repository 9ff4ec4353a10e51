"""Plays a scenario of tests/scenarios on a stage, as its author would by hand: supply what it names, apply, wait, look.

The stage is of the given engine. The manifests are applied as they are; only a SQLite database gets the claim that it lies on, which nobody needs elsewhere.
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
# Asked of the server itself: what the operator compares is its own.
SCHEMAS = {
    "postgresql": (
        "SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns WHERE table_schema = 'public'"
        " UNION ALL SELECT tablename, indexname, indexdef, '' FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1, 2"
    ),
    "mariadb": (
        "SELECT table_name, column_name, column_type, is_nullable FROM information_schema.columns"
        " WHERE table_schema = DATABASE() UNION ALL SELECT table_name, column_name, index_name, non_unique"
        " FROM information_schema.statistics WHERE table_schema = DATABASE() ORDER BY 1, 2, 3, 4"
    ),
    "sqlite": "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY 1, 2",
}


@dataclass
class Player:
    """One scenario on one stage."""

    stage: Stage
    scenario: Scenario
    engine: str
    data: Volume | None = None  # of a SQLite database

    def __post_init__(self) -> None:
        self._supplied: set[tuple[str, str]] = set()
        if self.engine == "sqlite":
            self.data = self.stage.namespace.volume(SQLITE_CLAIM["claimName"])

    def play_what_is_before(self) -> None:
        """Apply every manifest but the last, and wait for their ends; all of them must succeed."""
        for path in self.scenario.manifests[:-1]:
            status = self._play(path)
            assert status["phase"] == "Succeeded", f"after {path.name}: {status}"

    def play_the_last(self) -> Seen:
        """Apply the last manifest, and wait for its end, which is the scenario's."""
        status = self._play(self.scenario.manifests[-1])
        events = tuple(event.partition(":")[0] for event in self.stage.events())
        return Seen(status, events, tuple(self._answer(query.sql) for query in self.scenario.expected.queries))

    def schema(self) -> tuple[tuple[Any, ...], ...]:
        """The columns and indexes that the database has now."""
        return self._answer(SCHEMAS[self.engine])

    def _play(self, manifest: Path) -> dict[str, Any]:
        document = self._document(manifest)
        # Claims first: they take a moment to be bound.
        for kind, name in sorted(self._wanted(document["spec"]) - self._supplied, key=lambda item: item[0] != CLAIM):
            self._supply(kind, name)
            self._supplied.add((kind, name))
        # Not as YAML again: "0009" is a text to who writes it there, and a number to who reads it.
        self.stage.namespace.kubectl("apply", "--filename", "-", input=json.dumps(document))
        return self._end(document["metadata"]["name"])

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
        """As the application asks, whose role is the resource's."""
        if self.data is None:
            return self.stage.rows(sql)
        assert self.data.folder is not None
        with sqlite3.connect(f"file:{self.data.folder / SQLITE_FILE}?mode=ro", uri=True) as connection:
            return tuple(connection.execute(sql))
