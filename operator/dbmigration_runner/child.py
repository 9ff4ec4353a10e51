"""The child: runs the application's env.py, and tells the parent over a pipe what happens.

Whatever env.py does to this process (exit, mute, fork, hang, crash) the parent sees from outside. Nothing is decided
here about locks, time or results; no secret is written anywhere.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import socket
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dbmigration_runner.contract.codec import decode
from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.contract.result import Finding, PlannedRevision
from dbmigration_runner.contract.task import Migrations, StepKind, Task
from dbmigration_runner.errors import Refusal, RunnerError
from dbmigration_runner.events import Aimed, Applied, ChildOrder, EventWriter, Finished, Looked, Planned, Started

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    from dbmigration_runner.checks.connections import Connections
    from dbmigration_runner.checks.descent import Descent
    from dbmigration_runner.checks.graph import Way
    from dbmigration_runner.events import Emptied

PARENT_GONE = 70
MOST_FILES = 16
OLDEST_ALEMBIC = (1, 13)
OLDEST_SQLALCHEMY = (1, 4)


def main(control: int, events: int) -> int:
    """Do what stands in the control socket's first line; `events` is the pipe to the parent."""
    for end in (control, events):
        os.set_inheritable(end, False)  # noqa: FBT003  # what env.py starts must hold neither open
    _load()
    gc.freeze()
    gc.enable()  # the application's code finds it as it is elsewhere
    tell = EventWriter(events)
    parent = _Parent(control)
    line = parent.line()
    if not line:  # the parent had no use for us
        return PARENT_GONE
    order = decode(ChildOrder, json.loads(line))
    _Child(Task.from_json(order.task), order, tell).run(parent)
    return 0


def _load() -> None:
    """Load what will be needed while the parent looks at the database; what cannot be loaded is told when it is needed."""
    with contextlib.suppress(Exception, SystemExit):
        from dbmigration_runner.checks import connections, descent, emptied, environment, faults, graph, render, rights  # noqa: F401


class _Parent:
    """The parent's words, read without a buffered file: its lock, held by a thread, would break the interpreter's end."""

    def __init__(self, control: int) -> None:
        self._socket = socket.socket(fileno=control)
        self._rest = b""
        self._files: list[int] = []  # the lock's: held until this process ends, whatever becomes of the parent

    def line(self) -> bytes:
        """The next line; b"" where there will be none."""
        while True:
            line, found, rest = self._rest.partition(b"\n")
            if found:
                self._rest = rest
                if line:
                    return line
                continue
            try:
                data, files, _, _ = socket.recv_fds(self._socket, 1 << 16, MOST_FILES)
            except OSError:
                return b""
            if not data:
                return b""
            self._files += files
            self._rest += data

    def obey(self, connections: Connections) -> None:
        """Wait for the word to stop. The socket ends when the parent dies: then nobody holds the lock for us any more."""
        while self.line() == b"stop":
            connections.stop()
        os._exit(PARENT_GONE)


