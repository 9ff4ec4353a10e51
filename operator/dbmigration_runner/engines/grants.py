"""Who lost their rights on a table that was dropped and made again: `engines/<name>_grants.py`.

An engine without such a module keeps rights by the table's name, or has none: nobody loses any. This module knows no engine.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dbmigration_runner.engines.interface import Engine, Session


def strangers(engine: Engine, session: Session, table: str) -> tuple[str, ...]:
    """Roles without a right on this table that have one on others of its schema. Raises RunnerError."""
    name = f"dbmigration_runner.engines.{engine.name}_grants"
    if importlib.util.find_spec(name) is None:
        return ()
    found: tuple[str, ...] = importlib.import_module(name).strangers(session, table)
    return found
