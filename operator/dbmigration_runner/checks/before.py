"""What must hold in the database before anything in it is changed; asked under the run's lock."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dbmigration_runner.engines.interface import Session
    from dbmigration_runner.step import Step


def require(step: Step, session: Session) -> None:
    """Raises Refusal (LongTransaction, ReplicationLag, DiskSpaceLow); what could not be seen becomes a warning."""
    step.warnings += step.engine.before(session, step.task.before).warnings
