"""Does a dump's schema restore here? Tried in a database made for that and dropped again.

Only the schema: it is where restores fail (rights of definers, functions that look for what is not there); that the rows can
be read was seen when the archive was decoded. Events are left out, for the server would run them. The probe never touches
the dumped database.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import subprocess
import tempfile
import time
from typing import TYPE_CHECKING

from dbmigration_runner.engines import mysql_archive as archive
from dbmigration_runner.engines.dump import Probe, compared
from dbmigration_runner.engines.dump_streams import StoredFile
from dbmigration_runner.engines.messages import short
from dbmigration_runner.engines.mysql_catalog import catalog, without_events
from dbmigration_runner.engines.mysql_names import kept_name, quoted
from dbmigration_runner.engines.mysql_patience import PATIENCE_SECONDS, briefly, retried
from dbmigration_runner.engines.mysql_tools import environment, option_file
from dbmigration_runner.errors import RunnerError, StatementRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import IO

    from dbmigration_runner.engines.dump import Snapshot
    from dbmigration_runner.engines.interface import Engine, Session
    from dbmigration_runner.engines.mysql_tools import Tools

PREFIX = "dbmigration_probe_"
RESTORING = "dbmigration_restore_"  # how the databases are called that a restore fills
LEFT_OVER_SECONDS = 24 * 3600
CREATE_SECONDS = 120
COMPLAINTS_BYTES = 65536
_NOT_ALLOWED = ("1044", "1227")
RIGHTS = ("1044", "1045", "1142", "1143", "1227", "1370", "1419")
# Of the way to the server, its resources and whom it lets in: nothing of it tells how the dump would restore at another time.
OF_TRYING = (
    *("1021", "1040", "1041", "1053", "1114", "1203", "1205", "1213", "1226", "1290", "1317", "1836", "1927", "1969"),
    *("2002", "2003", "2005", "2006", "2013", "2026", "2055", "4031"),
)
ERROR = re.compile(r"^ERROR (\d{4,5})(?: \(\w+\))?(?: at line \d+)?: (.*)$", re.MULTILINE)
_PARTS = (archive.TABLES, archive.KEYS, archive.PROGRAMS)


def probe(source: Engine, tools: Tools, path: Path, snapshot: Snapshot, alive: Callable[[], None]) -> Probe:
    """Try it.

    Raises RunnerError only where the session with the server is lost or the step is stopped.
    """
    with source.connect(read_only=False, statement_timeout_seconds=CREATE_SECONDS) as session:
        with briefly(session):
            _drop_left_overs(session, source.url.database or "")
        name = f"{PREFIX}{int(time.time()):x}_{secrets.token_hex(4)}"
        try:
            retried(session, lambda: session.run(f"CREATE DATABASE {quoted(name)} {_like(snapshot)}"), alive)
        except StatementRefused as error:
            return _not_made("No database could be made to try a restore in", source, error)
        with _dropped(session, name):
            complaints = _restore(source, tools, path, name, alive)
            found = verdict(complaints) or _compared(source, snapshot, name)
            return (_other_names(session, source, name) if found.restorable else None) or found


def _not_made(what: str, source: Engine, error: StatementRefused) -> Probe:
    remedy = ""
    if error.code in _NOT_ALLOWED:
        patterns = " and ".join(
            quoted(begins.replace("_", r"\_") + "%") + ".*" for begins in ("dbmigration_", f"{source.url.database}_")
        )
        remedy = f": GRANT ALL PRIVILEGES ON {patterns} to the role, or set adminUrlFrom"
    return Probe(restorable=None, note=short(f"{what}: {error.message}{remedy}."))


def _other_names(session: Session, source: Engine, name: str) -> Probe | None:
    """May the role make the two databases of a restore, which have other names than the probe's?"""
    for other in _others(source.url.database or "", name.removeprefix(PREFIX)):
        try:
            session.run(f"CREATE DATABASE {quoted(other)}")
            session.run(f"DROP DATABASE {quoted(other)}")
        except StatementRefused as error:
            return _not_made(f"A restore could not make the database {other}", source, error)
    return None


def _others(live: str, made: str) -> tuple[str, str]:
    return kept_name(live, f"probe-{made}"), f"{RESTORING}probe_{made}"