class _Child:
    """One task's run of env.py."""

    def __init__(self, task: Task, order: ChildOrder, tell: EventWriter) -> None:
        self._task = task
        self._order = order
        self._tell = tell
        self._running: str | None = None  # the revision that is being applied
        self._connections: Connections | None = None
        self._way: Way | None = None

    def run(self, parent: _Parent) -> None:
        """Never raises: what goes wrong is told."""
        try:
            self._prepare(parent)
            self._work()
            self._tell(Finished())
        except BaseException as error:  # noqa: BLE001  # the outermost: also SystemExit of env.py and KeyboardInterrupt
            self._tell_failure(error)

    def _prepare(self, parent: _Parent) -> None:
        _refuse_old_libraries()
        from dbmigration_runner.checks.connections import Connections

        self._connections = Connections(self._order.guests, self._tell)
        self._connections.install()
        threading.Thread(target=parent.obey, args=(self._connections,), name="dbmigration", daemon=True).start()
        word = "downgrade" if self._task.kind is StepKind.DOWNGRADE else "upgrade"
        sys.argv = ["alembic", word, self._migrations.target]  # env.py may look; ours would tell it nothing

    @property
    def _migrations(self) -> Migrations:
        if self._task.migrations is None:
            raise Refusal(RunnerReason.TASK_INVALID, "The task has no migrations.")
        return self._task.migrations

    def _work(self) -> None:
        from dbmigration_runner.checks.environment import Environment
        from dbmigration_runner.engines import engine_for

        url = engine_for(Path(self._task.database.url_file).read_text(encoding="utf-8")).url
        if self._connections is None:
            raise AssertionError("prepared before")
        environment = Environment(self._migrations, url, self._connections)
        works = {
            StepKind.PLAN: self._plan,
            StepKind.MIGRATE: self._migrate,
            StepKind.DOWNGRADE: self._migrate,
            StepKind.LOOK: self._look,
        }
        environment.run(works[self._task.kind])
        if self._task.kind is StepKind.PLAN and self._way is not None and self._way.pending:
            from dbmigration_runner.checks.render import render

            render(environment, self._way, self._tell)

    def _plan(self, heads: tuple[str, ...], migration: MigrationContext, script: ScriptDirectory) -> Iterator[Any]:
        from dbmigration_runner.checks import descent, faults, graph

        faults.load(script)
        self._tell(Aimed(graph.aim(script, self._migrations.target)))
        self._way = graph.way(script, heads, self._migrations.target, may_go_down=self._task.policy.downgrade)
        findings = tuple(self._findings(migration)) if self._way.pending else ()
        descended = descent.descend(self._way, migration.dialect.name) if self._way.down else descent.Descent()
        findings = (*findings, *descended.findings)
        self._tell_plan(
            heads, self._way, migration, digest=self._hash(script, self._way), findings=findings, descent=descended
        )
        yield from ()

    def _migrate(self, heads: tuple[str, ...], migration: MigrationContext, script: ScriptDirectory) -> Iterator[Any]:
        from dbmigration_runner.checks import emptied, faults, graph

        faults.load(script)
        decided = self._decided_way(script, heads)
        path = graph.back(script, decided, heads) if self._task.undo else decided
        back = emptied.emptied(path.pending, migration.dialect.name) if path.down else ()
        told = self._tell_plan(heads, path, migration, digest=self._hash(script, decided), back=back)
        expected = self._task.expected
        if expected is not None and told.hash != expected.hash:
            raise Refusal(
                RunnerReason.PLAN_CHANGED,
                "The scripts, env.py, the configuration or the image are not those that were planned: plan again.",
            )
        rest = path.rest(heads)
        if not rest.pending:
            return
        if not heads:
            migration._ensure_version_table()  # noqa: SLF001  # put off by dont_mutate until all checks have passed
        migration.on_version_apply_callbacks = (*migration.on_version_apply_callbacks, self._applied)
        if self._connections is not None:
            self._connections.watch_commits()
        for step in graph.steps_of(script, rest):
            self._running = step.revision.revision
            if self._connections is not None:
                self._connections.begin_revision(step.revision.revision)
            self._tell(Started(step.revision.revision))
            yield step
            self._settle(migration)
        self._running = None

    def _decided_way(self, script: ScriptDirectory, heads: tuple[str, ...]) -> Way:
        """What the run decided on; without a decision, what there is to do now."""
        from dbmigration_runner.checks import graph

        target, expected, down = self._migrations.target, self._task.expected, self._task.policy.downgrade
        if expected is None:
            return graph.way(script, heads, target, may_go_down=down)
        first = self._task.run.attempt == 1 and not self._order.again and not self._task.undo
        return graph.agree(script, heads, target, expected, first_attempt=first, may_go_down=down)

    def _look(self, heads: tuple[str, ...], migration: MigrationContext, script: ScriptDirectory) -> Iterator[Any]:
        del script
        self._tell(Looked(self._version_table(migration), heads))
        yield from ()

    def _settle(self, migration: MigrationContext) -> None:
        """With a transaction for each revision it is over by now; in one for all of them the heads answer for nothing yet."""
        connection = migration.connection
        if self._connections is not None and connection is not None and not connection.in_transaction():
            self._connections.settle()

    def _applied(self, *, step: Any, **_: Any) -> None:
        self._tell(Applied(str(step.up_revision_id)))

    def _hash(self, script: ScriptDirectory, way: Way) -> str:
        from dbmigration_runner.checks import graph

        return graph.plan_hash(script, way, self._migrations.config, self._migrations.image)

    def _tell_plan(
        self,
        heads: tuple[str, ...],
        way: Way,
        migration: MigrationContext,
        *,
        digest: str,
        findings: tuple[Finding, ...] = (),
        descent: Descent | None = None,
        back: tuple[Emptied, ...] = (),
    ) -> Planned:
        planned = Planned(
            version_table=self._version_table(migration),
            hash=digest,
            heads=heads,
            start=way.start,
            target=way.final,
            revisions=tuple(PlannedRevision(found.revision, _title(found)) for found in way.pending),
            places=way.places,
            down=way.down,
            taken=descent.taken if descent is not None else (),
            unclear=descent is not None and descent.is_unclear,
            emptied=back,
            findings=findings,
        )
        self._tell(planned)
        return planned

    def _version_table(self, migration: MigrationContext) -> str:
        schema = migration.version_table_schema or self._guests_say("schema_of", migration, migration.version_table)
        return f"{schema}.{migration.version_table}" if schema else migration.version_table

    def _findings(self, migration: MigrationContext) -> Iterator[Finding]:
        from dbmigration_runner.checks import rights

        schema = migration.version_table_schema or self._guests_say("schema_of", migration, migration.version_table)
        found = self._guests_say("rights", migration, schema, migration.version_table)
        yield from rights.judge(found, migration.version_table)

    def _guests_say(self, question: str, migration: MigrationContext, *arguments: Any) -> Any:
        if self._connections is None or migration.connection is None:
            raise AssertionError("checked before")
        return self._connections.ask(question, migration.connection, *arguments)

    def _tell_failure(self, error: BaseException) -> None:
        from dbmigration_runner.checks.faults import failure_of

        refused = self._connections is not None and self._connections.write_refused
        waited_for = self._connections.waited_for if self._connections is not None else ""
        self._tell(failure_of(error, revision=self._running, write_refused=refused, waited_for=waited_for))


def _title(script: Any) -> str:
    lines = (script.doc or "").strip().splitlines()
    return lines[0][:120] if lines else ""


def _refuse_old_libraries() -> None:
    try:
        import alembic
        import sqlalchemy
    except ImportError as error:
        raise RunnerError(
            RunnerReason.INTERPRETER_UNSUITABLE,
            f"{sys.executable} cannot import {error.name}: set migrations.python to the interpreter that has the application.",
        ) from None
    for name, version, oldest in (
        ("Alembic", alembic.__version__, OLDEST_ALEMBIC),
        ("SQLAlchemy", sqlalchemy.__version__, OLDEST_SQLALCHEMY),
    ):
        if tuple(int(part) for part in version.split(".")[:2]) < oldest:
            raise RunnerError(
                RunnerReason.INTERPRETER_UNSUITABLE,
                f"{name} {version} is older than {'.'.join(map(str, oldest))}, the oldest that is supported.",
            )
