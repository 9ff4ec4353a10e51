"""One run of a known history on a fresh database, and everything that must hold once it has ended.

Must not know which fault was made.
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
from tests.cluster.embedded import catalog
from tests.cluster.faults.histories import History
from tests.cluster.operator.idlers import Idler
from tests.cluster.operator.orders import give
from tests.cluster.operator.stage import Stage

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ|\d{8}T\d{6}Z|\d{8}_\d{6}")
_LOOKS = {"look", "compare"}  # they only read, and are made as often as is wished


@dataclass
class Run:
    """A resource with a database, a Secret and scripts of its own, on a stage that many runs share."""

    base: Stage
    name: str
    history: History
    database: str = ""  # where it is not the run's own
    deaf_for: int = 0  # seconds for which its application ignores that it has to end
    stage: Stage = field(init=False)

    def __post_init__(self) -> None:
        database = self.database or f"{self.base.database}_{self.name.replace('-', '_')}"
        self.stage = Stage(self.base.namespace, self.base.server, database, self.base.role)
        self.stage.backups = self.base.backups
        self.stage.spec = copy.deepcopy(self.base.spec) | {
            "database": {"urlFrom": {"secretKeyRef": {"name": self.name, "key": "url"}}},
            "migrations": {"source": {"configMap": {"name": self.name}}},
        }
        if self.history.drained:
            when = "Always" if self.history.drained_before else "OnRestore"
            self.stage.spec["drain"] = {"workloads": [self.application.drain], "when": when}
        if self.history.on_failure:
            # The ledger's rows of the release are written since the backup: they may go, or cannot be an application's.
            accepts = not self.history.drained_before
            self.stage.spec["rollback"] = {"onFailure": self.history.on_failure, "acceptDataLoss": accepts}

    @property
    def application(self) -> Idler:
        """What is drained."""
        image = self.base.namespace.cluster.image(catalog.TOOLS)
        patience = {"deaf": True, "grace_seconds": self.deaf_for} if self.deaf_for else {}
        return Idler(self.base.namespace, image, name=self.name, replicas=2, **patience)

    def start(self) -> None:
        """Make what it needs, and wish for it."""
        self.prepare()
        self.wish()

    def prepare(self) -> None:
        """Make what it needs; for an order that is the release, too, which it takes back."""
        if not self.database:
            self.stage.server.psql(f"CREATE DATABASE {self.stage.database} OWNER {self.stage.role}")
        if self.history.first_release:
            self.stage.psql(f"SET ROLE {self.stage.role}; {self.history.first_release}")
        if self.history.drained:
            self.application.start()
        self.stage.secret(name=self.name)
        self.stage.scripts(*self.history.revisions, name=self.name)
        if self.history.ordered:
            self.stage.apply(self.name)
            self._wait("dbm", seconds=180)

    def wish(self) -> None:
        """Apply the resource, or create the order."""
        if self.history.ordered:
            (backup,) = self.status()["backups"]
            give(self.stage, self.name, backup["name"], accept=True, migration=self.name)
        else:
            self.stage.apply(self.name)

    def wait_until_asleep(self) -> None:
        """Wait until the slow revision's statement runs on the server."""
        sleeping = f"datname = '{self.stage.database}' AND query LIKE '%pg_sleep(8)%' AND state = 'active'"
        query = f"SELECT count(*) FROM pg_stat_activity WHERE {sleeping} AND pid <> pg_backend_pid()"
        eventually(lambda: self.stage.server.psql(query) != "0", "The slow revision", timeout=90)

    def wait_for_end(self, seconds: float = 90) -> None:
        """Wait until it has ended, however; raises KubectlError."""
        self._wait("dbr" if self.history.ordered else "dbm", seconds)

    def _wait(self, kind: str, seconds: float) -> None:
        ended = ("--for=condition=Reconciling=False", f"--timeout={seconds:.0f}s")
        self.stage.namespace.kubectl("wait", f"{kind}/{self.name}", *ended)

    def leave(self) -> None:
        """Its application goes, for a node has room for a hundred Pods or so; what the run came to stays."""
        if self.history.drained:
            self.stage.namespace.kubectl("delete", "deployment", self.name, "--wait=false")

    @property
    def is_open(self) -> bool:
        return self.stage.condition("Reconciling", self.name)["status"] != "False"

    def status(self) -> dict[str, Any]:
        return self.stage.status(self.name)

    def order(self) -> dict[str, Any]:
        """What the DatabaseRestore says of itself; nothing where there is none."""
        if not self.history.ordered:
            return {}
        status: dict[str, Any] = self.stage.namespace.get("dbr", self.name).get("status", {})
        return status

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
        assert self.ledger() == list(self.history.left)
        assert status["currentRevisions"] == self.stage.heads() == [self.history.head]
        assert status["run"].get("appliedRevisions", []) == list(self.history.applied)
        assert status["run"]["number"] == self.history.number
        assert not document["metadata"].get("finalizers")
        self._check_backup(status)
        self.check_databases(status)
        self._check_jobs()
        if self.history.head in self.history.before:
            self._check_first_release()
        if self.history.drained:
            assert status.get("drain") is None
            assert self.application.size == (2, 2)
        if self.history.drained_before:
            assert not status["run"]["restored"].get("compared")
        if self.history.lost:
            self._check_loss(status)
        if self.history.ordered:
            self._check_order(status)
        return status

    def _check_backup(self, status: dict[str, Any]) -> None:
        (backup,) = status["backups"]
        assert backup["name"] == status["run"]["backup"]
        assert backup.get("revisions", []) == list(self.history.before)
        assert backup["verifiedAt"]
        if self.stage.backups.folder is not None:
            (dump,) = self.stage.backups.folder.rglob(f"{self.name}-*.dump")
            assert hashlib.sha256(dump.read_bytes()).hexdigest() == backup["sha256"]

    def check_databases(self, status: dict[str, Any]) -> None:
        """Open to everybody; the replaced one is kept, closed, and nothing else is left over."""
        restored = status["run"].get("restored", {})
        name = self.stage.database
        kept = [f"{restored['keptAs']}|f"] if restored else []
        named = f"SELECT datname, datallowconn FROM pg_database WHERE datname LIKE '{name}%' ORDER BY datname"
        assert self.stage.server.psql(named).splitlines() == [f"{name}|t", *kept]
        limit = f"SELECT datconnlimit, shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = '{name}'"
        assert self.stage.server.psql(limit) == "-1|"

    def _check_first_release(self) -> None:
        """The rows of before and the schema of before."""
        assert self.stage.psql("SELECT count(*), min(note), max(id) FROM orders") == "500|order 1|500"
        columns = "SELECT string_agg(column_name, ' ' ORDER BY column_name) FROM information_schema.columns"
        assert self.stage.psql(f"{columns} WHERE table_name = 'orders'") == "id note"
        assert self.stage.psql("SELECT to_regclass('ix_orders_note') IS NULL") == "t"

    def _check_loss(self, status: dict[str, Any]) -> None:
        """It is known what went, and where it is."""
        restored, lost = status["run"]["restored"], self.history.lost
        assert (restored["backup"], restored["lostRows"]) == (status["run"]["backup"], lost)
        (loss,) = restored["lost"]
        assert (loss["table"], loss["inserted"]) == ("public.applied", lost)
        assert [known["name"] for known in status["replaced"]] == [restored["keptAs"]]
        if self.stage.backups.folder is not None:
            (listed,) = self.stage.backups.folder.rglob(restored["listFile"].rpartition("/")[2])
            assert hashlib.sha256(listed.read_bytes()).hexdigest() == restored["listSha256"]

    def _check_order(self, status: dict[str, Any]) -> None:
        """It was carried out once, by the second run, and both kinds say the same of it."""
        told, restored = self.order(), status["run"]["restored"]
        (known,) = status["orders"]
        assert (known["name"], known["run"], known["outcome"]) == (self.name, 2, "Succeeded")
        ready = next(condition for condition in told["conditions"] if condition["type"] == "Ready")
        assert (told["phase"], told["run"], ready["reason"]) == ("Succeeded", 2, "Restored"), ready["message"]
        assert told["restored"] == known["restored"] == restored
        assert [entry["number"] for entry in status["history"]] == [2, 1]

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
        assert sorted(set(steps) - _LOOKS) == sorted(self.history.steps), steps
        assert steps.count("backup") == 1, steps

    def _listed(self, kind: str) -> list[dict[str, Any]]:
        selector = f"{names.LABEL_MIGRATION}={self.name}"
        sort = "--sort-by=.metadata.creationTimestamp"
        listed = self.stage.namespace.kubectl("get", kind, "--selector", selector, sort, "--output", "json")
        items: list[dict[str, Any]] = json.loads(listed)["items"]
        return items