def verdict(complaints: str) -> Probe | None:
    """What the client's complaints tell; None where nothing failed. Pure.

    Only what is wrong with an object of the schema is a failed restore, which is final; all else is one not tried.
    """
    errors = ERROR.findall(complaints)
    told = "; ".join(f"{number} {words.strip()}" for number, words in errors)
    if any(number in OF_TRYING for number, _ in errors):
        return Probe(restorable=None, note=short(f"A restore could not be tried to its end: {told}"))
    if any(number in RIGHTS for number, _ in errors):
        return Probe(
            restorable=None,
            note=short(
                "This role may not restore everything, an administrator by adminUrlFrom might (of another's definer, SET USER "
                f"is needed): {told}"
            ),
        )
    if errors:
        return Probe(restorable=False, note=short(f"The schema does not restore: {told}"))
    if complaints.strip():
        return Probe(
            restorable=None, note=short(f"A restore ended without a reason that is known: {complaints.strip()}")
        )
    return None


def _restore(source: Engine, tools: Tools, path: Path, database: str, alive: Callable[[], None]) -> str:
    """Give the schema's parts to the client; its complaints, "" where it has none."""
    with option_file(source.url) as options, tempfile.TemporaryFile() as complaints:
        process = subprocess.Popen(
            [tools.client, f"--defaults-file={options}", "--batch", "--default-character-set=utf8mb4", "--", database],
            env=environment(), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=complaints,
        )  # fmt: skip
        assert process.stdin is not None  # noqa: S101  # asked for above
        try:
            with contextlib.closing(process.stdin) as client, contextlib.suppress(BrokenPipeError):
                client.write(b"SET SESSION lock_wait_timeout = %d;\n" % PATIENCE_SECONDS)
                for text in _schema(path, alive):
                    client.write(text)
            while True:
                alive()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(0.05)
                    break
        except BaseException:
            process.kill()
            raise
        finally:
            with contextlib.suppress(OSError):
                process.stdin.close()
            process.wait()
        return last_words(complaints) or (f"mariadb ended with {process.returncode}" if process.returncode else "")


def last_words(complaints: IO[bytes]) -> str:
    """What a client said at last. Before an error it may print its statement: a megabyte, and rows in it."""
    complaints.seek(max(0, complaints.seek(0, os.SEEK_END) - COMPLAINTS_BYTES))
    return complaints.read().decode(errors="replace")


def _schema(path: Path, alive: Callable[[], None]) -> Iterator[bytes]:
    with StoredFile(path) as file:
        for name, content in archive.ArchiveReader(file).members():
            alive()
            if name in _PARTS:
                pieces: list[bytes] = []
                archive.decompressed(content, pieces.append)
                yield from pieces


def _compared(source: Engine, snapshot: Snapshot, name: str) -> Probe:
    """Is what was restored what was dumped?"""
    from dbmigration_runner.engines.mysql import MySQL

    try:
        with MySQL(source.url.set(database=name), "dbmigration/probe").connect() as session:
            found = catalog(session)
    except RunnerError as error:
        return Probe(restorable=None, note=short(f"The restored schema could not be read: {error.message}"))
    return compared(without_events(snapshot.catalog), without_events(found))


def _like(snapshot: Snapshot) -> str:
    there = snapshot.surroundings
    return f"CHARACTER SET {there.encoding} COLLATE {there.collate}" if there is not None else ""


@contextlib.contextmanager
def _dropped(session: Session, name: str) -> Iterator[None]:
    try:
        yield
    finally:
        with contextlib.suppress(RunnerError):  # the next backup drops what this one could not
            session.run(f"DROP DATABASE IF EXISTS {quoted(name)}")


def _drop_left_overs(session: Session, live: str) -> None:
    """What a killed backup of ours left of a probe; the name says when it was made."""
    made = f"{0:08x}_{0:08x}"
    begins = (PREFIX, *(other.removesuffix(made) for other in _others(live, made)))
    left = re.compile(f"(?:{'|'.join(map(re.escape, begins))})([0-9a-f]{{8}})_[0-9a-f]{{8}}")
    for (name,) in session.rows("SELECT SCHEMA_NAME FROM information_schema.SCHEMATA"):
        found = left.fullmatch(str(name))
        if found is not None and int(found[1], 16) < time.time() - LEFT_OVER_SECONDS:
            with contextlib.suppress(StatementRefused):
                session.run(f"DROP DATABASE IF EXISTS {quoted(str(name))}")
