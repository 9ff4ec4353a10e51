"""The compare step: what a schema differs in, item by item, from the one that a backup was taken of.

Reads the backup's manifest, never its dump, and the database in a read-only session. It must not judge the difference.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dbmigration_runner.checks.difference import difference, rewordings
from dbmigration_runner.checks.manifest import read_manifest
from dbmigration_runner.contract.counting import counted
from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.contract.result import CompareReport, Outcome, Result
from dbmigration_runner.engines import read_catalog
from dbmigration_runner.engines.catalog import Catalog, has_readable_lines
from dbmigration_runner.errors import Refusal

if TYPE_CHECKING:
    from dbmigration_runner.step import Step

REWORDINGS_TOLD = 5


def compare(step: Step) -> Result:
    """Raises RunnerError where there is nothing to compare with, or the database cannot be read."""
    order = step.task.compare
    if order is None:
        raise Refusal(RunnerReason.TASK_INVALID, "The task does not say what to compare with.")
    manifest = read_manifest(Path(order.directory), order.backup)
    if manifest is None or not has_readable_lines(manifest.catalog_digest):
        raise Refusal(
            RunnerReason.BACKUP_NOT_FOUND,
            f"The schema in the backup {order.backup} cannot be read any more: its manifest is gone, or of another release.",
        )
    with step.engine.connect() as session:
        step.recognise(session)
        heads = step.engine.heads(session, order.version_table)
        now = read_catalog(step.engine, session)
    schemas = Catalog(manifest.catalog).without(manifest.version_table), now.without(order.version_table)
    lines = difference(*schemas)
    step.warnings += rewordings(*schemas)[:REWORDINGS_TOLD]
    step.log.say("schema-compared", against=order.backup, differences=lines)
    return step.result(
        Outcome.SUCCEEDED,
        RunnerReason.DONE,
        f"From the one before, the schema differs in {counted(len(lines), 'item')}."
        if lines
        else "The schema is the one before.",
        heads=heads,
        catalog=now.fingerprint(order.version_table),
        compare=CompareReport(against=order.backup, count=len(lines), differences=lines),
    )
