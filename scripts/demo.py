"""Two good releases of a shop and a broken one that takes itself back, on a real PostgreSQL, without a cluster; `make demo` runs it.

It tells what happens, and at the end asks the server itself whether it was true. Ends with 0 only when everything was.
Nothing stays behind: server, databases and state live in temporary folders.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote, quote_plus

import zstandard
from psycopg import sql

from tests.integration.postgresql_server import CANARY, Database, Server, running_server

ROOT = Path(__file__).resolve().parent.parent
SHOP = ROOT / "examples" / "shop"
MANIFEST = SHOP / "manifests" / "migration.yaml"
TABLES = ("customers", "orders", "order_lines")
COUNTS = "SELECT " + ", ".join(f"(SELECT count(*) FROM {table})" for table in TABLES)  # noqa: S608  # our own names
SUCCEEDED, ROLLED_BACK = 0, 8


class NotAsToldError(Exception):
    """Something did not happen as it was announced."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Where it plays."""

    database: Database
    folder: Path

    def run(self, release: str, *options: str, expected: int = SUCCEEDED) -> None:
        """Call the program, as anybody would, and insist on its exit code."""
        command = [*self._what("run", release), *options]
        if "--plan-only" not in options:
            command += ["--backups", str(self.folder / "backups")]
        _say(f"\n$ {_shown(command)}")
        code = _call([sys.executable, "-m", *command], self.environment())
        if code != expected:
            raise NotAsToldError(f"the exit code is {code}, not {expected}")

    def status(self) -> dict[str, Any]:
        """What the program remembers."""
        command = [sys.executable, "-m", *self._what("status", "1.2"), "--json"]
        text = subprocess.run(command, env=self.environment(), cwd=ROOT, check=True, capture_output=True).stdout
        status: dict[str, Any] = json.loads(text)["status"]
        return status

    def environment(self) -> dict[str, str]:
        """Where the database is; the role that owns it may not create others, which a restore probe has to."""
        server = self.database.server
        admin = server.url(self.database.name, user="postgres")
        return {
            **os.environ,
            "PYTHONPATH": str(ROOT / "operator"),
            "PATH": f"{server.binaries}:{os.environ['PATH']}",
            "DBMIGRATION_URL": self.database.url,
            "DBMIGRATION_ADMIN_URL": admin,
            "DATABASE_URL": self.database.url,
            "XDG_STATE_HOME": str(self.folder / "state"),
        }

    def _what(self, command: str, release: str) -> list[str]:
        return [
            *("dbmigration", command, "--filename", str(MANIFEST.relative_to(ROOT))),
            *("--project", str(SHOP.relative_to(ROOT)), "--config", f"alembic-{release}.ini"),
        ]


