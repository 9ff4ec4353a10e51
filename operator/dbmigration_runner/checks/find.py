"""The find step: the backup that a person's order names, on its storage, and what the database is before it is replaced.

Changes nothing, and asks the application for nothing: at that hour its image may be what is broken. It estimates what was
written since, and must not judge whether anything would be lost.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dbmigration_runner.checks.backup import said_of
from dbmigration_runner.checks.estimate import estimate
from dbmigration_runner.checks.manifest import NAME, Manifest, plain_name, read_manifests, report_of
from dbmigration_runner.checks.orders import carried_out
from dbmigration_runner.checks.stored import is_of_database, is_of_object, stored
from dbmigration_runner.contract.heads import named
from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.contract.result import FindReport, Outcome, Result
from dbmigration_runner.errors import Refusal, SessionNotOpened

if TYPE_CHECKING:
    from dbmigration_runner.contract.task import FindOrder
    from dbmigration_runner.engines.interface import Session
    from dbmigration_runner.step import Step

_SHOWN = 8


def find(step: Step) -> Result:
    """Raises RunnerError where there is no such backup, or the database cannot be reached."""
    order = step.task.find
    if order is None:
        raise Refusal(RunnerReason.TASK_INVALID, "The task does not say what to find.")
    directory = Path(order.directory)
    with said_of(directory):
        there = read_manifests(directory) if directory.is_dir() else ()
        before = carried_out(directory, order.order, order.backup)
    # The one that the order names is told apart, where there is still something to do with it.
    known = order.known if before is not None else (*order.known, order.backup)
    step.storage = stored(directory, there, known, step.task.run, step.engine)
    manifest = next((known for known in there if known.name == order.backup and NAME.fullmatch(known.name)), None)
    if before is None:
        manifest = _fitting(step, order, manifest, there)
    with _of_database(step) as session:
        step.recognise(session)
    if (
        manifest is not None
        and manifest.server
        and step.facts is not None
        and step.facts.server not in {"", manifest.server}
    ):
        step.warnings.append(
            f"The backup {order.backup} was taken of a database of that name on another server than the one that the URL leads to "
            "now. That is right after a move of the database, and wrong where the URL names another environment."
        )
    version_table = manifest.version_table if manifest is not None else step.version_table
    # Whoever locks tables there must not hold the order up: what cannot be read within a moment is not known.
    seen = step.quick_look(version_table)
    return step.result(
        Outcome.SUCCEEDED,
        RunnerReason.DONE,
        f"The backup {order.backup} was found." if before is None else f"The order was carried out at {before.at}.",
        heads=seen.heads if seen is not None else None,
        catalog=seen.catalog if seen is not None else None,
        find=FindReport(
            report_of(directory, manifest) if manifest is not None else None,
            version_table,
            before,
            written=estimate(step.engine, manifest) if manifest is not None and before is None else "",
        ),
    )


def _of_database(step: Step) -> Session:
    try:
        return step.first_session()
    except SessionNotOpened as error:
        if error.reason is not RunnerReason.DATABASE_NOT_FOUND:
            raise
        raise SessionNotOpened(
            error.reason,
            f"{error.message} A restore takes the place of a database that is there: create an empty one of that name, with the same "
            "owner; the order goes on by itself. It needs acceptDataLoss, for every table of the backup counts as gone since; its rows come back.",
        ) from None


def _fitting(step: Step, order: FindOrder, manifest: Manifest | None, there: tuple[Manifest, ...]) -> Manifest:
    """Raises Refusal (BackupNotFound, BackupOfAnother)."""
    if manifest is None:
        raise Refusal(
            RunnerReason.BACKUP_NOT_FOUND, f"There is no backup {order.backup} with a whole dump. {_listed(there)}"
        )
    if not is_of_object(manifest, step.task.run):
        whose = manifest.object.rpartition("/")[0]
        raise Refusal(RunnerReason.BACKUP_OF_ANOTHER, f"The backup {order.backup} is of {whose}. {_listed(there)}")
    if not is_of_database(manifest, step.engine):
        raise Refusal(
            RunnerReason.BACKUP_OF_ANOTHER,
            f"The backup {order.backup} is of the {manifest.engine} database {manifest.database or '(unnamed)'}, but the URL "
            f"leads to the {step.engine.name} database {plain_name(step.engine.url.database)}.",
        )
    if manifest.restorable is False:
        step.warnings.append(f"When the backup was made, its schema could not be restored: {manifest.restorable_note}")
    return manifest


def _listed(there: tuple[Manifest, ...]) -> str:
    if not there:
        return "There is none at all."
    shown = ", ".join(f"{known.name} (at {named(known.revisions)})" for known in there[:_SHOWN])
    more = f", and {len(there) - _SHOWN} older ones" if len(there) > _SHOWN else ""
    return f"There are: {shown}{more}."
