"""A plan by itself: the first step of a run, without the run.

It must not leave anything behind, in the store or in the database.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from dbmigration.api.spec import MigrationSpec
from dbmigration.api.status import Status, Step, StepState
from dbmigration.lifecycle.observed import Ended, Observed, Places, Running, StepRef, Stopping
from dbmigration.lifecycle.tasks import nonce, task
from dbmigration.local.errors import LocalError
from dbmigration.local.steps import Steps
from dbmigration_runner.contract.result import Result
from dbmigration_runner.contract.task import StepKind

_PERIOD_SECONDS = 0.1
_REF = StepRef(0, StepKind.PLAN, 1)


@dataclass(frozen=True, slots=True)
class Told:
    """What the plan answered, and its log, as long as `planned` lasts."""

    result: Result
    log: Path


@contextmanager
def planned(namespace: str, name: str, spec: MigrationSpec, places: Places, steps_of: Steps) -> Iterator[Told]:
    """Run the plan step in a folder of its own; raises LocalError where it does not answer."""
    with TemporaryDirectory(prefix="dbmigration-plan-") as folder:
        steps = Steps(Path(folder), steps_of.python, steps_of.environment)
        uid = str(uuid.uuid4())
        now = datetime.now(UTC).replace(microsecond=0)
        step = Step(name=StepKind.PLAN.value, attempt=1, job="plan", state=StepState.STARTED, started_at=now)
        seen = Observed(now, namespace, name, uid, 1, spec, Status(), places)
        steps.start(_REF, task(seen, step))
        expected = nonce(uid, _REF)
        try:
            while isinstance(view := steps.view(_REF, expected, ""), Running | Stopping):
                time.sleep(_PERIOD_SECONDS)
        finally:
            _end(steps)
        if not isinstance(view, Ended):
            text = steps.log(_REF).read_text(encoding="utf-8", errors="replace")[-2000:]
            said = f"Its last words:\n{text}" if text.strip() else "It said nothing."
            raise LocalError(f"The plan ended without an answer: is --python an interpreter, 3.10 or newer? {said}")
        yield Told(view.result, steps.log(_REF))


def _end(steps: Steps) -> None:
    """Leave nothing running, also after Ctrl-C."""
    steps.stop(_REF)
    while steps.is_at_work(_REF):
        steps.view(_REF, "", "")
        time.sleep(_PERIOD_SECONDS)
