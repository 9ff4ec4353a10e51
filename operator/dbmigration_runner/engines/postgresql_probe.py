"""Does a dump's schema restore here? Tried in a database made for that and dropped again.

Only the schema: it is where restores fail (extensions, rights, functions that look for what is not there yet); that the
rows can be read was seen when the archive was decoded. The probe never touches the dumped database.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import time
from typing import TYPE_CHECKING

from dbmigration_runner.engines.dump import Probe, compared
from dbmigration_runner.engines.messages import short
from dbmigration_runner.engines.postgresql_blockers import MAY_NOT_CREATE
from dbmigration_runner.engines.postgresql_catalog import catalog, dumped, superfluous
from dbmigration_runner.engines.postgresql_fence import run_together
from dbmigration_runner.engines.postgresql_names import quoted, text_literal
from dbmigration_runner.engines.postgresql_surroundings import grants, settings
from dbmigration_runner.errors import RunnerError, StatementRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dbmigration_runner.engines.dump import Snapshot, Surroundings
    from dbmigration_runner.engines.interface import Engine, Session

# With owners and grants, for they are what a role most often may not give back. A subscription, even one that is disabled,
# could not be dropped with its database.
OPTIONS = (
    "--schema-only",
    "--no-comments",
    "--no-tablespaces",
    "--no-subscriptions",
    "--no-security-labels",
)
PREFIX = "dbmigration_probe_"
LEFT_OVER_SECONDS = 24 * 3600
CREATE_SECONDS = 120
INSUFFICIENT_PRIVILEGE = "42501"
WITH_FORCE = 13
ENGLISH = ("C", "POSIX", "en")
RIGHTS = (
    "permission denied",
    "must be owner",
    "must be superuser",
    "must be a superuser",
    "must be member",
    "must be able to",
    "must have ",
)
# Of the way to the server, its resources and whom it lets in, or an extension that one database of a server alone may
# have: nothing of it tells how the dump would restore at another time, or into the database's own name.
OF_TRYING = (
    "connection to server",
    "connection to database",
    "could not connect to server",
    "server closed the connection",
    "terminating connection",
    "SSL connection has been closed",
    "SSL SYSCALL error",
    "SSL error",
    "could not receive data from server",
    "could not send data to server",
    "no connection to the server",
    "connection not open",
    "the database system is",
    "No space left on device",
    "Disk quota exceeded",
    "Input/output error",
    "Read-only file system",
    "out of memory",
    "out of shared memory",
    "could not resize shared memory segment",
    "too many clients",
    "too many connections",
    "remaining connection slots",
    "no pg_hba.conf entry",
    "authentication failed",
    "canceling statement due to",
    "in a read-only transaction",
    "can only create extension in database",
    "pg_restore ended with",
)
# A newer pg_restore sets what an older server does not know; nothing of the database depends on it.
_HARMLESS = ("unrecognized configuration parameter",)
_ERROR = re.compile(r"^pg_restore: error: (?:could not execute query: )?(?:ERROR:\s*)?(.*)$", re.MULTILINE)


def probe(source: Engine, snapshot: Snapshot, restore: Callable[[str], str]) -> Probe:
    """Try it. `restore` fills the named database and gives pg_restore's complaints, "" where it has none.

    Raises RunnerError only where the session with the server is lost or the step is stopped.
    """
    with source.connect(read_only=False, statement_timeout_seconds=CREATE_SECONDS) as session:
        _drop_left_overs(session)
        name = f"{PREFIX}{int(time.time()):x}_{secrets.token_hex(4)}"
        try:
            session.run(f"CREATE DATABASE {quoted(name)} {like(snapshot.surroundings)}")
        except StatementRefused as error:
            remedy = f": {MAY_NOT_CREATE}" if error.code == INSUFFICIENT_PRIVILEGE else ""
            return Probe(
                restorable=None, note=short(f"No database could be made to try a restore in: {error.message}{remedy}.")
            )
        with _dropped(session, name):
            if (other := _pared(source, snapshot, name)) is not None:
                return other
            complaints = restore(name)
            messages = str(session.value("SHOW lc_messages"))
            failed = verdict(complaints, in_english=messages.startswith(ENGLISH) or not messages)
            found = failed or _compared(source, snapshot, name)
            return (found.restorable and _undressed(session, snapshot.surroundings, name)) or found


def verdict(complaints: str, *, in_english: bool) -> Probe | None:
    """What pg_restore's complaints tell; None where nothing failed. Pure.

    Only what is wrong with an object of the schema is a failed restore, which is final; all else is one not tried.
    """
    errors = errors_in(complaints)
    # What else failed may have failed for one of these two: nothing is known of it.
    trying = [error for error in errors if any(words in error for words in OF_TRYING)]
    if trying:
        return Probe(restorable=None, note=short(f"A restore could not be tried to its end: {'; '.join(trying)}"))
    rights = [error for error in errors if any(words in error for words in RIGHTS)]
    if rights:
        return Probe(
            restorable=None, note=short(f"This role may not restore everything, a superuser might: {'; '.join(rights)}")
        )
    if errors and not in_english:
        return Probe(
            None, short(f"A restore of the schema had errors that could not be told apart: {'; '.join(errors)}")
        )
    if errors:
        return Probe(restorable=False, note=short(f"The schema does not restore: {'; '.join(errors)}"))
    if complaints.strip() and not _ERROR.search(complaints):
        return Probe(
            restorable=None, note=short(f"A restore ended without a reason that is known: {complaints.strip()}")
        )
    return None


def _pared(source: Engine, snapshot: Snapshot, name: str) -> Probe | None:
    """Take out of the new database what the dumped one has not. None where that may be done."""
    statements = superfluous(snapshot.catalog)
    if not statements:
        return None
    try:
        with _connected(source, name, read_only=False) as session:
            run_together(session, statements)
    except RunnerError as error:
        return Probe(
            restorable=None, note=short(f"This role could not try a restore, a superuser might: {error.message}")
        )
    return None


def _compared(source: Engine, snapshot: Snapshot, name: str) -> Probe:
    """Is what was restored what was dumped?"""
    try:
        with _connected(source, name) as session:
            found = catalog(session)
    except RunnerError as error:
        return Probe(restorable=None, note=short(f"The restored schema could not be read: {error.message}"))
    return compared(dumped(snapshot.catalog), dumped(found))


def _undressed(session: Session, surroundings: Surroundings | None, name: str) -> Probe | None:
    """May this role give a database what no dump carries? None where it may."""
    if surroundings is None:
        return None
    try:
        run_together(session, (*settings(name, surroundings), *grants(name, surroundings)))
    except StatementRefused as error:
        return Probe(
            restorable=None,
            note=short(
                f"This role may not give a restored database its settings and grants, a superuser might: {error.message}"
            ),
        )
    return None


def errors_in(complaints: str) -> list[str]:
    """Each error once, without what depends on nothing of the database."""
    found = dict.fromkeys(match.strip() for match in _ERROR.findall(complaints))
    return [error for error in found if not any(words in error for words in _HARMLESS)]


def _connected(source: Engine, name: str, *, read_only: bool = True) -> Session:
    from dbmigration_runner.engines.postgresql import PostgreSQL

    return PostgreSQL(source.url.set(database=name), "dbmigration/probe").connect(read_only=read_only)


def like(surroundings: Surroundings | None) -> str:
    """The clauses that make a database of the same encoding and locale; text sorts by them, and so do indexes."""
    if surroundings is None:
        return "TEMPLATE template0"
    clauses = {
        "TEMPLATE": "template0",
        "ENCODING": text_literal(surroundings.encoding),
        "LC_COLLATE": text_literal(surroundings.collate),
        "LC_CTYPE": text_literal(surroundings.ctype),
    }
    if surroundings.locale_provider != "libc" and surroundings.locale is not None:
        clauses["LOCALE_PROVIDER"] = surroundings.locale_provider
        clauses[f"{surroundings.locale_provider.upper()}_LOCALE"] = text_literal(surroundings.locale)
        if surroundings.collation_rules is not None:
            clauses["ICU_RULES"] = text_literal(surroundings.collation_rules)
    return " ".join(f"{name} = {value}" for name, value in clauses.items())


@contextlib.contextmanager
def _dropped(session: Session, name: str) -> Iterator[None]:
    try:
        yield
    finally:
        with contextlib.suppress(RunnerError):  # the next backup drops what this one could not
            drop(session, name)


def drop(session: Session, name: str) -> None:
    """Remove a database of ours, whoever is in it."""
    major = int(session.value("SHOW server_version_num")) // 10_000
    session.run(f"DROP DATABASE IF EXISTS {quoted(name)}" + (" WITH (FORCE)" if major >= WITH_FORCE else ""))


def _drop_left_overs(session: Session) -> None:
    """Probes of ours that a killed backup left; the name says when it was made."""
    names = session.rows(
        "SELECT d.datname::text FROM pg_catalog.pg_database d WHERE pg_catalog.starts_with(d.datname, :prefix)"
        " AND pg_catalog.pg_has_role(d.datdba, 'USAGE')",
        prefix=PREFIX,
    )
    for (name,) in names:
        made = re.fullmatch(PREFIX + r"([0-9a-f]{8})_[0-9a-f]{8}", name)
        if made is not None and int(made[1], 16) < time.time() - LEFT_OVER_SECONDS:
            with contextlib.suppress(StatementRefused):
                drop(session, name)
