"""One run of a known history on a fresh database, and everything that must hold once it has ended.

Each revision leaves a row in a ledger within its own transaction, so that the database itself tells how often it was
applied. Must not know which fault was made.
"""

from __future__ import annotations

import copy
import hashlib
import json
import re
from dataclasses import dataclass, field, replace
from typing import Any

from dbmigration.api import names
from tests.cluster.access import eventually
from tests.cluster.embedded import catalog
from tests.cluster.operator.history import ADD_TOTAL, CREATE_ORDERS, FAIL, INDEX_NOTE, Revision, chain
from tests.cluster.operator.idlers import Idler
from tests.cluster.operator.stage import Stage

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ|\d{8}T\d{6}Z|\d{8}_\d{6}")
_LOOKS = {"look", "compare"}  # they only read, and are made as often as is wished
# The first release, as its own run left it: its revision stands in the ledger.
_FIRST_RELEASE = """
CREATE TABLE applied (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), revision text NOT NULL);
INSERT INTO applied (revision) VALUES ('r1');
CREATE TABLE orders (id integer PRIMARY KEY, note text);
INSERT INTO orders SELECT number, 'order ' || number FROM generate_series(1, 500) AS number;
CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY);
INSERT INTO alembic_version VALUES ('r1')
"""
_SLOW_INDEX = """
CREATE FUNCTION public.slow(text) RETURNS text IMMUTABLE LANGUAGE sql AS $$ SELECT $1 $$;
CREATE INDEX ix_slow ON orders (public.slow(note)) WHERE id = 1;
CREATE OR REPLACE FUNCTION public.slow(text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS
  $$ BEGIN PERFORM pg_sleep(6); RETURN $1; END $$
"""


def _in_ledger(number: int) -> str:
    """The lines of a revision that write it into the ledger."""
    return (
        'op.execute("CREATE TABLE IF NOT EXISTS applied '
        '(id uuid PRIMARY KEY DEFAULT gen_random_uuid(), revision text NOT NULL)")\n'
        f"op.execute(\"INSERT INTO applied (revision) VALUES ('r{number}')\")\n"
    )


@dataclass(frozen=True, slots=True)
class History:
    """Revisions, and how a run of them ends.

    `applied` is what the run applied, `left` what the ledger holds in the end. With a `first_release`, as SQL, the first of them
    is there before, and an application that is drained and comes back.
    """

    name: str
    revisions: tuple[Revision, ...]
    phase: str
    reason: str
    applied: tuple[str, ...]
    left: tuple[str, ...]
    steps: tuple[str, ...] = ("plan", "backup", "migrate")
    first_release: str = ""

    @property
    def is_emergency(self) -> bool:
        return bool(self.first_release)

    @property
    def before(self) -> tuple[str, ...]:
        """Where the database is before the run, and so what its backup is of."""
        return ("r1",) if self.is_emergency else ()


def history(name: str, *bodies: str) -> History:
    """Revisions r1, r2, … with a ledger; all of them are applied."""
    revisions = chain(*(_in_ledger(number) + body for number, body in enumerate(bodies, 1)))
    all_of_them = tuple(revision.id for revision in revisions)
    return History(name, revisions, "Succeeded", "Succeeded", all_of_them, all_of_them)


GOOD = history("good", CREATE_ORDERS, ADD_TOTAL, INDEX_NOTE)
SLOW = history("slow", CREATE_ORDERS, 'op.execute("SELECT pg_sleep(8)")', INDEX_NOTE)
BROKEN = replace(
    history("broken", CREATE_ORDERS, FAIL, INDEX_NOTE),
    phase="Failed",
    reason="MigrationFailed",
    applied=("r1",),
    left=("r1",),
)


def emergency() -> History:
    """A release whose third revision fails, and whose first cannot be undone: drained, restored, resumed."""
    plain = history("urgent", CREATE_ORDERS, ADD_TOTAL, INDEX_NOTE, FAIL)
    first, second, *others = plain.revisions
    cannot = replace(second, undo='raise RuntimeError("nobody wrote it")')
    return replace(
        plain,
        revisions=(first, cannot, *others),
        phase="RolledBack",
        reason="RolledBack",
        applied=("r2", "r3"),
        left=("r1",),
        steps=("plan", "backup", "migrate", "downgrade", "restore"),
        first_release=_FIRST_RELEASE,
    )


