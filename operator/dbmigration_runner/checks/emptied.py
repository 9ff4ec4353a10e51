"""What a downgrade brings back without the data that its upgrade had dropped.

The texts of both are read in the child, beside Alembic; what is told is only what an upgrade drops and the same revision's
downgrade surely makes again. The parent then asks the database whether that is there, and whether it was filled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbmigration_runner.checks.drops import Drop, Ledger, in_todays_names
from dbmigration_runner.checks.reversal import enter
from dbmigration_runner.engines.grants import strangers
from dbmigration_runner.errors import RunnerError
from dbmigration_runner.events import Emptied

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from alembic.script import Script

    from dbmigration_runner.engines.interface import Engine

LOOK_SECONDS = 5
LOCK_SECONDS = 0.2  # somebody at work is not waited for
_ROLES_TOLD = 3


def emptied(pending: Sequence[Script], dialect: str | None = None) -> tuple[Emptied, ...]:
    """Of a way down in its order, in the names that hold at its end. Never raises."""
    read = [(script.revision, *_both(script, dialect)) for script in reversed(pending)]
    back = [
        (revision, [drop for drop in up.drops if _is_made(drop, down)], up.made, up.renamed)
        for revision, up, down in read
    ]
    downs = {revision: down for revision, _, down in read}
    return tuple(
        Emptied(revision, drop.table, drop.column, _may_be_filled(downs[revision]))
        for revision, drops in in_todays_names(back).items()
        for drop in drops
    )


def told(engine: Engine, found: Iterable[Emptied]) -> tuple[str, ...]:
    """Those that are there and were not filled, in words. What cannot be looked at is told of, for it may be so."""
    return tuple(
        f"the table {item.table}{_strangers(engine, item.table)}"
        if item.column is None
        else f"the column {item.table}.{item.column}"
        for item in found
        if _is_without_its_data(engine, item)
    )


def _both(script: Script, dialect: str | None) -> tuple[Ledger, Ledger]:
    up, down = Ledger(), Ledger()
    enter(script, "upgrade", up, dialect)
    enter(script, "downgrade", down, dialect)
    return up, down


def _is_made(drop: Drop, down: Ledger) -> bool:
    return drop in down.made or Drop(drop.table) in down.made


def _may_be_filled(down: Ledger) -> bool:
    """A downgrade that writes rows at all may bring the values from where its upgrade had put them."""
    return bool(down.filled or down.unclear or down.saves)


def _is_without_its_data(engine: Engine, item: Emptied) -> bool:
    name = item.table if item.column is None else f"{item.table}.{item.column}"
    try:
        with engine.connect(statement_timeout_seconds=LOOK_SECONDS, lock_timeout_seconds=LOCK_SECONDS) as session:
            there = engine.has_table(session, name) if item.column is None else engine.has_column(session, name)
            # A column that nobody filled holds its default, if anything: only of others do values say something.
            if not there or not (item.column is None or item.may_be_filled):
                return there
            return not engine.has_rows(session, item.table, item.column, seconds=LOOK_SECONDS)
    except RunnerError:
        return True


def _strangers(engine: Engine, table: str) -> str:
    """Who cannot read it any more, as far as its neighbours tell: the application would be told of it by an error."""
    try:
        with engine.connect(statement_timeout_seconds=LOOK_SECONDS, lock_timeout_seconds=LOCK_SECONDS) as session:
            roles = strangers(engine, session, str(table))
    except RunnerError:
        return ""
    names = ", ".join(roles[:_ROLES_TOLD]) + (" and others" if len(roles) > _ROLES_TOLD else "")
    return f" ({names} may use its neighbours, and not it: grant that again)" if roles else ""
