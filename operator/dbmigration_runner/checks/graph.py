"""The revisions between where a database is and where it shall be, as Alembic's own script directory tells them.

Pure over a loaded ScriptDirectory: no connection, no env.py. Which revisions run, and what the version table then holds,
is asked of Alembic's own functions; nothing of that is worked out here a second time.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alembic.runtime.migration import HeadMaintainer, MigrationStep
from alembic.script import revision as revisions
from alembic.util import CommandError

from dbmigration_runner.contract.heads import named
from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.errors import Refusal

if TYPE_CHECKING:
    from alembic.script import Script, ScriptDirectory

    from dbmigration_runner.contract.task import ExpectedPlan

SYMBOLS = ("head", "heads")
HASH_VERSION = 1


@dataclass(frozen=True)
class Way:
    """`pending` is in the order of execution; `final` is what the version table will then hold."""

    start: tuple[str, ...]
    final: tuple[str, ...]
    pending: tuple[Script, ...]


class _Ledger(HeadMaintainer):
    """Alembic's own book-keeping of heads, with the database left out."""

    def _insert_version(self, version: str) -> None:
        self.heads.add(version)

    def _delete_version(self, version: str) -> None:
        self.heads.remove(version)

    def _update_version(self, from_: str, to_: str) -> None:
        self.heads.remove(from_)
        self.heads.add(to_)


def way(script: ScriptDirectory, heads: tuple[str, ...], target: str) -> Way:
    """From these heads up to the target.

    Raises Refusal: UnknownRevision, UnknownTarget, MultipleHeads, DowngradeNotAllowed, ScriptError.
    """
    _refuse_unknown_heads(script, heads)
    wanted = _resolve(script, target)
    if target not in SYMBOLS:
        _refuse_downgrade(script, heads, wanted)
    try:
        for found in script.iterate_revisions(target, heads, implicit_base=True):
            _refuse_unrunnable(found)
        steps = script._upgrade_revs(target, heads)  # type: ignore[arg-type]  # noqa: SLF001  # what `upgrade` calls
    except (CommandError, revisions.RevisionError) as error:
        raise Refusal(RunnerReason.UNKNOWN_TARGET, f"{target} cannot be reached from {named(heads)}: {error}") from None
    ledger = _Ledger(None, heads)  # type: ignore[arg-type]  # the context would only be used to write
    for step in steps:
        ledger.update_to_step(step)
    pending = tuple(step.revision for step in steps)
    return Way(start=heads, final=tuple(sorted(ledger.heads)), pending=pending)


def steps_of(script: ScriptDirectory, path: Way) -> list[Any]:
    """The path as Alembic executes it."""
    return [MigrationStep.upgrade_from_script(script.revision_map, found) for found in path.pending]


def agree(
    script: ScriptDirectory, heads: tuple[str, ...], target: str, expected: ExpectedPlan, *, first_attempt: bool
) -> Way:
    """The way that was decided on, from the heads it was decided for; an earlier attempt may have gone a part of it.

    Raises Refusal (DatabaseMoved) where the database is not on that way, or further on it than any attempt of ours went.
    """
    if first_attempt and set(heads) != set(expected.start):
        raise Refusal(
            RunnerReason.DATABASE_MOVED,
            f"The database is at {named(heads)} and not at {named(expected.start)}, where it was planned and backed up: "
            "somebody else moved it. Plan again.",
        )
    whole = way(script, expected.start, target)
    rest = way(script, heads, target)
    planned = {found.revision for found in whole.pending}
    strangers = [head for head in heads if head not in expected.start and head not in planned]
    unplanned = [found.revision for found in rest.pending if found.revision not in planned]
    if strangers or unplanned or (rest.final != whole.final):
        raise Refusal(
            RunnerReason.DATABASE_MOVED,
            f"The database is at {named(heads)}, which is not on the way from {named(expected.start)} to {named(whole.final)} "
            "that was planned and backed up: somebody else moved it. Plan again.",
        )
    return whole


def plan_hash(script: ScriptDirectory, path: Way, config_file: str, image: str) -> str:
    """What an approval is for. Rendered SQL is no part of it: it varies between two renderings of one plan."""
    document = {
        "version": HASH_VERSION,
        "start": sorted(path.start),
        "target": sorted(path.final),
        "revisions": [[found.revision, _digest(found.path)] for found in path.pending],
        "environment": _digest(str(Path(script.dir, "env.py"))),
        "config": _digest(config_file),
        "image": image,
    }
    return hashlib.sha256(json.dumps(document, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _refuse_unknown_heads(script: ScriptDirectory, heads: tuple[str, ...]) -> None:
    for head in heads:
        try:
            known = script.revision_map.get_revision(head)
        except revisions.RevisionError:
            known = None
        if known is None or known.revision != head:
            raise Refusal(
                RunnerReason.UNKNOWN_REVISION,
                f"The database is at revision {head}, which the scripts do not have: it is ahead of this image, or another "
                "application's. Use the image that knows it, or restore a backup from before it.",
            )


def _resolve(script: ScriptDirectory, target: str) -> tuple[str, ...]:
    if target in {"", "base"} or set("+-:") & set(target.rpartition("@")[2]):  # no revision id may hold these
        raise Refusal(RunnerReason.UNKNOWN_TARGET, f"The target must be head, heads or a revision, not {target!r}.")
    try:
        found = script.revision_map.get_revisions(target)
    except revisions.MultipleHeads as error:
        raise Refusal(
            RunnerReason.MULTIPLE_HEADS,
            f"The scripts have several heads ({', '.join(sorted(error.heads))}), so {target} is not one place: merge them, "
            "or set targetRevision to heads or to one of them.",
        ) from None
    except revisions.RevisionError as error:
        raise Refusal(RunnerReason.UNKNOWN_TARGET, f"The scripts have no revision {target}: {error}.") from None
    known = tuple(sorted(item.revision for item in found if isinstance(item, revisions.Revision)))
    if not known:
        raise Refusal(
            RunnerReason.UNKNOWN_TARGET, f"The scripts have no revision {target}: the version folder may be empty."
        )
    return known


def _refuse_downgrade(script: ScriptDirectory, heads: tuple[str, ...], wanted: tuple[str, ...]) -> None:
    """A target behind the database is an accident, or a wish that another step fulfils: never an upgrade to nowhere."""
    behind: set[str] = set()
    frontier = [parent for head in heads for parent in _parents(script, head)]
    while frontier:
        current = frontier.pop()
        if current not in behind:
            behind.add(current)
            frontier += _parents(script, current)
    past = [revision for revision in wanted if revision in behind]
    if past:
        raise Refusal(
            RunnerReason.DOWNGRADE_NOT_ALLOWED,
            f"The database is at {named(heads)}, ahead of the target {named(tuple(past))}. Set targetRevision to where it shall be.",
        )


def _parents(script: ScriptDirectory, revision: str) -> tuple[str, ...]:
    found = script.revision_map.get_revision(revision)
    return tuple(found._versioned_down_revisions) if found is not None else ()  # noqa: SLF001  # resolved to full ids


def _refuse_unrunnable(found: Script) -> None:
    if not callable(getattr(found.module, "upgrade", None)):
        raise Refusal(
            RunnerReason.SCRIPT_ERROR, f"Revision {found.revision} has no function upgrade: {Path(found.path).name}."
        )


def _digest(path: str) -> str:
    file = Path(path)
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""
