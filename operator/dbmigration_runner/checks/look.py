"""The look step: after a loss, what is in the database, read and not guessed.

Takes the run's lock, so that nobody works there meanwhile, and outlasts the sessions of the attempt that was lost. Behind a
restore it asks first whether that took place: then the database is another one than was planned, and that is no fault.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbmigration_runner import application
from dbmigration_runner.contract.heads import named
from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.contract.result import Outcome, Result

if TYPE_CHECKING:
    from dbmigration_runner.engines.interface import Lock
    from dbmigration_runner.step import Step


def look(step: Step) -> Result:
    """Raises RunnerError where the database cannot be reached, or is held by somebody."""
    if step.task.restore is not None:
        from dbmigration_runner.checks.restore import done_before

        if (restored := done_before(step)) is not None:
            return restored
    with step.engine.connect() as session:
        step.recognise(session)
    lock = step.engine.lock(exclusive=True, should_stop=step.check, wait_seconds=step.task.locks.grace_seconds)
    try:
        with step.engine.connect() as session:
            step.await_guests(session)
        version_table = _version_table(step, lock)
        seen = step.look(version_table)
    finally:
        lock.release()
    if seen.heads is None:
        return step.result(
            Outcome.FAILED,
            RunnerReason.DATABASE_UNREACHABLE,
            "The heads could not be read.",
            changed=False,
            catalog=seen.catalog,
        )
    return step.result(
        Outcome.SUCCEEDED,
        RunnerReason.DONE,
        f"The database is at {named(seen.heads)}.",
        changed=False,
        heads=seen.heads,
        catalog=seen.catalog,
    )


def _version_table(step: Step, lock: Lock) -> str | None:
    """As env.py configures it; where env.py does not run, the plan's, for a look must not fail with the application."""
    task = step.task
    told = task.expected is not None and task.expected.version_table
    if told or task.migrations is None or not task.runs_application:
        return None
    story = application.run(step, lock, read_only=True, limit_locks=False)
    if story.stopped is not None:
        raise story.stopped
    if story.looked is not None:
        return story.looked.version_table
    if story.error is not None:
        step.warnings.append(
            f"env.py could not be asked for its version table, {step.version_table} was read: {story.error.message}"
        )
    return None
