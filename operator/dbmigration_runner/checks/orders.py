"""The record, beside the backups, of what people ordered by name: so that nothing is done twice, whoever asks again.

It outlives every object of the cluster. It is written before the names are exchanged and once more afterwards: whoever finds the
first alone knows by what names to look for the exchange. Must not know how anything is restored.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path

from dbmigration_runner.checks.loss import finish, private_file
from dbmigration_runner.checks.manifest import PARTIAL, now
from dbmigration_runner.contract.codec import DecodeError, decode, encode
from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.contract.result import CarriedOut, RestoreReport
from dbmigration_runner.contract.task import OrderedBy, RestoreOrder
from dbmigration_runner.errors import Refusal

NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?")
_LARGEST_BYTES = 16 << 20


@dataclass(frozen=True)
class Record:
    """One order: the backup that was put in place, or was about to be where `done_at` is ""."""

    by: OrderedBy
    backup: str
    keep_as: str
    report: RestoreReport
    done_at: str = ""


def carried_out(directory: Path, name: str, backup: str) -> CarriedOut | None:
    """What became of an order of that name before; None where nothing did. Raises Refusal (OrderNameTaken)."""
    record = _record(directory, name, backup)
    if record is None or not record.done_at:
        return None
    return CarriedOut(record.backup, record.done_at, record.by.identity, record.by.target, record.report)


def continued(order: RestoreOrder) -> RestoreOrder:
    """As an earlier attempt began it, whichever run that was of. Raises Refusal (OrderNameTaken, AlreadyRestored)."""
    if order.by is None:
        return order
    record = _record(Path(order.directory), order.by.name, order.backup)
    if record is None or record.keep_as == order.keep_as:
        return order
    if record.done_at:
        raise Refusal(
            RunnerReason.ALREADY_RESTORED,
            f"The order {order.by.name} was carried out at {record.done_at}; it is not carried out again.",
        )
    return replace(order, keep_as=record.keep_as)


def begun(order: RestoreOrder, report: RestoreReport) -> None:
    """The exchange is about to be made. Raises OSError."""
    if order.by is not None:
        _write(Path(order.directory), Record(order.by, order.backup, order.keep_as, report))


def done(order: RestoreOrder, report: RestoreReport) -> None:
    """The exchange was made. Raises OSError; what `begun` wrote still tells."""
    if order.by is not None:
        _write(Path(order.directory), Record(order.by, order.backup, order.keep_as, report, now()))


def _record(directory: Path, name: str, backup: str) -> Record | None:
    if not NAME.fullmatch(name):
        raise Refusal(RunnerReason.TASK_INVALID, "The order's name is none that an object could have.")
    record = _read(_path(directory, name))
    if record is not None and record.backup != backup:
        raise Refusal(
            RunnerReason.ORDER_NAME_TAKEN,
            f"An order called {name} put the backup {record.backup} in place before; give this one another name.",
        )
    return record


def _read(path: Path) -> Record | None:
    """A record that cannot be read is not taken for none."""
    if not os.path.lexists(path):
        return None
    with contextlib.suppress(OSError, ValueError, RecursionError, DecodeError):
        if not path.is_symlink() and path.stat().st_size <= _LARGEST_BYTES:
            return decode(Record, json.loads(path.read_text(encoding="utf-8")))
    raise Refusal(
        RunnerReason.ORDER_NAME_TAKEN,
        f"What was done before for an order of that name cannot be read in {path.name}; give this one another name.",
    )


def _write(directory: Path, record: Record) -> None:
    path = _path(directory, record.by.name)
    partial = path.with_name(path.name + PARTIAL)
    file = private_file(partial)
    file.write(json.dumps(encode(record), ensure_ascii=False).encode("utf-8", "surrogateescape"))
    finish(file, partial, path)


def _path(directory: Path, name: str) -> Path:
    return directory / f"order-{name}.json"
