"""What restores of this database left: the databases that they replaced, and what was written about the rows that were lost.

Dropped is only what the task names and the engine finds to be ours. A backup never fails for it: the next one tries again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
from pathlib import Path
from typing import TYPE_CHECKING

from dbmigration_runner.checks.manifest import SUFFIX, sync_directory
from dbmigration_runner.engines.restore import drop_replaced, is_restored
from dbmigration_runner.errors import RunnerError

if TYPE_CHECKING:
    from dbmigration_runner.contract.result import BackupReport
    from dbmigration_runner.contract.task import BackupOrder
    from dbmigration_runner.engines.interface import Engine

# <backup>.lost-<suffix>.jsonl and <backup>.restore-<suffix>.json, and what a killed restore left of one.
_RECORD = re.compile(
    r"(?P<backup>.+)\.(lost|restore)-(?P<suffix>[A-Za-z0-9][A-Za-z0-9_-]{0,39})\.jsonl?(\.partial)?", re.ASCII
)


def forget(
    order: BackupOrder, report: BackupReport, engine: Engine, admin: Engine | None
) -> tuple[BackupReport, tuple[str, ...]]:
    """Drop what is to go, and what was written about it; the report with that, and warnings. Never raises."""
    dropped: list[str] = []
    missing: list[str] = []
    warnings: list[str] = []
    for name in order.drop_replaced if is_restored(engine) else ():
        try:
            (dropped if drop_replaced(engine, admin, name) else missing).append(name)
        except (RunnerError, OSError) as error:
            why = error.message if isinstance(error, RunnerError) else error.strerror
            warnings.append(f"The replaced database {name} could not be dropped, and is tried again: {why}")
    failed = [name for name in order.drop_replaced if name not in {*dropped, *missing}]
    try:
        _forget_records(Path(order.directory), (*order.keep_replaced, *failed))
    except OSError as error:
        warnings.append(f"Records of earlier restores could not be removed: {error.strerror}")
    return dataclasses.replace(report, dropped=tuple(dropped), missing=tuple(missing)), tuple(warnings)


def _forget_records(directory: Path, kept: tuple[str, ...]) -> None:
    """A list of lost rows goes when neither its backup nor the database is there any more in which the values are."""
    gone = False
    for path in tuple(directory.iterdir()):
        named = _RECORD.fullmatch(path.name)
        if named is None or (directory / (named["backup"] + SUFFIX)).exists():
            continue
        if not any(named["suffix"] in name for name in kept):
            with contextlib.suppress(FileNotFoundError, IsADirectoryError):
                path.unlink()
                gone = True
    if gone:
        sync_directory(directory)
