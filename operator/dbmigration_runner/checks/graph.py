"""The revisions between where a database is and where it shall be, as Alembic's own script directory tells them.

Pure over a loaded ScriptDirectory: no connection, no env.py. Which revisions run, and what the version table then holds,
is asked of Alembic's own functions; nothing of that is worked out here a second time.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
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
BASE = "base"
HASH_VERSION = 1


@dataclass(frozen=True)
class Way:
    """`pending` is in the order of execution; `places` are the version table's heads after each of them, sorted."""

    start: tuple[str, ...]
    pending: tuple[Script, ...]
    places: tuple[tuple[str, ...], ...]
    down: bool = False

    @property
    def final(self) -> tuple[str, ...]:
        """What the version table holds at the end."""
        return self.places[-1] if self.places else self.start

    def position(self, heads: tuple[str, ...]) -> int | None:
        """How many of its revisions are behind a database at these heads; None where it is not on this way."""
        found = tuple(sorted(heads))
        behind = [number for number, place in enumerate((tuple(sorted(self.start)), *self.places)) if place == found]
        return behind[-1] if behind else None

    def rest(self, heads: tuple[str, ...]) -> Way:
        """From a place on this way to its end."""
        behind = self.position(heads)
        if behind is None:
            raise ValueError("not a place on this way")
        return Way(heads, self.pending[behind:], self.places[behind:], self.down)


class _Ledger(HeadMaintainer):
    """Alembic's own book-keeping of heads, with the database left out."""

    def _insert_version(self, version: str) -> None:
        self.heads.add(version)

    def _delete_version(self, version: str) -> None:
        self.heads.remove(version)

    def _update_version(self, from_: str, to_: str) -> None:
        self.heads.remove(from_)
        self.heads.add(to_)


def way(script: ScriptDirectory, heads: tuple[str, ...], target: str, *, may_go_down: bool = False) -> Way:
    """From these heads to the target, which lies behind them only where that is meant.

    Raises Refusal: UnknownRevision, UnknownTarget, MultipleHeads, DowngradeNotAllowed, DowngradeImpossible, ScriptError.
    """
    _refuse_unknown_heads(script, heads)
    wanted = (BASE,) if target == BASE else _resolve(script, target)
    behind = _behind(script, heads, wanted) if target not in SYMBOLS else ()
    if behind and not may_go_down:
        raise Refusal(
            RunnerReason.DOWNGRADE_NOT_ALLOWED,
            f"The database is at {named(heads)}, ahead of the target {named(behind)}. Set policy.downgrade to Allow if it shall "
            "go back, or targetRevision to where it shall be.",
        )
    try:
        if behind:
            pending = tuple(script.iterate_revisions(heads, target, select_for_downgrade=True))  # as `downgrade` does
        else:
            pending = _upward(script, heads, target)
    except (CommandError, revisions.RevisionError) as error:
        raise Refusal(RunnerReason.UNKNOWN_TARGET, f"{target} cannot be reached from {named(heads)}: {error}") from None
    return _walked(script, heads, pending, down=bool(behind))


def aim(script: ScriptDirectory, target: str) -> tuple[str, ...]:
    """The heads that the target means. Raises Refusal (UnknownTarget, MultipleHeads)."""
    return () if target == BASE else _resolve(script, target)


def steps_of(script: ScriptDirectory, path: Way) -> list[Any]:
    """The path as Alembic executes it."""
    make = MigrationStep.downgrade_from_script if path.down else MigrationStep.upgrade_from_script
    return [make(script.revision_map, found) for found in path.pending]


