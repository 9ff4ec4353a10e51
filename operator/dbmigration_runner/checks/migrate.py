"""The migrate and the downgrade step: under the run's lock, to the target, and then the truth about where the database is.

Atomicity is never inferred from the engine or from an exit: after whatever happened heads and schema are read again. A
lock timeout is tried again only where that reading shows that nothing changed since the last revision that was committed
together with its place in the version table.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dbmigration_runner import application
from dbmigration_runner.checks import after, before, emptied, torn
from dbmigration_runner.contract.counting import counted
from dbmigration_runner.contract.heads import named
from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.contract.result import MigrateReport, Outcome, Result
from dbmigration_runner.contract.task import StepKind
from dbmigration_runner.errors import Stopped
from dbmigration_runner.step import Seen, changed

if TYPE_CHECKING:
    from dbmigration_runner.application import Story
    from dbmigration_runner.contract.result import PlannedRevision
    from dbmigration_runner.engines.interface import Lock
    from dbmigration_runner.step import Step

LONGEST_SLEEP_SECONDS = 5.0


@dataclass(frozen=True)
class Attempt:
    """The last run of env.py, and the database before and after it."""

    story: Story
    before: Seen
    after: Seen
    lock_waits: int
    done: tuple[str, ...] = ()  # by the runs before it, each confirmed by the heads
    budget_gone: bool = False

    @property
    def all_lock_waits(self) -> int:
        """Also those after which only a statement was tried again."""
        return self.lock_waits + self.story.waits

    @property
    def heads_at_target(self) -> bool:
        """Is the database where it should be, by its version table?"""
        planned = self.story.planned
        return planned is not None and self.after.heads == planned.target

    @property
    def changed(self) -> bool | None:
        """Did this try or one before it leave anything behind? None where it cannot be told."""
        if self.story.works_on:
            return None
        return True if self.done else changed(self.before, self.after, committed=self.story.committed)

    @property
    def may_be_repeated(self) -> bool:
        """Did a lock stop it before it left anything behind that the heads do not tell?"""
        if self.story.failed is None or not self.story.failed.lock_timeout:
            return False
        if self.story.stopped is not None or self.story.works_on:
            return False
        since = (self.before, self.story.settled)
        return any(
            seen is not None and changed(seen, self.after, committed=self.story.committed) is False for seen in since
        )

    @property
    def left_rows(self) -> bool:
        """A revision committed a part of itself: whoever stopped it, running it again would do that part twice."""
        return self.story.committed and not self.heads_at_target

    @property
    def is_torn(self) -> bool:
        """Is something of the failed revision there? Rows that it committed, or a schema that is not of the one before it."""
        last = self.story.settled or (self.before if not self.story.applied else None)
        if last is None or last.heads != self.after.heads:
            return self.left_rows
        return self.left_rows or changed(last, self.after, committed=False) is True

    @property
    def applied(self) -> tuple[str, ...]:
        """What the heads confirm of what was told: Alembic tells before it commits."""
        behind = [revision.id for revision in self._planned[: self.position]]
        return (*self.done, *(revision for revision in self.story.applied if revision in behind))

    @property
    def position(self) -> int:
        """How many of the planned revisions are behind the heads that were read."""
        places = self.story.planned.places if self.story.planned is not None else ()
        reached = [number for number, place in enumerate(places, 1) if place == self.after.heads]
        return reached[-1] if reached else 0

    @property
    def _planned(self) -> tuple[PlannedRevision, ...]:
        return self.story.planned.revisions if self.story.planned is not None else ()


def migrate(step: Step) -> Result:
    """Raises RunnerError only where nothing was begun."""
    with step.first_session() as session:
        step.meet(session)
    lock = step.engine.lock(exclusive=True, should_stop=step.check, wait_seconds=step.task.locks.grace_seconds)
    try:
        with step.first_session() as session:
            step.await_guests(session)
            before.require(step, session)
            start = step.first_look(session)
        attempt = _work(step, lock, start)
        return _result(step, attempt)
    finally:
        lock.release()


def _work(step: Step, lock: Lock, start: Seen) -> Attempt:
    """Run env.py until it did its work, failed, or the lock budget is gone."""
    waits, pause = 0, 0.5
    done: tuple[str, ...] = ()
    until = time.monotonic() + step.task.locks.retry_for_seconds
    while True:
        story = application.run(step, lock, read_only=False, limit_locks=True, again=waits > 0)
        if story.planned is not None:
            start = start.told(start.heads if waits else story.planned.heads, story.planned.version_table)
        now = step.look(story.planned.version_table if story.planned is not None else None)
        attempt = Attempt(story, start, now, waits, done)
        if not attempt.may_be_repeated:
            return attempt
        waits += 1
        statement = story.failed.waited_for if story.failed is not None else ""
        step.say_lock_timeout(story.failed_revision, statement, waits, done=attempt.position)
        if time.monotonic() + pause >= until:
            return Attempt(story, start, now, waits, done, budget_gone=True)
        try:
            step.jitter(pause)
        except Stopped as error:
            story.stopped = error
            return Attempt(story, start, now, waits, done)
        pause = min(pause * 1.5, LONGEST_SLEEP_SECONDS)
        start, done = now, attempt.applied


def _result(step: Step, attempt: Attempt) -> Result:
    error = attempt.story.error
    limit = step.engine.lock_timeout_of(step.task.locks)
    within = f" within {limit} ms" if limit is not None else ""
    tries = f"A lock was not to be had{within} in {counted(attempt.lock_waits, 'try', 'tries')} over {step.task.locks.retry_for_seconds} s"
    if attempt.budget_gone and attempt.changed is False:
        return _failed(
            step,
            attempt,
            RunnerReason.LOCK_BUDGET_EXHAUSTED,
            f"{tries}; nothing was changed. Try when the database is quieter, or raise locks.",
        )
    if attempt.budget_gone and error is not None:
        return _failed(
            step,
            attempt,
            error.reason,
            f"{error.message} {tries}; the revisions before it are applied. Go on when the database is quieter, or raise locks.",
        )
    if error is not None:
        reached = " The database is at the target nevertheless." if attempt.heads_at_target else ""
        reason = RunnerReason.MIGRATION_FAILED if attempt.left_rows else error.reason
        return _failed(step, attempt, reason, error.message + reached)
    if not attempt.heads_at_target:
        planned = attempt.story.planned
        target = named(planned.target) if planned is not None else "the target"
        found = "unreadable" if attempt.after.heads is None else named(attempt.after.heads)
        return _failed(
            step,
            attempt,
            RunnerReason.VERIFICATION_FAILED,
            f"env.py ended without an error, but a second session finds the database at {found} and not at {target}.",
        )
    return _verified(step, attempt)


def _verified(step: Step, attempt: Attempt) -> Result:
    try:
        checks = after.check(step)
    except Stopped as error:
        return _failed(
            step, attempt, error.reason, f"{error.message} The database is at the target; not all checks ran."
        )
    failed = [check.name for check in checks if not check.passed]
    step.warnings += [f"{check.name}: {check.message}" for check in checks if check.passed and check.message]
    planned = attempt.story.planned
    report = MigrateReport(
        applied=attempt.applied,
        lock_waits=attempt.all_lock_waits,
        checks=checks,
        emptied=emptied.told(step.engine, planned.emptied) if planned is not None else (),
    )
    did = "undone" if step.task.kind is StepKind.DOWNGRADE else "applied"
    outcome, reason, message = (
        Outcome.SUCCEEDED,
        RunnerReason.DONE,
        f"{counted(len(attempt.applied), 'revision')} {did}.",
    )
    if failed:
        outcome, reason = Outcome.FAILED, RunnerReason.CHECK_FAILED
        message = f"The database is at the target, but {counted(len(failed), 'check')} failed: {', '.join(failed)}."
    return step.result(
        outcome,
        reason,
        message,
        changed=attempt.changed,
        heads=attempt.after.heads,
        catalog=attempt.after.catalog,
        migrate=report,
    )


def _failed(step: Step, attempt: Attempt, reason: RunnerReason, message: str) -> Result:
    is_torn = attempt.is_torn and not attempt.heads_at_target
    ran = torn.ran(attempt.story) if is_torn else ()
    torn.log(step.log, attempt.story.failed_revision, ran)
    return step.result(
        Outcome.FAILED,
        reason,
        torn.told(attempt.story.failed_revision, ran, message, undone=step.task.kind is StepKind.DOWNGRADE),
        changed=attempt.changed,
        heads=attempt.after.heads,
        catalog=attempt.after.catalog,
        migrate=MigrateReport(
            applied=attempt.applied,
            failed_revision=attempt.story.failed_revision,
            torn=is_torn,
            error=message,
            lock_waits=attempt.all_lock_waits,
            ran=torn.reported(ran),
        ),
    )
