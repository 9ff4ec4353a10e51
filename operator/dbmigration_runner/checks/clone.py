"""The copy on the server, beside a backup that is whole: a quicker way to the same restore, and never the only one.

What cannot be made is told, and the run goes on with its dump. This module knows no engine.
"""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from dbmigration_runner.checks.backup import admin_engine
from dbmigration_runner.checks.manifest import read_manifest
from dbmigration_runner.checks.restore import wanted
from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.contract.result import Outcome, Result
from dbmigration_runner.contract.task import RestoreOrder
from dbmigration_runner.engines import read_catalog
from dbmigration_runner.engines.clone import clone, drop_clones
from dbmigration_runner.errors import Refusal, RunnerError, Stopped

if TYPE_CHECKING:
    from dbmigration_runner.checks.manifest import Manifest
    from dbmigration_runner.step import Step


def beside(step: Step, result: Result) -> Result:
    """The backup's own result, with what became of the copy: of this one where it is wished for, else of an older backup's."""
    order = step.task.backup
    if order is None or result.outcome is not Outcome.SUCCEEDED or result.backup is None:
        return result
    if not order.clone:
        with contextlib.suppress(RunnerError):  # the next backup tries again
            drop_clones(step.engine, admin_engine(step))
        return result
    manifest = read_manifest(Path(order.directory), order.name)
    assert manifest is not None  # noqa: S101  # the backup has just been published
    try:
        name = _make(step, RestoreOrder(order.directory, order.name, manifest.sha256, "unused"), manifest)
    except Stopped:
        raise
    except RunnerError as error:
        step.warnings.append(f"No copy was made beside the backup, a restore would take the dump: {error.message}")
        return result
    if not name:
        return result
    step.log.say("cloned", name=name)
    report = dataclasses.replace(result.backup, clone=name)
    return dataclasses.replace(result, backup=report, message=f"{result.message} The server made a copy, {name}.")


def _make(step: Step, order: RestoreOrder, manifest: Manifest) -> str:
    given = wanted(step, order, manifest, Path(order.directory) / manifest.file)
    lock = step.engine.lock(exclusive=True, should_stop=step.check, wait_seconds=step.task.locks.grace_seconds)
    try:
        with step.engine.connect() as session:
            heads = step.engine.heads(session, manifest.version_table)
            digest = read_catalog(step.engine, session).fingerprint(manifest.version_table)
        if heads != tuple(sorted(manifest.revisions)) or digest != manifest.catalog_digest:
            raise Refusal(RunnerReason.DATABASE_MOVED, "The database is not any more what was backed up.")
        return clone(step.engine, admin_engine(step), given, lock, step.check)
    finally:
        lock.release()
