"""What a database must be able to do to be put back from a dump: one narrow interface, one class an engine.

`engines/<name>_restore.py` holds `restore_for(engine, admin, wanted)`. What may be lost, and what is written about it, is
none of its business; nor is where a dump lies: it is given a path.
"""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from dbmigration_runner.contract.reasons import RunnerReason
from dbmigration_runner.engines.messages import short
from dbmigration_runner.errors import RunnerError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from dbmigration_runner.contract.result import TableLoss
    from dbmigration_runner.engines.catalog import Catalog
    from dbmigration_runner.engines.dump import Surroundings
    from dbmigration_runner.engines.interface import Engine, Lock


_SHOWN = 5
STILL_CLOSED = "The database is still closed to everybody, as far as can be seen; the next attempt, or whatever step comes next, opens it."


@dataclass(frozen=True)
class Wanted:
    """What is to be put back, and what its manifest says must then be there.

    `token` is the same for all attempts of a run at this backup, and nobody else's: by it an attempt knows what the one
    before it left. `catalog` is None where the manifest's is of another form than today's. `left_out` are tables with rows that the
    dump does not hold.
    """

    path: Path
    sha256: str
    rows: Mapping[str, int]
    revisions: tuple[str, ...]
    version_table: str
    catalog: Catalog | None
    surroundings: Surroundings | None
    token: str
    keep_as: str
    application_name: str
    size_bytes: int = 0
    spared_users: tuple[str, ...] = ()
    grace_seconds: int = 30
    nothing_written: bool = False  # since before the backup
    left_out: tuple[str, ...] = ()
    sizes: Mapping[str, int] = field(default_factory=dict)  # bytes of each table's rows; {} where they are not known


@dataclass(frozen=True)
class LostRow:
    """One row that differs from the backup: `key` by column, as text; `kind` is inserted, updated or deleted."""

    table: str
    kind: str
    key: Mapping[str, str | None] = field(default_factory=dict)


class Restore(Protocol):
    """One database and its restored copy beside it. Used by one thread; `close` ends what it opened.

    The order is the caller's: lock, refuse_impossible, fill, fence, compare, swap. Up to swap the database itself is not
    touched, and a kill leaves it so, but for a fence that whoever comes next lifts; swap is one instant.
    """

    engine: Engine  # by which the database is locked and looked at: past a pooler where there is a way

    def lock(self, should_stop: Callable[[], None]) -> Lock:
        """End what an earlier attempt of this run left at work, lift its fence, take the run's lock. Raises Refusal."""
        ...

    def swapped(self) -> str | None:
        """The name of the replaced database where an earlier attempt of this run put the restored one in its place."""
        ...

    def refuse_impossible(self) -> None:
        """Raises Refusal (RestoreNotPossible, DiskSpaceLow) for what can be known before anything is begun."""
        ...

    @property
    def is_filled(self) -> bool:
        """Is the verified copy there already, by an earlier attempt or a clone? Then the dump is not needed."""
        ...

    def fill(self, alive: Callable[[], None]) -> tuple[str, ...]:
        """Restore into a copy beside the database and compare it with the manifest; warnings.

        Goes on with a copy that an earlier attempt finished. Raises RunnerError (RestoreFailed, …), and then there is none.
        """
        ...

    @property
    def is_compared(self) -> bool:
        """After fill: may the copy lack anything, so that compare is to be called?"""
        ...

    def fence(self, alive: Callable[[], None]) -> AbstractContextManager[None]:
        """Within, nobody but us is in the database; afterwards, unless the copy took its place, everybody may be again.

        Raises RunnerError (SessionStays) where somebody cannot be put out.
        """
        ...

    def compare(self, lost: Callable[[LostRow], None], alive: Callable[[], None]) -> tuple[TableLoss, ...]:
        """What was written since the backup, table by table; `lost` is told each row. Within the fence only."""
        ...

    def swap(self, lock: Lock, alive: Callable[[], None]) -> str:
        """Put the copy in the database's place, within the fence; the name under which the replaced one is kept.

        `lock` is given back: nobody can hold it in a database while its name is exchanged.
        """
        ...

    def confirm(self) -> tuple[str, ...]:
        """After the swap: does the ordinary URL lead to what was put in place? Warnings; never raises."""
        ...

    def discard(self) -> tuple[str, ...]:
        """Remove the copy; never raises. Sentences about what the restore leaves behind otherwise than it was."""
        ...

    def close(self) -> None:
        """Never raises."""
        ...


def is_restored(engine: Engine) -> bool:
    """Does this release know how to put a backup in the place of such a database?"""
    return importlib.util.find_spec(f"dbmigration_runner.engines.{engine.name}_restore") is not None


def blockers(engine: Engine, admin: Engine | None, *, with_rights: bool = True) -> tuple[str, ...]:
    """What forbids a restore whatever the backup, as sentences that name the remedy; () where nothing is seen to.

    `with_rights`: also what the role may not do; without, it is another's role, not at hand, who would restore. Of an engine
    that has no `<name>_blockers.py` nothing is known in advance.
    """
    name = f"dbmigration_runner.engines.{engine.name}_blockers"
    if importlib.util.find_spec(name) is None:
        return ()
    found: tuple[str, ...] = importlib.import_module(name).blockers(engine, admin, with_rights=with_rights)
    return found


def restore_for(engine: Engine, admin: Engine | None, wanted: Wanted) -> Restore:
    """The restore of an engine; `admin` is the same server by the URL of who may create and rename databases.

    Raises RunnerError where the client programs or the URL do not serve.
    """
    module = importlib.import_module(f"dbmigration_runner.engines.{engine.name}_restore")
    found: Restore = module.restore_for(engine, admin, wanted)
    return found


def drop_replaced(engine: Engine, admin: Engine | None, name: str) -> bool:
    """Remove a replaced database that a restore of this one kept as `name`; False where there is none of ours so called."""
    module = importlib.import_module(f"dbmigration_runner.engines.{engine.name}_restore")
    found: bool = module.drop_replaced(engine, admin, name)
    return found


def same_schema(wanted: Catalog | None, found: Catalog, part: Callable[[Catalog], Catalog]) -> tuple[str, ...]:
    """Is a restored copy's schema the backup's, in the `part` that a dump carries? Warnings; raises RunnerError where it is another."""
    if wanted is None:
        return ("The restored schema was not compared: the backup's manifest is of another release.",)
    difference = part(wanted).difference(part(found))
    if difference and not difference.is_of_wording:
        raise another(str(difference))
    return (f"The restored schema is spelled in another way: {difference}",) if difference else ()


def another(why: str) -> RunnerError:
    """What stands in the copy is not what the manifest says."""
    return RunnerError(RunnerReason.RESTORE_FAILED, short(f"What was restored is not what was backed up: {why}"))


def not_looked_for(ended: tuple[str, ...], kept: str) -> str:
    """Somebody was in the database when it was closed, although all that was named had been drained since before the backup."""
    names = f"{', '.join(ended[:_SHOWN])}{f' and {len(ended) - _SHOWN} more' if len(ended) > _SHOWN else ''}"
    return (
        f"In the database when it was closed: {names}. What they wrote since the backup was not looked for; it is in {kept}. Name in "
        "drain.workloads whoever writes."
    )
