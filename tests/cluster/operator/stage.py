"""What a scenario plays on: a namespace with a database of its own, its Secret, a volume for backups, and the resource.

Talks to the cluster by kubectl alone, as a user would. Must not know how the operator runs.
"""

from __future__ import annotations

import copy
import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.cluster.access import Cluster, KubectlError, Namespace, eventually
from tests.cluster.forwarding import Forward
from tests.cluster.operator.history import Revision, project
from tests.cluster.providers import Volume
from tests.integration.postgresql_server import client_programs

# Characters that break a URL, a shell, an ini file and a log line; searched for in everything at the end.
PASSWORD = "C4nary%20\"'$:@/"
QUOTED_PASSWORD = "C4nary%2520%22%27%24%3A%40%2F"
ROLE_PASSWORD_SQL = PASSWORD.replace("'", "''")


_PSQL = ("psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set", "ON_ERROR_STOP=1")
_IN_ITS_POD = ("exec", "--stdin", "deploy/postgresql", "--", *_PSQL, "--host", "/tmp")
_NOT_CONNECTED = "psql: error: connection to server"
SUPERUSER, SUPERUSERS_PASSWORD = "postgres", "superuser-of-a-test"


@dataclass(frozen=True, slots=True)
class Server:
    """The PostgreSQL server that all scenarios share."""

    namespace: Namespace
    forward: Forward

    @property
    def host(self) -> str:
        return f"postgresql.{self.namespace.name}.svc"

    def psql(self, sql: str, database: str = "postgres", role: str = SUPERUSER) -> str:
        """Run SQL; what psql prints, unaligned and without headers."""
        ended = self._psql(sql, database, role)
        if ended.stderr.startswith(_NOT_CONNECTED):  # by a way that the server's last restart had closed, perhaps
            self.forward.end()
            ended = self._psql(sql, database, role)
        if ended.returncode:
            raise KubectlError(f"psql: {ended.stderr.strip()}")
        return ended.stdout.strip()

    def _psql(self, sql: str, database: str, role: str) -> subprocess.CompletedProcess[str]:
        where = ("--host", "127.0.0.1", "--port", str(self.forward.local()), "--username", role, "--dbname", database)
        password = SUPERUSERS_PASSWORD if role == SUPERUSER else PASSWORD
        program = client_programs() / _PSQL[0]
        return subprocess.run(
            [program, *_PSQL[1:], *where],
            input=sql,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PGPASSWORD": password, "PGCLIENTENCODING": "UTF8"},
        )

    @contextmanager
    def holding(self, sql: str, database: str) -> Iterator[None]:
        """Within the context a transaction of the superuser's stays open: what `sql` locked in it stays locked."""
        with held(self.namespace, *_IN_ITS_POD, "--username", SUPERUSER, "--dbname", database, sql=f"BEGIN; {sql}"):
            yield


