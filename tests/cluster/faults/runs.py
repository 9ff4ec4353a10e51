"""One run of a known history on a fresh database, and everything that must hold once it has ended.

Each revision leaves a row in a ledger within its own transaction, so that the database itself tells how often it was
applied. Must not know which fault was made.
"""

from __future__ import annotations

import copy
import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import Any

from dbmigration.api import names
from tests.cluster.access import eventually
from tests.cluster.operator.history import CREATE_ORDERS, FAIL, INDEX_NOTE, Revision, chain
from tests.cluster.operator.stage import Stage

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ|\d{8}T\d{6}Z")
_STEPS = ("plan", "backup", "migrate")


def _in_ledger(number: int) -> str:
    """The lines of a revision that write it into the ledger."""
    return (
        'op.execute("CREATE TABLE IF NOT EXISTS applied (revision text NOT NULL)")\n'
        f"op.execute(\"INSERT INTO applied VALUES ('r{number}')\")\n"
    )


@dataclass(frozen=True, slots=True)
class History:
    """Revisions, and how a run of them ends."""

    name: str
    revisions: tuple[Revision, ...]
    reason: str
    applied: tuple[str, ...]

    @property
    def phase(self) -> str:
        return "Succeeded" if self.reason == "Succeeded" else "Failed"


def history(name: str, *bodies: str, reason: str = "Succeeded", applied: tuple[str, ...] = ()) -> History:
    """Revisions r1, r2, … with a ledger; all of them are applied unless it is said which."""
    revisions = chain(*(_in_ledger(number) + body for number, body in enumerate(bodies, 1)))
    return History(name, revisions, reason, applied or tuple(revision.id for revision in revisions))


GOOD = history("good", CREATE_ORDERS, 'op.add_column("orders", sa.Column("total", sa.Numeric))', INDEX_NOTE)
SLOW = history("slow", CREATE_ORDERS, 'op.execute("SELECT pg_sleep(8)")', INDEX_NOTE)
BROKEN = history("broken", CREATE_ORDERS, FAIL, INDEX_NOTE, reason="MigrationFailed", applied=("r1",))


@dataclass
class Run:
    """A resource with a database, a Secret and scripts of its own, on a stage that many runs share."""

    base: Stage
    name: str
    history: History
    database: str = ""  # where it is not the run's own
    stage: Stage = field(init=False)

    def __post_init__(self) -> None:
        database = self.database or f"{self.base.database}_{self.name.replace('-', '_')}"
        self.stage = Stage(self.base.namespace, self.base.server, database, self.base.role)
        self.stage.backups = self.base.backups
        self.stage.spec = copy.deepcopy(self.base.spec) | {
            "database": {"urlFrom": {"secretKeyRef": {"name": self.name, "key": "url"}}},
            "migrations": {"source": {"configMap": {"name": self.name}}},
        }

    def start(self) -> None:
        """Make what it needs, and apply the resource."""
        if not self.database:
            self.stage.server.psql(f"CREATE DATABASE {self.stage.database} OWNER {self.stage.role}")
        self.stage.secret(name=self.name)
        self.stage.scripts(*self.history.revisions, name=self.name)
        self.stage.apply(self.name)

    def wait_until_asleep(self) -> None:
        """Wait until the slow revision's statement runs on the server."""
        sleeping = f"datname = '{self.stage.database}' AND query LIKE '%pg_sleep(8)%' AND state = 'active'"
        query = f"SELECT count(*) FROM pg_stat_activity WHERE {sleeping} AND pid <> pg_backend_pid()"
        eventually(lambda: self.stage.server.psql(query) != "0", "The slow revision", timeout=90)

    def wait_for_end(self, seconds: float = 90) -> None:
        """Wait until it has ended, however; raises KubectlError."""
        self.stage.namespace.kubectl(
            "wait", f"dbm/{self.name}", "--for=condition=Reconciling=False", f"--timeout={seconds:.0f}s"
        )

    @property
    def is_open(self) -> bool:
        return self.stage.condition("Reconciling", self.name)["status"] != "False"

    def status(self) -> dict[str, Any]:
        return self.stage.status(self.name)

    def ledger(self) -> list[str]:
        """What was applied, once for each time."""
        if self.stage.psql("SELECT to_regclass('applied') IS NULL") == "t":
            return []
        return self.stage.psql("SELECT revision FROM applied ORDER BY 1").splitlines()

    def check(self) -> dict[str, Any]:
        """Assert what must hold after the end, whatever was done meanwhile; gives the status."""
        document = self.stage.resource(self.name)
        status = document["status"]
        ready = next(condition for condition in status["conditions"] if condition["type"] == "Ready")
        assert (status["phase"], ready["reason"]) == (self.history.phase, self.history.reason), ready["message"]
        assert self.ledger() == list(self.history.applied)
        assert status["currentRevisions"] == self.stage.heads() == [self.history.applied[-1]]
        assert status["run"].get("appliedRevisions") == list(self.history.applied)
        assert status["run"]["number"] == 1
        assert not document["metadata"].get("finalizers")
        self._check_backup(status)
        self._check_jobs()
        return status

    def _check_backup(self, status: dict[str, Any]) -> None:
        (backup,) = status["backups"]
        assert backup["name"] == status["run"]["backup"]
        assert backup.get("revisions", []) == []
        assert backup["verifiedAt"]
        if self.stage.backups.folder is not None:
            (dump,) = self.stage.backups.folder.rglob(f"{self.name}-*.dump")
            assert hashlib.sha256(dump.read_bytes()).hexdigest() == backup["sha256"]

    def steps(self) -> list[str]:
        """The steps whose Jobs there are, in order of their creation."""
        return [job["metadata"]["labels"][names.LABEL_STEP] for job in self._listed("jobs")]

    def _check_jobs(self) -> None:
        # The Job's own condition comes two seconds after its Pod's end, and the Pod's phase one.
        working = [
            pod["metadata"]["name"]
            for pod in self._listed("pods")
            for container in pod["status"].get("containerStatuses", [{"state": {}}])
            if "terminated" not in container["state"]
        ]
        assert not working, working
        steps = self.steps()
        assert sorted(set(steps) - {"look"}) == sorted(_STEPS), steps
        assert steps.count("backup") == 1, steps

    def _listed(self, kind: str) -> list[dict[str, Any]]:
        selector = f"{names.LABEL_MIGRATION}={self.name}"
        sort = "--sort-by=.metadata.creationTimestamp"
        listed = self.stage.namespace.kubectl("get", kind, "--selector", selector, sort, "--output", "json")
        items: list[dict[str, Any]] = json.loads(listed)["items"]
        return items


def masked(run: Run) -> dict[str, Any]:
    """A status without what differs between two runs of one history: names, times, costs, and which attempt it was."""
    text = _TIME.sub("TIME", json.dumps(run.status())).replace(run.name, "NAME")
    status: dict[str, Any] = json.loads(text)
    status.pop("metrics", None)
    for entry in status["history"]:
        entry.pop("image", None)
    for key in ("fingerprint", "identity"):
        status["run"].pop(key)
    for backup in status["backups"]:
        for key in ("sha256", "sizeBytes"):
            backup.pop(key)
    last = {step["name"]: step["state"] for step in status["steps"]}
    status["steps"] = {name: last.get(name) for name in _STEPS}
    return status
