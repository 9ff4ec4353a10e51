"""What must hold after the last revision: asked of the database by the manifest, in sessions that cannot write.

Our own questions pin search_path; the user's queries run with the user's own. Messages say what failed, never a value.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from dbmigration_runner import handover
from dbmigration_runner.contract.result import CheckReport
from dbmigration_runner.errors import RunnerError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dbmigration_runner.contract.task import QueryCheck
    from dbmigration_runner.step import Step

QUERY_SECONDS = 60
COMMAND_SECONDS = 300
POLL_SECONDS = 0.25


def check(step: Step) -> tuple[CheckReport, ...]:
    """Every check that the task asks for, also after one failed; what nobody asked for and is still wrong is warned of."""
    if not step.task.after.integrity:
        step.warnings.extend(_unfinished(step))
    return tuple(_checks(step))


def _unfinished(step: Step) -> tuple[str, ...]:
    try:
        with step.engine.connect(statement_timeout_seconds=QUERY_SECONDS) as session:
            return step.engine.unfinished(session)
    except RunnerError as error:
        return (f"What the migration left unfinished could not be seen: {error.message}",)


def _checks(step: Step) -> Iterator[CheckReport]:
    asked = step.task.after
    if asked.tables or asked.columns or asked.integrity:
        yield from _of_schema(step)
    for query in asked.queries:
        step.check()
        yield _query(step, query)
    if asked.command:
        yield _command(step)


def _of_schema(step: Step) -> Iterator[CheckReport]:
    asked, engine = step.task.after, step.engine
    try:
        with engine.connect(statement_timeout_seconds=QUERY_SECONDS) as session:
            for table in asked.tables:
                there = engine.has_table(session, table)
                yield CheckReport(f"table {table}", there, "" if there else "It does not exist.")
            for column in asked.columns:
                there = engine.has_column(session, column)
                yield CheckReport(f"column {column}", there, "" if there else "It does not exist.")
            if asked.integrity:
                yield from engine.integrity(session)
    except RunnerError as error:
        yield CheckReport("schema", passed=False, message=error.message)


def _query(step: Step, query: QueryCheck) -> CheckReport:
    name = f"query {query.name}"
    try:
        with step.engine.connect(pinned=False, statement_timeout_seconds=QUERY_SECONDS) as session:
            equal = _text(session.first_value(query.sql)) == query.equals
    except RunnerError as error:
        return CheckReport(name, passed=False, message=error.message)
    return CheckReport(name, equal, "" if equal else "The first value is not the one that was asked for.")


def _text(value: object) -> str:
    """A value as a manifest would write it."""
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _command(step: Step) -> CheckReport:
    """In the application's folder, with the URL handed over as env.py gets it; an argument list, never a shell."""
    migrations = step.task.migrations
    environment = dict(os.environ)
    if migrations is not None:
        environment.update(handover.environment(step.engine.url, migrations.url_to))
    try:
        process = subprocess.Popen(
            step.task.after.command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        return CheckReport("command", passed=False, message=f"It cannot be started: {error.strerror}.")
    output = _output(step, process)
    if output is None:
        return CheckReport("command", passed=False, message=f"It did not end within {COMMAND_SECONDS} s.")
    for line in output.decode(errors="replace").splitlines():
        step.log.pass_on(line, sys.stdout)
    code = process.returncode
    return CheckReport("command", code == 0, "" if code == 0 else f"It ended with {code}.")


def _output(step: Step, process: subprocess.Popen[bytes]) -> bytes | None:
    """What it wrote, None where it did not end in time. Raises Stopped; nothing of it runs on in either case."""
    until = time.monotonic() + COMMAND_SECONDS
    try:
        while time.monotonic() < until:
            step.check()
            with contextlib.suppress(subprocess.TimeoutExpired):
                return process.communicate(timeout=POLL_SECONDS)[0]
        return None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
