"""A PostgreSQL database as one custom-format archive: by the server's own pg_dump, of a snapshot that we hold.

The archive is compressed with zstd, level 1: by pg_dump where it can, else by us around an uncompressed archive. That is
six times as fast as pg_dump's default and no larger. Never plain SQL: cut in half, it restores without an error.
"""

from __future__ import annotations

import codecs
import contextlib
import os
import subprocess
import tempfile
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import IO, TYPE_CHECKING

from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.engines import postgresql_probe, postgresql_surroundings, writes
from dbmigration_runner.engines.dump import Decoded, Snapshot, Stored
from dbmigration_runner.engines.dump_streams import CHUNK, POLL_SECONDS, StoredFile, store, widen
from dbmigration_runner.engines.messages import short
from dbmigration_runner.engines.postgresql_catalog import catalog
from dbmigration_runner.engines.postgresql_copy import CopyCounter, qualified
from dbmigration_runner.engines.postgresql_left_out import left_out
from dbmigration_runner.engines.postgresql_names import DUMP_NAME, advisory_lock
from dbmigration_runner.engines.postgresql_tools import Tools, asks_for_tls, choose, installed, libpq, password_file
from dbmigration_runner.errors import Refusal, RunnerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from dbmigration_runner.engines.dump import Probe
    from dbmigration_runner.engines.interface import Engine, Lock, Session

# A dump waits this long for a table that somebody holds; it asks for ACCESS SHARE only, so nobody waits behind it but DDL.
LOCK_WAIT_MILLISECONDS = 60_000
ENDING_SECONDS = 5
BY_PIPE = ".dump.zst"  # compressed by us; a `.dump` is compressed inside
COMPLAINTS_BYTES = 65536
_WORDS = (
    ("server version mismatch", RunnerReason.CLIENT_TOOLS_TOO_OLD),
    ("permission denied", RunnerReason.INSUFFICIENT_PRIVILEGE),
    ("row-level security", RunnerReason.INSUFFICIENT_PRIVILEGE),
    ("password authentication failed", RunnerReason.AUTHENTICATION_FAILED),
    ("server closed the connection", RunnerReason.CONNECTION_LOST),
    ("terminating connection", RunnerReason.CONNECTION_LOST),
    ("connection to server", RunnerReason.DATABASE_UNREACHABLE),
)
# The last column: do its rows stand under the name of a table above it? A hash of an enum is of one server only, so pg_dump
# has a restore find such a partition anew.
_TABLES = """
SELECT n.nspname, c.relname, c.relpages + coalesce(t.relpages, 0), c.relispartition AND EXISTS (
  WITH RECURSIVE above (oid) AS (
    SELECT c.oid UNION SELECT i.inhparent FROM above a JOIN pg_catalog.pg_inherits i ON i.inhrelid = a.oid)
  SELECT FROM above a JOIN pg_catalog.pg_partitioned_table p ON p.partrelid = a.oid
  JOIN pg_catalog.pg_opclass o ON o.oid = ANY (p.partclass)
  WHERE p.partstrat = 'h' AND o.opcintype = 'pg_catalog.anyenum'::pg_catalog.regtype)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_class t ON t.oid = c.reltoastrelid
WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND pg_catalog.left(n.nspname, 3) <> 'pg_'
  AND n.nspname <> 'information_schema'
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
                  AND d.objid = c.oid AND d.deptype = 'e')
"""
_PAGE_BYTES = 8192
_SMALLEST_SHARE = 50  # zstd 1 makes a fiftieth of the most repetitive rows that we have seen


def dump_for(engine: Engine, admin: Engine | None, lock: Lock) -> PostgreSQLDump:
    """See engines.dump.dump_for. With an admin URL the dump goes by it too: it leads past a pooler."""
    source = _beside(engine, admin) if admin is not None else engine
    environment = libpq(source.url, DUMP_NAME)
    with source.connect() as session:
        if source is not engine and not session.rows(advisory_lock(int(lock.proof["key"]))):
            raise Refusal(
                RunnerReason.WRONG_DATABASE,
                "adminUrlFrom leads to another server than urlFrom: the lock that is held by the one is not seen by the other.",
            )
        server = int(session.value("SHOW server_version_num")) // 10_000
    tools = choose(installed(), server, encrypted=asks_for_tls(environment))
    return PostgreSQLDump(source, tools, environment)


def _beside(engine: Engine, admin: Engine) -> Engine:
    """The admin's access to the database that is to be dumped: his own URL may name another one to work from."""
    if admin.url.database == engine.url.database:
        return admin
    from dbmigration_runner.engines.postgresql import PostgreSQL

    return PostgreSQL(admin.url.set(database=engine.url.database), DUMP_NAME)