def masked(run: Run) -> dict[str, Any]:
    """A status without what differs between two runs of one history: names, times, costs, and which attempt it was.

    With it, under "order", that of the DatabaseRestore.
    """
    text = json.dumps({**run.status(), "order": run.order()})
    text = text.replace(run.stage.database, "DATABASE").replace(run.name, "NAME")
    status: dict[str, Any] = json.loads(_TIME.sub("TIME", text))
    status.pop("metrics", None)
    for entry in status["history"]:
        entry.pop("image", None)
    order = status["run"].get("order", {})
    _forget(status["run"], "fingerprint", "identity")
    _forget(order, "uid", "sha256", "estimate")  # the last from the server's statistics, which come when they come
    _forget(status["order"], "estimate")
    for known in status.get("orders", ()):
        _forget(known, "uid")
    for teller in (status["run"], status["order"], *status.get("orders", ())):
        _forget(teller.get("restored", {}), "listSha256")  # of keys that were made by chance
    for backup in status["backups"]:
        _forget(backup, "sha256", "sizeBytes")
    last = {step["name"]: step["state"] for step in status["steps"]}
    status["steps"] = {name: last.get(name) for name in run.history.steps}
    return status


def _forget(entry: dict[str, Any], *keys: str) -> None:
    for key in keys:
        entry.pop(key, None)