def agree(
    script: ScriptDirectory,
    heads: tuple[str, ...],
    target: str,
    expected: ExpectedPlan,
    *,
    first_attempt: bool,
    may_go_down: bool = False,
) -> Way:
    """The whole way that was decided on, from the heads it was decided for; an earlier attempt may have gone a part of it.

    Raises Refusal (DatabaseMoved) where the database is at no place of that way.
    """
    if first_attempt and set(heads) != set(expected.start):
        raise Refusal(
            RunnerReason.DATABASE_MOVED,
            f"The database is at {named(heads)} and not at {named(expected.start)}, where it was planned and backed up: "
            "somebody else moved it. Plan again.",
        )
    whole = way(script, expected.start, target, may_go_down=may_go_down)
    if whole.position(heads) is None:
        raise Refusal(
            RunnerReason.DATABASE_MOVED,
            f"The database is at {named(heads)}, which is not on the way from {named(expected.start)} to {named(whole.final)} "
            "that was planned and backed up: somebody else moved it. Plan again.",
        )
    return whole


def back(script: ScriptDirectory, whole: Way, heads: tuple[str, ...]) -> Way:
    """Undo exactly what was done of a way, in reverse: from a place on it to its start.

    `alembic downgrade X` cannot say that where there are branches. Raises Refusal (DowngradeImpossible).
    """
    done = whole.pending[: whole.position(heads)]
    path = _walked(script, heads, tuple(reversed(done)), down=True)
    if set(path.final) != set(whole.start):
        raise Refusal(
            RunnerReason.DOWNGRADE_IMPOSSIBLE,
            f"Undoing what was applied would end at {named(path.final)} and not at {named(whole.start)}, where it began.",
        )
    return path


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


def _upward(script: ScriptDirectory, heads: tuple[str, ...], target: str) -> tuple[Script, ...]:
    if target == BASE:
        return ()
    for found in script.iterate_revisions(target, heads, implicit_base=True):
        _refuse_without(found, "upgrade", RunnerReason.SCRIPT_ERROR)
    steps = script._upgrade_revs(target, heads)  # type: ignore[arg-type]  # noqa: SLF001  # what `upgrade` calls
    return tuple(step.revision for step in steps)


def _walked(script: ScriptDirectory, heads: tuple[str, ...], pending: tuple[Script, ...], *, down: bool) -> Way:
    """Ask Alembic's own book-keeping where each revision leads."""
    path = Way(heads, pending, (), down)
    if down:
        for found in pending:
            _refuse_without(found, "downgrade", RunnerReason.DOWNGRADE_IMPOSSIBLE)
    ledger = _Ledger(None, heads)  # type: ignore[arg-type]  # the context would only be used to write
    places = []
    for step in steps_of(script, path):
        ledger.update_to_step(step)
        places.append(tuple(sorted(ledger.heads)))
    return replace(path, places=tuple(places))


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
    if not target or set("+-:") & set(target.rpartition("@")[2]):  # no revision id may hold these
        raise Refusal(
            RunnerReason.UNKNOWN_TARGET,
            f"The target must be head, heads, base or a revision's id, not {target!r}: one that is counted from elsewhere would be "
            "another place after each run.",
        )
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


def _behind(script: ScriptDirectory, heads: tuple[str, ...], wanted: tuple[str, ...]) -> tuple[str, ...]:
    """Those of the wanted revisions that the database has left behind."""
    behind = {BASE} if heads else set()
    frontier = [parent for head in heads for parent in _parents(script, head)]
    while frontier:
        current = frontier.pop()
        if current not in behind:
            behind.add(current)
            frontier += _parents(script, current)
    return tuple(revision for revision in wanted if revision in behind)


def _parents(script: ScriptDirectory, revision: str) -> tuple[str, ...]:
    found = script.revision_map.get_revision(revision)
    return tuple(found._versioned_down_revisions) if found is not None else ()  # noqa: SLF001  # resolved to full ids


def _refuse_without(found: Script, function: str, reason: RunnerReason) -> None:
    if not callable(getattr(found.module, function, None)):
        raise Refusal(reason, f"Revision {found.revision} has no function {function}: {Path(found.path).name}.")


def _digest(path: str) -> str:
    file = Path(path)
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""
