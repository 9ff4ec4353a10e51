"""How a run looks while it lasts: a live line with a bar on a terminal, dated lines anywhere else.

It must not hold a run up, and writes to stderr alone: stdout is the report's.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from dbmigration.api.status import Status
from dbmigration.local.journal import far
from dbmigration.local.narration import news
from dbmigration.local.wording import of_resource
from dbmigration.local.world import LocalWorld
from dbmigration_runner.contract.task import CHANGING


class Lines:
    """One dated line a fact."""

    def __init__(self, before: Status) -> None:
        """`before` is what was known when this program started: it is no news."""
        self._before = before

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return

    def show(self, world: LocalWorld) -> None:
        """Say what is new."""
        status = of_resource(world.resource).parsed_status
        if status != self._before:
            for line in news(self._before, status):
                self.say(line)
            self._before = status

    def say(self, message: str) -> None:
        """One line."""
        sys.stderr.write(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {message}\n")
        sys.stderr.flush()


class Live(Lines):
    """The same lines, and below them where the run is right now."""

    def __init__(self, before: Status) -> None:
        super().__init__(before)
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=Console(stderr=True, highlight=False),
            transient=True,
        )
        self._task: TaskID = self._progress.add_task("Pending", total=None)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def show(self, world: LocalWorld) -> None:
        """Say what is new, and move the bar."""
        super().show(world)
        status = world.resource.parsed_status
        total = status.plan.count if status.plan else None
        doing = f"{status.phase.value}: {status.progress}" if status.progress else status.phase.value
        self._progress.update(self._task, description=doing, total=total, completed=applied(world, status))

    def say(self, message: str) -> None:
        """One line above the bar."""
        now = datetime.now().astimezone()  # the watcher's own clock
        self._progress.console.print(Text(f"{now:%H:%M:%S} ", style="dim") + Text(message), soft_wrap=True)


def applied(world: LocalWorld, status: Status) -> int:
    """How many revisions of the plan are done, as far as it is known by now."""
    run, plan = status.run, status.plan
    goes_down = plan is not None and plan.downgrade
    done = len(run.undone_revisions if goes_down else run.applied_revisions) if run else 0
    ref = world.running()
    if ref is None or ref.kind not in CHANGING or (run is not None and run.failure is not None):
        return done
    here = far(world.steps.log(ref))
    return max(done, here.done if here else 0)


def audience(before: Status, *, terminal: bool) -> Lines:
    """Whoever is there."""
    return Live(before) if terminal else Lines(before)
