"""A file's dump is a database already, from which a restore copies page by page: nothing else is to be made beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from dbmigration_runner.engines.interface import Engine, Lock, Session
    from dbmigration_runner.engines.restore import Wanted


def room(session: Session) -> int:
    """See engines.clone.room."""
    del session
    return 0


def clone(engine: Engine, admin: Engine | None, wanted: Wanted, lock: Lock, alive: Callable[[], None]) -> str:
    """See engines.clone.clone."""
    del engine, admin, wanted, lock, alive
    return ""


def drop_clones(engine: Engine, admin: Engine | None) -> None:
    """See engines.clone.drop_clones."""
    del engine, admin