class PostgreSQLDump:
    """See dump.Dump."""

    engine = "postgresql"

    def __init__(self, source: Engine, tools: Tools, environment: dict[str, str]) -> None:
        self._source = source
        self._tools = tools
        self._environment = environment
        self._snapshot_id = ""
        self._session: Session | None = None
        self._codec = "utf-8"
        self.suffix = ".dump" if tools.has_zstd else BY_PIPE
        self.tool = f"pg_dump {tools.version}, zstd {'built in' if tools.has_zstd else 'by pipe'}"

    @contextlib.contextmanager
    def snapshot(self, version_table: str) -> Iterator[Snapshot]:
        """See dump.Dump."""
        with self._source.connect(statement_timeout_seconds=60) as session:
            # Before the transaction: a question that a managed service refuses would end it, and its snapshot.
            version = self._source.facts(session).server_version
            marks = writes.marks(self.engine, session)
            session.run("SET idle_in_transaction_session_timeout = 0")
            # Since 17; it would end the snapshot before pg_dump, which takes its own away, has taken it over.
            session.rows(
                "SELECT pg_catalog.set_config(name, '0', false) FROM pg_catalog.pg_settings WHERE name = 'transaction_timeout'"
            )
            session.run("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            self._session = session
            self._snapshot_id = str(session.value("SELECT pg_catalog.pg_export_snapshot()"))
            tables = session.rows(_TABLES)
            surroundings = postgresql_surroundings.read(session)
            self._codec = codec_of(surroundings.encoding)
            size = sum(int(pages) for _, _, pages, _ in tables) * _PAGE_BYTES
            yield Snapshot(
                heads=self._source.heads(session, version_table),
                catalog=catalog(session),
                tables=frozenset(
                    qualified(schema, table)
                    for schema, table, _, as_another in tables
                    if not as_another and _has(self._codec, schema + table)
                ),
                data_bytes=size,
                least_bytes=size // _SMALLEST_SHARE,
                server_version=version,
                surroundings=surroundings,
                marks=marks,
                left_out=left_out(session),
            )
            self._release()

    def write(self, path: Path, alive: Callable[[], None]) -> Stored:
        """See dump.Dump."""
        compress = not self._tools.has_zstd
        arguments = [
            self._tools.pg_dump,
            "--format=custom",
            "--compress=0" if compress else "--compress=zstd:1",
            "--no-password",
            f"--lock-wait-timeout={LOCK_WAIT_MILLISECONDS}",
            f"--snapshot={self._snapshot_id}",
        ]
        with self._program(arguments) as (process, complaints):
            output = _pipe(process.stdout).fileno()
            widen(output)
            # pg_dump has taken the snapshot over before its first byte; held longer it would only hold back vacuum.
            stored = store(output, path, compress=compress, alive=alive, begun=self._release)
            code = process.wait()
            if code != 0:
                raise _failed(complaints(), code)
        return stored

    def decode(self, path: Path, alive: Callable[[], None], read: Callable[[int], None] = lambda _: None) -> Decoded:
        """See dump.Dump. Only the rows: all the rest of an archive stands in its head, which is read for them too."""
        counter = CopyCounter(self._codec)
        archive, fault = self.restore(path, ["--data-only", "--file=-"], alive, counter.feed, read, to_its_end=True)
        if not fault and not counter.is_complete:
            fault = "the rows of the last table do not end"
        return Decoded(
            archive.size_bytes, archive.sha256, counter.size_bytes, counter.rows, short(fault), sizes=counter.sizes
        )

    def probe(self, path: Path, snapshot: Snapshot, alive: Callable[[], None]) -> Probe:
        """See dump.Dump."""

        def restore(database: str) -> str:
            _, complaints = self.restore(path, [*postgresql_probe.OPTIONS, f"--dbname={database}"], alive, _ignored)
            return complaints

        return postgresql_probe.probe(self._source, snapshot, restore)

    def restore(
        self,
        path: Path,
        options: list[str],
        alive: Callable[[], None],
        text: Callable[[bytes], None],
        read: Callable[[int], None] = lambda _: None,
        *,
        to_its_end: bool = False,
    ) -> tuple[StoredFile, str]:
        """Give the file to pg_restore. What was read from the disk, and pg_restore's complaints where it failed.

        The file is hashed to its end in any case; `to_its_end`: also decompressed, where pg_restore has enough before it.
        """
        archive = self.stored(path)
        with self.pg_restore(options, stdin=subprocess.PIPE) as (process, complaints):
            with archive, ThreadPoolExecutor(2) as threads:
                flows = {
                    threads.submit(_feed, archive, process, to_its_end=to_its_end),
                    threads.submit(_drain, process, text),
                }
                try:
                    while wait(flows, POLL_SECONDS, FIRST_EXCEPTION).not_done:
                        alive()
                        read(archive.size_bytes)
                except BaseException:
                    process.kill()  # its pipes end, and with the file so do the threads
                    archive.stop()
                    raise
                faults = [flow.result() for flow in flows]
                read(archive.size_bytes)
            process.wait()
            faults.append(self.faults(process, complaints))
        return archive, "".join(faults)

    def stored(self, path: Path) -> StoredFile:
        """A dump of this class, to be read."""
        return StoredFile(path, compressed=BY_PIPE in path.name)

    def pg_restore(
        self, options: list[str], *, stdin: int
    ) -> AbstractContextManager[tuple[subprocess.Popen[bytes], Callable[[], str]]]:
        """The program on its way, ended whatever happens; and how to ask for its complaints."""
        return self._program([self._tools.pg_restore, "--no-password", *options], stdin=stdin)

    @staticmethod
    def faults(process: subprocess.Popen[bytes], complaints: Callable[[], str]) -> str:
        """What a pg_restore that has ended complains of, "" where it did what it should."""
        if process.returncode == 0:
            return ""
        # Killed it has no words of its own, and what it did not do must not pass for done.
        return complaints() or f"pg_restore: error: pg_restore ended with {process.returncode}\n"

    def _release(self) -> None:
        """Give the snapshot back."""
        if self._session is not None:
            self._session.run("ROLLBACK")
            self._session = None

    @contextlib.contextmanager
    def _program(
        self, arguments: list[str], *, stdin: int = subprocess.DEVNULL
    ) -> Iterator[tuple[subprocess.Popen[bytes], Callable[[], str]]]:
        """A program of PostgreSQL's with our connection, ended whatever happens; and how to ask for its complaints."""
        with password_file(self._source.url) as password, tempfile.TemporaryFile() as complaints:
            process = subprocess.Popen(
                arguments, env={**self._environment, **password}, stdin=stdin, stdout=subprocess.PIPE, stderr=complaints
            )

            def said() -> str:
                complaints.seek(0)
                return complaints.read(COMPLAINTS_BYTES).decode(errors="replace")

            try:
                yield process, said
            finally:
                _end(process)


def _feed(archive: StoredFile, process: subprocess.Popen[bytes], *, to_its_end: bool) -> str:
    """Give an archive to a program, and read on to the end of the file when that has had enough; what is wrong with it."""
    # Also on closing: the last piece is given then.
    with contextlib.suppress(BrokenPipeError), contextlib.closing(_pipe(process.stdin)) as program:
        widen(program.fileno())
        try:
            for chunk in archive.chunks():
                try:
                    program.write(chunk)
                except BrokenPipeError:  # it knows already what it wants to know
                    if not to_its_end:
                        archive.exhaust()
        except ValueError as error:
            return f"it cannot be decompressed: {error}\n"
    return ""


def _drain(process: subprocess.Popen[bytes], text: Callable[[bytes], None]) -> str:
    output = _pipe(process.stdout)
    widen(output.fileno())
    while chunk := os.read(output.fileno(), CHUNK):
        text(chunk)
    return ""


def _pipe(end: IO[bytes] | None) -> IO[bytes]:
    assert end is not None  # noqa: S101  # asked for when the program was started
    return end


def _ignored(text: bytes) -> None:
    del text


def _end(process: subprocess.Popen[bytes]) -> None:
    """pg_dump takes its statement back from the server when it is asked to end; what does not listen is killed."""
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()


def _failed(complaints: str, code: int) -> RunnerError:
    """pg_dump's words as ours; its messages hold names and never rows. Killed it has none."""
    if code < 0 and not complaints.strip():
        return RunnerError(
            RunnerReason.BACKUP_FAILED,
            f"pg_dump was killed by signal {-code}; where that is 9, its memory ran out: raise podTemplate.resources.",
        )
    reason = next((reason for words, reason in _WORDS if words in complaints), RunnerReason.BACKUP_FAILED)
    lines = [line.removeprefix("pg_dump: ") for line in complaints.splitlines() if line.startswith("pg_dump: ")]
    told = "; ".join(line for line in lines if not line.startswith(("hint", "warning")))
    return RunnerError(
        reason, short(f"pg_dump could not read the database: {told or complaints.strip() or 'it gave no reason'}")
    )


def codec_of(encoding: str) -> str:
    """Python's name for a server encoding; ASCII where it has none, and names beyond it cannot be compared."""
    for name in (encoding, encoding.replace("WIN", "cp")):
        with contextlib.suppress(LookupError):
            return codecs.lookup(name).name
    return "ascii"


def _has(codec: str, name: str) -> bool:
    """Can this name be read in a dump?"""
    try:
        name.encode(codec)
    except UnicodeEncodeError:
        return False
    return True