def slow(quick: History) -> History:
    """The same, whose downgrade of r3 takes its time, and after it the restore, by an index."""
    revisions = tuple(
        replace(revision, undo='op.execute("SELECT pg_sleep(8)")') if revision.id == "r3" else revision
        for revision in quick.revisions
    )
    return replace(quick, revisions=revisions, first_release=f"{quick.first_release}; {_SLOW_INDEX}")


EMERGENCY = emergency()
SLOW_EMERGENCY = slow(EMERGENCY)


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
        if self.history.is_emergency:
            # The ledger's rows of the release are written since the backup, and may go.
            rollback = {"onFailure": "DowngradeOrRestore", "acceptDataLoss": True}
            self.stage.spec |= {"drain": {"workloads": [self.application.drain]}, "rollback": rollback}

    @property
    def application(self) -> Idler:
        """What an emergency drains."""
        image = self.base.namespace.cluster.image(catalog.TOOLS)
        patience = {"deaf": True, "grace_seconds": self.deaf_for} if self.deaf_for else {}
        return Idler(self.base.namespace, image, name=self.name, replicas=2, **patience)

    def start(self) -> None:
        """Make what it needs, and apply the resource."""
        if not self.database:
            self.stage.server.psql(f"CREATE DATABASE {self.stage.database} OWNER {self.stage.role}")
        if self.history.is_emergency:
            self.stage.psql(f"SET ROLE {self.stage.role}; {self.history.first_release}")
            self.application.start()
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
        assert self.ledger() == list(self.history.left)
        assert status["currentRevisions"] == self.stage.heads() == [self.history.left[-1]]
        assert status["run"].get("appliedRevisions") == list(self.history.applied)
        assert status["run"]["number"] == 1
        assert not document["metadata"].get("finalizers")
        self._check_backup(status)
        self.check_databases(status)
        self._check_jobs()
        if self.history.is_emergency:
            self._check_application(status)
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

    def _check_application(self, status: dict[str, Any]) -> None:
        """All replicas are back, with the rows of before and the schema of before, and it is known what went."""
        assert status.get("drain") is None
        assert self.application.size == (2, 2)
        assert self.stage.psql("SELECT count(*), min(note), max(id) FROM orders") == "500|order 1|500"
        columns = "SELECT string_agg(column_name, ' ' ORDER BY column_name) FROM information_schema.columns"
        assert self.stage.psql(f"{columns} WHERE table_name = 'orders'") == "id note"
        assert self.stage.psql("SELECT to_regclass('ix_orders_note') IS NULL") == "t"
        restored = status["run"]["restored"]
        assert (restored["backup"], restored["lostRows"]) == (status["run"]["backup"], 2)
        (loss,) = restored["lost"]
        assert (loss["table"], loss["inserted"]) == ("public.applied", 2)
        assert [known["name"] for known in status["replaced"]] == [restored["keptAs"]]
        if self.stage.backups.folder is not None:
            (listed,) = self.stage.backups.folder.rglob(restored["listFile"].rpartition("/")[2])
            assert hashlib.sha256(listed.read_bytes()).hexdigest() == restored["listSha256"]

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
    """A status without what differs between two runs of one history: names, times, costs, and which attempt it was."""
    text = json.dumps(run.status()).replace(run.stage.database, "DATABASE").replace(run.name, "NAME")
    status: dict[str, Any] = json.loads(_TIME.sub("TIME", text))
    status.pop("metrics", None)
    for entry in status["history"]:
        entry.pop("image", None)
    for key in ("fingerprint", "identity"):
        status["run"].pop(key)
    status["run"].get("restored", {}).pop("listSha256", None)  # of keys that were made by chance
    for backup in status["backups"]:
        for key in ("sha256", "sizeBytes"):
            backup.pop(key)
    last = {step["name"]: step["state"] for step in status["steps"]}
    status["steps"] = {name: last.get(name) for name in run.history.steps}
    return status