def main() -> int:
    """Play it."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        _say("A PostgreSQL of the demo's own is started …")
        with running_server() as server, tempfile.TemporaryDirectory(prefix="dbmigration-demo-") as folder:
            _play(server, Path(folder))
    except NotAsToldError as error:
        _say(f"\nThe demo did not go as told: {error}.")
        return 1
    except KeyboardInterrupt:
        _say("\nInterrupted; server and files are gone.")
        return 130
    return 0


def _play(server: Server, folder: Path) -> None:
    with server.superuser() as connection:
        connection.execute("CREATE DATABASE shop OWNER shop")
        version = connection.info.parameter_status("server_version")
    stage = Stage(Database(server, "shop"), folder)
    database = stage.database
    _say(f"Backups, reports and logs are written to {folder}. Server and files last as long as the demo.")
    _title(f"A shop on PostgreSQL {version}, release 1.0: three revisions on an empty database")
    stage.run("1.0")

    _title("Customers come, and order: some hundred thousand rows are written, which takes some seconds")
    subprocess.run([sys.executable, SHOP / "seed.py"], env=stage.environment(), check=True)
    before = database.ask(COUNTS)

    _title("Release 1.1, looked at first: nothing is changed, no run is kept")
    stage.run("1.1", "--plan-only")
    _title("Release 1.1: planned, backed up, migrated, verified")
    stage.run("1.1")

    _title("Release 1.2: its second revision fails on every database; what the first one did is undone")
    stage.run("1.2", "--on-failure", "Downgrade", expected=ROLLED_BACK)

    _title("Was it true? The server is asked, past the program")
    for claim in _claims(stage, before):
        _say(f"  yes: {claim}")
    _say(
        "\nEverything went as told. The demo's server and files are removed; the paths above lead nowhere from now on."
    )


def _claims(stage: Stage, before: list[tuple[Any, ...]]) -> Iterator[str]:
    """What was said, each proved before it is yielded."""
    database, status = stage.database, stage.status()
    _insist(database.ask("SELECT version_num FROM alembic_version") == [("11b",)], "the database is not at 11b")
    _insist(status["currentRevisions"] == ["11b"], "the status does not say 11b")
    _insist(status["run"]["undoneRevisions"] == ["12a"], "the status does not say that 12a was undone")
    yield "the database is back at 11b, the head of release 1.1, and the status says so"

    _insist(not _columns(database, "orders", "delivery_note"), "12a's column is still there")
    _insist(_columns(database, "customers", "phone") == [("YES",)], "12b left something behind")
    _insist(status["run"].get("verifiedBy") == "Schema", "the schema was not compared")
    yield "nothing of 12a and 12b is left: the schema is the one before, item by item"

    _insist(database.ask(COUNTS) == before, "rows were lost or added")
    yield f"every row is still there: {', '.join(f'{count} {table}' for count, table in zip(before[0], TABLES, strict=True))}"

    index = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'ix_orders_status_placed_at'::regclass"
    _insist(database.ask(index) == [(True,)], "the index of 1.1 is not valid")
    yield "the index of 1.1, built while orders could come in, is valid"

    for backup in status["backups"]:
        digest = hashlib.sha256(Path(backup["location"]).read_bytes()).hexdigest()
        _insist(digest == backup["sha256"], f"{backup['name']} is not what was written")
    yield f"{len(status['backups'])} backups are on the disk with the SHA-256 that the reports name"

    with _restored(database.server, Path(status["backups"][0]["location"])) as copy:
        _insist(copy.ask("SELECT version_num FROM alembic_version") == [("11b",)], "the backup is not of 11b")
        _insist(copy.ask(COUNTS) == before, "the backup lacks rows")
    yield "the backup from before 1.2 restores: a database at 11b with every row"

    forms = (CANARY, quote(CANARY, safe=" +"), quote_plus(CANARY), json.dumps(CANARY)[1:-1])
    texts = (path.read_bytes() for path in stage.folder.rglob("*") if path.is_file())
    _insist(not any(form.encode() in text for text in texts for form in forms), "the password was written to a file")
    yield "the password stands in none of the files that were written"


@contextmanager
def _restored(server: Server, dump: Path) -> Iterator[Database]:
    """The backup in a database of its own, by PostgreSQL's own means."""
    name = "shop_restored"
    with server.superuser() as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    plain = dump.with_suffix(".plain")
    with dump.open("rb") as packed, plain.open("wb") as target:
        zstandard.ZstdDecompressor().copy_stream(packed, target)
    command = [server.binaries / "pg_restore", "--exit-on-error", "--host=127.0.0.1", f"--port={server.port}"]
    command += ["--username=postgres", f"--dbname={name}", str(plain)]
    subprocess.run(command, check=True, env={**os.environ, "PGPASSWORD": CANARY})
    plain.unlink()
    yield Database(server, name)


def _call(command: list[str], environment: dict[str, str]) -> int:
    """Run a program to its end; Ctrl-C reaches it through us, once, and is waited for: it stops its step in good order."""
    process = subprocess.Popen(command, env=environment, cwd=ROOT, stdin=subprocess.DEVNULL, process_group=0)
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.send_signal(signal.SIGINT)
        process.wait()
        raise


def _columns(database: Database, table: str, column: str) -> list[tuple[Any, ...]]:
    where = f"table_name = '{table}' AND column_name = '{column}'"
    return database.ask(f"SELECT is_nullable FROM information_schema.columns WHERE {where}")  # noqa: S608  # our own names


def _insist(truth: bool, otherwise: str) -> None:  # noqa: FBT001  # it is what the function is about
    if not truth:
        raise NotAsToldError(otherwise)


def _title(text: str) -> None:
    _say(f"\n\033[1m== {text}\033[0m" if sys.stdout.isatty() else f"\n== {text}")


def _shown(command: list[str]) -> str:
    return shlex.join(command).replace(tempfile.gettempdir(), "$TMPDIR")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
