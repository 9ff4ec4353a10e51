"""How heads are named for people, everywhere the same: in status, messages, Events, reports and logs.

Pure. It must not look at a database, nor know what the heads are for.
"""

from __future__ import annotations

from collections.abc import Iterable

NO_REVISION = "<base>"  # Alembic's own word for it: what `alembic history` begins with


def named(heads: Iterable[str]) -> str:
    """Heads for a sentence or a column."""
    return ", ".join(sorted(heads)) or NO_REVISION
