"""The SQL of the pending revisions, by Alembic's offline mode, as far as it goes.

Of eight real histories two could be rendered: others query while they render, or have no URL offline. So each revision
is rendered for itself, and what cannot be is said with its cause. Runs last in a plan: nothing depends on it.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from dbmigration_runner.checks.faults import placed
from dbmigration_runner.checks.graph import steps_of
from dbmigration_runner.engines.messages import short
from dbmigration_runner.events import EventWriter, Rendered

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    from dbmigration_runner.checks.environment import Environment
    from dbmigration_runner.checks.graph import Way

SQL_CHARACTERS = 100_000  # of one revision, in the log


class _Statements(io.StringIO):
    """Alembic writes one statement, or one comment, at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def write(self, text: str) -> int:
        if text.strip() and not text.lstrip().startswith("--"):
            self.count += 1
        return super().write(text)


def render(environment: Environment, way: Way, tell: EventWriter) -> None:
    """Tell the SQL of every pending revision, or why there is none."""
    buffer = _Statements()
    reached = False

    def work(_heads: tuple[str, ...], _migration: MigrationContext, script: ScriptDirectory) -> Iterator[Any]:
        nonlocal reached
        reached = True
        for step in steps_of(script, way):
            step.migration_fn = _guarded(step.revision.revision, step.migration_fn, buffer, tell)
            yield step

    try:
        environment.render(work, way.start, buffer)
    except (Exception, SystemExit) as error:  # noqa: BLE001  # whatever an env.py does without a database
        if not reached:
            _tell_all(way, placed(error), tell)
        return
    if not reached:
        _tell_all(way, "env.py runs no migrations in offline mode", tell)


def _guarded(
    revision: str, function: Callable[..., None], buffer: _Statements, tell: EventWriter
) -> Callable[..., None]:
    def upgrade(**arguments: Any) -> None:
        buffer.seek(0)
        buffer.truncate()
        buffer.count = 0
        try:
            function(**arguments)
        except (Exception, SystemExit) as error:  # noqa: BLE001  # a revision that needs a database says so in its own way
            tell(Rendered(revision, "", 0, short(f"it cannot be rendered without a database: {placed(error)}")))
        else:
            tell(Rendered(revision, short(buffer.getvalue().strip(), SQL_CHARACTERS), buffer.count))

    return upgrade


def _tell_all(way: Way, cause: str, tell: EventWriter) -> None:
    for found in way.pending:
        tell(Rendered(found.revision, "", 0, short(f"env.py cannot render: {cause}")))
