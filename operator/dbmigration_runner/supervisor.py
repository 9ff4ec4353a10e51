"""The parent: reads the task, has the step done, and always reports.

The outermost room of the runner: whatever happens inside, a result leaves by the one way that counts. It holds no
decision about databases or revisions.
"""

from __future__ import annotations

import dataclasses
import gc
import os
import sys
import traceback
from pathlib import Path

from dbmigration_runner import child, process
from dbmigration_runner.contract.codec import DecodeError
from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.contract.result import Outcome, Result, fit
from dbmigration_runner.contract.task import TASK_VARIABLE, StepKind, Task
from dbmigration_runner.engines import engine_for
from dbmigration_runner.errors import Refusal, RunnerError
from dbmigration_runner.log import Log
from dbmigration_runner.monitor import Monitor
from dbmigration_runner.redaction import Redactor, without_secrets
from dbmigration_runner.step import Step, application_name

DEFAULT_RESULT = "/dev/termination-log"
# Facts that decide, and hold no secret by their nature: a password like "1234" must not punch holes into a hash.
FACTS = (
    *("nonce", "reason", "heads", "catalog", "fingerprint", "hash", "start", "target", "version_table", "id", "code"),
    *("revision", "revisions", "applied", "failed_revision", "sha256", "taken_at", "verified_at", "name", "location"),
    *("kept_as", "list_file", "list_sha256", "gone", "image"),
)


def main() -> int:
    """Do the task in the environment; 0 where it succeeded. The exit code is a courtesy: only the result counts."""
    log = Log(Redactor())
    try:
        task = Task.from_json(os.environ.get(TASK_VARIABLE, ""))
    except DecodeError as error:
        # Without a task there is no nonce, so this is no valid result: it is for the eyes of whoever looks.
        _write(
            Result(StepKind.LOOK, "", Outcome.FAILED, RunnerReason.TASK_INVALID.value, str(error), changed=None), log
        )
        return 1
    monitor = Monitor(_disk_of(task))
    started_in = Path.cwd()
    step = _ready(task, log)
    if isinstance(step, Step):
        ends = _fork(step, started_in)
        if ends is not None:
            return child.main(ends.control, ends.events)
    gc.enable()
    monitor.start()
    result = _do(step) if isinstance(step, Step) else step
    resources = monitor.stop()
    result = dataclasses.replace(result, resources=resources, warnings=(*result.warnings, *monitor.warnings))
    _write(without_secrets(result, log.redact, keep=FACTS), log)
    gc.freeze()  # the end of the interpreter would otherwise look through everything once more
    return 0 if result.outcome is Outcome.SUCCEEDED else 1


def _disk_of(task: Task) -> str:
    """The disk that this step fills first: the backups' own, or the one that the project lies on."""
    order = task.backup or task.restore
    if order is not None:
        return str(Path(order.directory).parent)
    return task.migrations.path if task.migrations is not None else str(Path.cwd())


def _ready(task: Task, log: Log) -> Step | Result:
    """The step with everything loaded and nothing opened, or the result about why there is none."""
    try:
        url = _read(task.database.url_file)
        admin = _read(task.database.admin_url_file) if task.database.admin_url_file is not None else None
        # A backup runs beside no application: its folder is there only where the image of the backup happens to have it.
        if task.migrations is not None and (task.runs_application or Path(task.migrations.path).is_dir()):
            os.chdir(task.migrations.path)
        step = _step(task, url, admin, log)
        step.obey_signals()
    except Exception as error:  # noqa: BLE001  # the outermost: a report must leave whatever happened
        return _refused(task, _as_ours(error, log), None)
    return step


def _fork(step: Step, started_in: Path) -> process.Ends | None:
    """Make the process that will run env.py, while there is nothing in this one that it must not have; not None in there."""
    runs = step.task.migrations is not None and step.task.runs_application
    if not runs or not process.may_fork(started_in):
        return None
    try:
        made = process.fork()
    except OSError:
        return None  # a new interpreter will have the same trouble, at a place where it is reported
    if isinstance(made, process.Process):
        step.keep_child(made)
        return None
    return made


def _do(step: Step) -> Result:
    """The step's own result, or one about why there is none."""
    step.log.say("started", step=step.task.kind.value, run=step.task.run.number, attempt=step.task.run.attempt)
    try:
        result = _dispatch(step)
    except RunnerError as error:
        # Every error that reaches this place was raised before anything was begun.
        result = _refused(step.task, error, step)
    except Exception as error:  # noqa: BLE001  # the outermost: a report must leave whatever happened
        result = dataclasses.replace(_refused(step.task, _as_ours(error, step.log), step), changed=None)
    unused = step.take_child()
    if unused is not None:
        unused.close()
    return dataclasses.replace(result, warnings=tuple(dict.fromkeys(step.warnings)))


def _as_ours(error: Exception, log: Log) -> RunnerError:
    if isinstance(error, RunnerError):
        return error
    log.say("internal-error", detail=traceback.format_tb(error.__traceback__))
    return RunnerError(RunnerReason.INTERNAL_ERROR, f"The runner itself failed: {type(error).__name__}. See its log.")


def _step(task: Task, url: str, admin: str | None, log: Log) -> Step:
    engine = engine_for(url, application_name=application_name(task.run))
    log.redact.add_url(url, engine.url)
    if admin is not None:
        log.redact.add_url(admin, engine_for(admin).url)
    if task.database.tls_directory is not None:
        os.environ.update(engine.tls(task.database.tls_directory))
    return Step(task, engine, log)


def _dispatch(step: Step) -> Result:
    match step.task.kind:
        case StepKind.PLAN:
            from dbmigration_runner.checks.plan import plan

            return plan(step)
        case StepKind.FIND:
            from dbmigration_runner.checks.find import find

            return find(step)
        case StepKind.MIGRATE | StepKind.DOWNGRADE:
            from dbmigration_runner.checks.migrate import migrate

            return migrate(step)
        case StepKind.LOOK:
            from dbmigration_runner.checks.look import look

            return look(step)
        case StepKind.COMPARE:
            from dbmigration_runner.checks.compare import compare

            return compare(step)
        case StepKind.BACKUP:
            from dbmigration_runner.checks.backup import backup
            from dbmigration_runner.checks.clone import beside

            return beside(step, backup(step))
        case StepKind.RESTORE:
            from dbmigration_runner.checks.restore import restore

            return restore(step)


def _refused(task: Task, error: RunnerError, step: Step | None) -> Result:
    if step is not None:
        return step.failed(error)
    return Result(task.kind, task.nonce, Outcome.FAILED, error.reason.value, error.message)


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Refusal(
            RunnerReason.URL_INVALID, f"The file of the database URL cannot be read: {type(error).__name__}."
        ) from None


def _write(result: Result, log: Log) -> None:
    small = fit(result)
    if small.truncated:
        log.whole(result)
    path = os.environ.get(process.RESULT_VARIABLE) or DEFAULT_RESULT
    try:
        Path(path).write_text(small.to_json(), encoding="utf-8")
    except OSError as error:
        print(f"The result cannot be written to {path}: {error.strerror}", file=sys.stderr)  # noqa: T201  # the last resort
        log.whole(result)