@dataclass
class Stage:
    """One scenario's surroundings."""

    namespace: Namespace
    server: Server
    database: str
    role: str
    spec: dict[str, Any] = field(default_factory=dict)
    backups: Volume = field(init=False)

    def prepare(self) -> None:
        """Make role, database, Secret, claim."""
        self.make_database()
        self.secret()
        self.backups = self.namespace.volume("backups")
        self.spec = {
            "database": {"urlFrom": {"secretKeyRef": {"name": "database", "key": "url"}}},
            "migrations": {"source": {"configMap": {"name": "scripts"}}},
            "backup": {"storage": {"persistentVolumeClaim": {"claimName": "backups"}}},
            "locks": {"timeout": "100ms", "retryFor": "20s"},
        }

    def make_database(self) -> None:
        """Make the role, and a database in which it may do everything."""
        self.server.psql(f"CREATE ROLE {self.role} LOGIN CREATEDB PASSWORD '{ROLE_PASSWORD_SQL}'")
        self.server.psql(f"CREATE DATABASE {self.database} OWNER {self.role}")

    def remove(self) -> None:
        """Take database and role away."""
        self.server.psql(f"DROP DATABASE IF EXISTS {self.database} WITH (FORCE)")
        self.server.psql(f"DROP ROLE IF EXISTS {self.role}")

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://{self.role}:{QUOTED_PASSWORD}@{self.server.host}/{self.database}"

    def secret(self, url: str | None = None, name: str = "database", key: str = "url") -> None:
        """Write a Secret with a URL."""
        self.namespace.apply(
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {key: url or self.url}}
        )

    def scripts(self, *revisions: Revision, name: str = "scripts", **changes: str | None) -> None:
        """Write the ConfigMap; `changes` replace files (their keys with two underscores) or, with None, leave them out."""
        data: Mapping[str, str | None] = {**project(*revisions), **changes}
        kept = {key: text for key, text in data.items() if text is not None}
        manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": kept}
        self.namespace.kubectl("delete", "configmap", name, "--ignore-not-found")
        self.namespace.apply(manifest)

    def apply(self, name: str = "shop", annotations: Mapping[str, str] | None = None, **spec: Any) -> None:
        """Apply the resource with top-level changes to the stage's spec."""
        self.namespace.apply(
            {
                "apiVersion": "dbmigration.io/v1alpha1",
                "kind": "DatabaseMigration",
                "metadata": {"name": name, "annotations": dict(annotations or {})},
                "spec": {**copy.deepcopy(self.spec), **spec},
            }
        )

    def resource(self, name: str = "shop") -> dict[str, Any]:
        return self.namespace.get("databasemigration", name)

    def status(self, name: str = "shop") -> dict[str, Any]:
        return self.resource(name).get("status", {})

    def condition(self, kind: str = "Ready", name: str = "shop") -> dict[str, Any]:
        found = (condition for condition in self.status(name).get("conditions", ()) if condition["type"] == kind)
        return next(found, {"status": "", "reason": "", "message": ""})

    def until(
        self, reason: str, name: str = "shop", *, timeout: float = 90, generation: int | None = None
    ) -> dict[str, Any]:
        """Wait until the Ready condition shows this reason; gives the whole status."""

        def look() -> dict[str, Any] | None:
            document = self.resource(name)
            status = document.get("status", {})
            ready = next((item for item in status.get("conditions", ()) if item["type"] == "Ready"), {})
            wanted = generation or document["metadata"]["generation"]
            return status if ready.get("reason") == reason and ready.get("observedGeneration", -1) >= wanted else None

        try:
            return eventually(look, f"Ready with reason {reason}", timeout=timeout)
        except TimeoutError as late:
            raise TimeoutError(f"{late} It is {json.dumps(self.condition(name=name))}\n{self.evidence()}") from None

    def succeeded(self, name: str = "shop", *, timeout: float = 120) -> dict[str, Any]:
        """Wait until the resource is done and well."""
        return self.until("Succeeded", name, timeout=timeout)

    @property
    def sleeping(self) -> str:
        """The condition on pg_stat_activity for a session of this database in a statement that sleeps."""
        return (
            f"datname = '{self.database}' AND state = 'active' AND query LIKE '%pg_sleep%' AND pid <> pg_backend_pid()"
        )

    def falls_asleep(self) -> None:
        """Wait until a statement that sleeps runs on the server: a slow revision's, or a test's own."""
        count = f"SELECT count(*) FROM pg_stat_activity WHERE {self.sleeping}"
        eventually(lambda: self.server.psql(count) != "0", "A statement that sleeps", timeout=90)

    def psql(self, sql: str) -> str:
        """As the superuser, in this stage's database."""
        return self.server.psql(sql, self.database)

    def rows(self, sql: str) -> tuple[tuple[Any, ...], ...]:
        """What a query of its role answers in this stage's database, its numbers as numbers."""
        asked = f"SELECT coalesce(json_agg(row_to_json(found)), '[]') FROM ({sql}) AS found"
        answer = self.server.psql(asked, self.database, self.role)
        return tuple(tuple(row.values()) for row in json.loads(answer))

    @contextmanager
    def dumps_held_up(self) -> Iterator[None]:
        """Within the context no dump comes to its end; a plan does.

        pg_dump reads large objects behind all rows: while nobody can, it stands with the rows on the disk.
        """
        self.psql(f"SELECT lo_from_bytea(4711, 'a photograph'); ALTER LARGE OBJECT 4711 OWNER TO {self.role}")
        with self.server.holding("LOCK TABLE pg_catalog.pg_largeobject IN ACCESS EXCLUSIVE MODE", self.database):
            yield

    def heads(self) -> list[str]:
        """What stands in the version table."""
        exists = self.psql("SELECT to_regclass('alembic_version') IS NOT NULL")
        return self.psql("SELECT version_num FROM alembic_version ORDER BY 1").splitlines() if exists == "t" else []

    def jobs(self) -> list[str]:
        """The steps whose Jobs exist, in order of their creation."""
        listed = self.namespace.kubectl("get", "jobs", "--sort-by=.metadata.creationTimestamp", "--output", "json")
        return [job["metadata"]["labels"]["dbmigration.io/step"] for job in json.loads(listed)["items"]]

    def pod(self, step: str, field: str) -> str:
        """A field of the metadata of a step's Pod, of the newest attempt; empty where there is none."""
        newest = ("--sort-by=.metadata.creationTimestamp", "--output", f"jsonpath={{.items[-1:].metadata.{field}}}")
        return self.namespace.kubectl("get", "pods", "--selector", f"dbmigration.io/step={step}", *newest)

    def events(self) -> list[str]:
        """What was told about the resource, oldest first, as `Reason: note`."""
        listed = json.loads(self.namespace.kubectl("get", "events.events.k8s.io", "--output", "json"))["items"]
        ours = [item for item in listed if item.get("regarding", {}).get("kind") == "DatabaseMigration"]
        return [f"{item['reason']}: {item['note']}" for item in sorted(ours, key=lambda item: item["eventTime"] or "")]

    def tells(self, *reasons: str, behind: int = 0) -> bool:
        """Whether these were told in this order, behind so many Events."""
        told = iter(event.partition(":")[0] for event in self.events()[behind:])
        return all(reason in told for reason in reasons)

    def kept(self) -> list[str]:
        """The databases that restores replaced."""
        named = f"SELECT datname FROM pg_database WHERE starts_with(datname, '{self.database}_') ORDER BY 1"
        return self.server.psql(named).splitlines()

    def orders(self, kept: str = "") -> dict[str, str]:
        """The note of each row of the table of that name, here or in a database that was kept."""
        if kept:
            self.server.psql(f"ALTER DATABASE {kept} ALLOW_CONNECTIONS true CONNECTION LIMIT -1")
        found = self.server.psql("SELECT id, note FROM public.orders", kept or self.database)
        return dict(line.split("|") for line in found.splitlines())

    def listed(self, restored: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The list of what a restore lost, which its status names."""
        assert self.backups.folder is not None
        (path,) = self.backups.folder.rglob(restored["listFile"].rpartition("/")[2])
        return [json.loads(line) for line in path.read_text().splitlines()]

    def evidence(self) -> str:
        """What a person would look at first when a scenario fails."""
        parts = [self.namespace.kubectl("get", "dbm,jobs,pods", "--output", "wide", check=False)]
        parts.append(self.namespace.kubectl("get", "events", "--sort-by=.lastTimestamp", check=False)[-3000:])
        pods = self.namespace.kubectl("get", "pods", "--output", "name", check=False).split()
        parts += [
            self.namespace.kubectl("logs", pod, "--all-containers", "--tail=15", check=False)[-2000:]
            for pod in pods[-3:]
        ]
        return "\n".join(parts)

    def secrets_that_leaked(self) -> list[str]:
        """Everywhere in this namespace, but in the Secret, where the password can be read in any of its spellings."""
        texts = {
            "objects": self.namespace.kubectl("get", "dbm,jobs,pods,events,configmaps", "--output", "yaml"),
            "logs": "\n".join(
                self.namespace.kubectl("logs", pod, "--all-containers", check=False)
                for pod in self.namespace.kubectl("get", "pods", "--output", "name").split()
            ),
        }
        spellings = (PASSWORD, QUOTED_PASSWORD, QUOTED_PASSWORD.replace("%", "%%"), json.dumps(PASSWORD)[1:-1])
        return [f"{place}: {spelling}" for place, text in texts.items() for spelling in spellings if spelling in text]


def server(cluster: Cluster, image: str) -> Server:
    """Start the shared PostgreSQL server and wait until it answers."""
    container = {
        "name": "postgresql",
        "image": image,
        "args": ["-c", "max_connections=200"],
        "env": [{"name": "POSTGRES_PASSWORD", "value": SUPERUSERS_PASSWORD}],
        "ports": [{"containerPort": 5432}],
        "startupProbe": asked_until_it_answers("pg_isready", "--host", "127.0.0.1"),
    }
    namespace = served(cluster, container)
    forward = Forward(namespace, "deploy/postgresql", 5432)
    forward.local()  # begun by this thread, it ends with the run
    return Server(namespace, forward)


def asked_until_it_answers(*command: str) -> dict[str, Any]:
    """A probe that ends with the server's first answer: each is a process in the container, of a tenth of a second."""
    return {"exec": {"command": list(command)}, "periodSeconds": 1, "failureThreshold": 120}


@contextmanager
def held(namespace: Namespace, *client: str, sql: str) -> Iterator[None]:
    """Within the context a session of this client of a database stays open, behind `sql`."""
    with namespace.start(*client) as session:
        assert session.stdin is not None
        assert session.stdout is not None
        session.stdin.write(f"{sql};\nSELECT 'held';\n")
        session.stdin.flush()
        said = next((line for line in session.stdout if line.strip()), "")
        assert said.strip() == "held", said
        yield
        session.stdin.close()  # the client ends, and with it what it held


def served(cluster: Cluster, container: dict[str, Any], *volumes: dict[str, Any]) -> Namespace:
    """Run a database server, with /data to write to, as a Deployment and a Service of its container's name; wait until it is ready."""
    # What a test does to a server's settings, or counts of its sessions, is no matter of another worker's.
    namespace = Namespace("-".join(filter(None, ("databases", os.environ.get("PYTEST_XDIST_WORKER")))), cluster)
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace.name}})
    eventually(
        lambda: namespace.kubectl("get", "serviceaccount", "default", "--ignore-not-found"), "The service account"
    )
    name, labels = container["name"], {"app": container["name"]}
    (port,) = container["ports"]
    mounts = [{"name": "data", "mountPath": "/data"}, *container.get("volumeMounts", ())]
    namespace.apply(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name},
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": labels},
                "strategy": {"type": "Recreate"},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {
                        "containers": [container | {"imagePullPolicy": "IfNotPresent", "volumeMounts": mounts}],
                        "securityContext": {"fsGroup": 65532},
                        "volumes": [{"name": "data", "emptyDir": {}}, *volumes],
                        "terminationGracePeriodSeconds": 5,
                    },
                },
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name},
            "spec": {"selector": labels, "ports": [{"port": port["containerPort"]}]},
        },
    )
    namespace.kubectl("rollout", "status", f"deployment/{name}", "--timeout=120s")
    return namespace
