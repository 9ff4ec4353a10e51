"""What an exception out of the application's code means: a reason, a sentence with file and line, a traceback without data.

An exception's own text may hold parameters and rows; what leaves here is class, place and the database's primary message.
"""

from __future__ import annotations

import os
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.engines.messages import chain, describe, short, sql_error
from dbmigration_runner.errors import Refusal, RunnerError
from dbmigration_runner.events import Failed

if TYPE_CHECKING:
    from alembic.script import ScriptDirectory

TRACEBACK_LINES = 60


def load(script: ScriptDirectory) -> None:
    """Load every revision file, so that a broken one is told by its place. Raises Refusal (ScriptError)."""
    try:
        tuple(script.walk_revisions())
    except RunnerError:
        raise
    except KeyError as error:
        raise Refusal(
            RunnerReason.SCRIPT_ERROR, f"A revision names {error} as the one before it, but there is no such revision."
        ) from error
    except (Exception, SystemExit) as error:  # a revision file may do anything at import
        raise Refusal(RunnerReason.SCRIPT_ERROR, f"A revision cannot be loaded: {placed(error)}") from error


def failure_of(error: BaseException, *, revision: str | None, write_refused: bool, waited_for: str) -> Failed:
    """The event for what ended env.py. `revision` is the one that was running, None before the first."""
    reason, message = _meaning(error, revision, write_refused=write_refused)
    found = sql_error(error)
    return Failed(
        reason=reason,
        message=message,
        failed_revision=revision,
        lock_timeout=found is not None and found.is_lock_timeout,
        waited_for=waited_for,
        write_refused=write_refused,
        detail=_traceback(error),
    )


def placed(error: BaseException) -> str:
    """The exception in a sentence, with the place in the application's own files where there is one."""
    said, place = describe(error), _place(error)
    return f"{said} ({place})" if place else said


def _meaning(error: BaseException, revision: str | None, *, write_refused: bool) -> tuple[RunnerReason, str]:
    if isinstance(error, RunnerError):
        return error.reason, error.message
    if write_refused and revision is None:
        remedy = "Mend env.py, or set policy.planWrites to Allow."
        return RunnerReason.PLAN_WRITES, f"env.py writes to the database while it is loaded: {placed(error)}. {remedy}"
    if isinstance(error, SystemExit):
        place = _place(error)
        where = f" ({place})" if place else ""
        return (
            RunnerReason.ENVIRONMENT_EXITED,
            f"env.py ended the process by itself, with {short(repr(error.code))}{where}.",
        )
    if revision is not None:
        return RunnerReason.MIGRATION_FAILED, f"Revision {revision} failed: {placed(error)}"
    if isinstance(error, (SyntaxError, ImportError)):
        return RunnerReason.SCRIPT_ERROR, f"env.py cannot be loaded: {placed(error)}"
    return RunnerReason.ENVIRONMENT_FAILED, f"env.py failed: {placed(error)}"


def _place(error: BaseException) -> str:
    """`file:line`, the innermost in the application's folder; relative to it."""
    here = Path.cwd()
    for link in chain(error):
        if isinstance(link, SyntaxError) and link.filename:
            return f"{_relative(link.filename, here)}:{link.lineno}"
    for link in chain(error):
        for frame in reversed(traceback.extract_tb(link.__traceback__)):
            path = Path(frame.filename)
            if here in path.parents and "site-packages" not in path.parts:
                return f"{_relative(frame.filename, here)}:{frame.lineno}"
    return ""


def _relative(path: str, here: Path) -> str:
    return os.path.relpath(path, here) if here in Path(path).parents else path


def _traceback(error: BaseException) -> tuple[str, ...]:
    """Frames and classes of the whole chain, the oldest first, and of the exceptions' texts only what `describe` lets out."""
    lines: list[str] = []
    for link in reversed(list(chain(error))):
        lines += [
            f"{frame.filename}:{frame.lineno} in {frame.name}: {short(frame.line or '', 160)}"
            for frame in traceback.extract_tb(link.__traceback__)
        ]
        lines.append(describe(link))
    return tuple(lines[-TRACEBACK_LINES:])
