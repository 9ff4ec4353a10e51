"""A copy of a database that its own server makes, so that a restore takes seconds at any size: `engines/<name>_clone.py`.

An engine without such a module has no cheap copy.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from dbmigration_runner.engines.interface import Engine, Lock, Session
    from dbmigration_runner.engines.restore import Wanted


def is_cloned(engine: Engine) -> bool:
    """Is there something in a restore's reach that is quicker than a dump?"""
    return importlib.util.find_spec(f"dbmigration_runner.engines.{engine.name}_clone") is not None


def room(engine: Engine, session: Session) -> int:
    """Bytes that the copy will take on the server, about; 0 where none is made."""
    found: int = _module(engine).room(session)
    return found


def clone(engine: Engine, admin: Engine | None, wanted: Wanted, lock: Lock, alive: Callable[[], None]) -> str:
    """Leave a closed copy of the database that any restore of this backup takes for its own; its name, "" where none is needed.

    Earlier ones are removed first. Nobody but us may be in the database meanwhile: whoever is, is put out. `lock` is given back.
    Raises RunnerError, and then there is no copy, and everybody may come in again.
    """
    found: str = _module(engine).clone(engine, admin, wanted, lock, alive)
    return found


def drop_clones(engine: Engine, admin: Engine | None) -> None:
    """Remove what earlier backups of the database left on its server. Raises RunnerError."""
    if is_cloned(engine):
        _module(engine).drop_clones(engine, admin)


def _module(engine: Engine) -> ModuleType:
    return importlib.import_module(f"dbmigration_runner.engines.{engine.name}_clone")
