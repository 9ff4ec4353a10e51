"""The stage on MariaDB: one server for all tests that ask for it, on it a database and a role that has rights there alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.cluster.access import Cluster, Namespace, eventually
from tests.cluster.operator.stage import (
    PASSWORD,
    QUOTED_PASSWORD,
    ROLE_PASSWORD_SQL,
    Stage,
    asked_until_it_answers,
    held,
    served,
)

PROGRAM = ("mariadb", "--no-defaults", "--batch", "--raw")
CLIENT = (*PROGRAM, "--user=mysql", "--socket=/tmp/mariadb.sock")  # the superuser's
IN_ITS_POD = ("exec", "--stdin", "deploy/mariadb", "--")
ASIDE = r"`dbmigration\_%`"  # where a backup is tried out, and restored


@dataclass(frozen=True, slots=True)
class MariaDB:
    """The MariaDB server that all such scenarios share."""

    namespace: Namespace

    @property
    def host(self) -> str:
        return f"mariadb.{self.namespace.name}.svc"

    def ask(self, sql: str, database: str = "mysql", *options: str) -> str:
        """Run SQL as the superuser; what the client prints, its columns divided by tabs."""
        return self.namespace.kubectl(*IN_ITS_POD, *CLIENT, *options, f"--database={database}", input=sql).strip("\n")

    def told(self, sql: str, database: str = "mysql") -> str:
        """The same without a line of names."""
        return self.ask(sql, database, "--skip-column-names")

    @contextmanager
    def locking(self, tables: str) -> Iterator[None]:
        """Within the context the superuser holds these `TABLE READ` or `TABLE WRITE`."""
        client = (*IN_ITS_POD, *CLIENT, "--skip-column-names", "--unbuffered", "--database=mysql")
        with held(self.namespace, *client, sql=f"LOCK TABLES {tables}"):
            yield


class MariaDBStage(Stage):
    """One scenario's surroundings, with a database on MariaDB. What a `Stage` asks by `psql` is asked by `sql` here."""

    def __init__(self, namespace: Namespace, server: MariaDB, database: str, role: str) -> None:
        self.maria = server
        self.namespace, self.database, self.role = namespace, database, role

    def make_database(self) -> None:
        # In a GRANT the name of a database is a pattern.
        pattern = self.database.replace("_", r"\_")
        self.maria.told(
            f"CREATE USER {self.role} IDENTIFIED BY '{ROLE_PASSWORD_SQL}'; CREATE DATABASE {self.database};"
            f"GRANT ALL ON `{pattern}`.* TO {self.role}; GRANT ALL ON {ASIDE}.* TO {self.role};"
            rf"GRANT ALL ON `{pattern}\_%`.* TO {self.role}"
        )

    def remove(self) -> None:
        for name in (self.database, *self.kept()):
            self.maria.told(f"DROP DATABASE IF EXISTS `{name}`")
        self.maria.told(f"DROP USER IF EXISTS {self.role}")

    def kept(self) -> list[str]:
        """The databases that restores replaced."""
        return [name for name in self.maria.told("SHOW DATABASES").splitlines() if name.startswith(f"{self.database}_")]

    def orders(self, kept: str = "") -> dict[str, str]:
        found = self.maria.told("SELECT id, note FROM orders", kept or self.database)
        return dict(line.split("\t") for line in found.splitlines())

    @property
    def url(self) -> str:
        return f"mysql+pymysql://{self.role}:{QUOTED_PASSWORD}@{self.maria.host}/{self.database}"

    def sql(self, sql: str) -> str:
        """As the superuser, in this stage's database."""
        return self.maria.told(sql, self.database)

    def rows(self, sql: str) -> tuple[tuple[Any, ...], ...]:
        names = self._asked_by_its_role(sql).partition("\n")[0]
        if not names:
            return ()  # the names of columns are printed above rows only
        columns = ", ".join(f"c{number}" for number in range(names.count("\t") + 1))
        found = f"WITH found ({columns}) AS ({sql}) SELECT JSON_ARRAYAGG(JSON_ARRAY({columns})) FROM found"
        return tuple(map(tuple, json.loads(self._asked_by_its_role(found).rpartition("\n")[2])))

    def _asked_by_its_role(self, sql: str) -> str:
        # Not by the socket, where the server takes whoever it is for an anonymous user of this machine.
        client = (*IN_ITS_POD, "env", f"MYSQL_PWD={PASSWORD}", *PROGRAM, "--host=127.0.0.1", f"--user={self.role}")
        return self.maria.namespace.kubectl(*client, f"--database={self.database}", input=sql).strip("\n")

    def falls_asleep(self) -> None:
        eventually(lambda: self.asleep() != "0", "A statement that sleeps", timeout=90)

    def asleep(self) -> str:
        """How many sessions of this database are in a statement that sleeps."""
        return self.maria.told(
            "SELECT count(*) FROM information_schema.PROCESSLIST"
            f" WHERE db = '{self.database}' AND INFO LIKE '%SLEEP(%' AND id <> CONNECTION_ID()"
        )

    def heads(self) -> list[str]:
        if "alembic_version" not in self.tables():
            return []
        return self.sql("SELECT version_num FROM alembic_version ORDER BY 1").splitlines()

    def tables(self) -> set[str]:
        return set(self.sql("SHOW TABLES").splitlines())


def start_mariadb(cluster: Cluster, image: str) -> MariaDB:
    """Start the server and wait until it answers."""
    container = {
        "name": "mariadb",
        "image": image,
        "args": ["--innodb-buffer-pool-size=32M", "--innodb-log-file-size=16M", "--performance-schema=0"],
        "ports": [{"containerPort": 3306}],
        "startupProbe": asked_until_it_answers(*CLIENT, "--execute=SELECT 1"),
    }
    return MariaDB(served(cluster, container))
