"""The rights that a dump gives to roles, given one by one: who is gone since must not end a restore, nor cost others theirs.

pg_restore gives all rights on an object in one message to the server, which refuses all of it for one role that is not there.
It must not judge whether a right should be given.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dbmigration_runner.errors import StatementRefused

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dbmigration_runner.engines.interface import Session

UNDEFINED_OBJECT = "42704"  # no such role: the objects were restored just now
_OURS = ("GRANT ", "REVOKE ", "ALTER DEFAULT PRIVILEGES ")
_AS, _AGAIN = "SET SESSION AUTHORIZATION ", "RESET SESSION AUTHORIZATION"
_SHOWN = 5
_HELD = """
SELECT pg_catalog.concat(n.nspname, '.', c.relname), c.relowner::text, c.relrowsecurity, c.relforcerowsecurity,
  ARRAY(SELECT x::text FROM pg_catalog.unnest(c.relacl) x ORDER BY 1),
  ARRAY(SELECT pg_catalog.concat_ws(' ', p.polname, p.polcmd, p.polpermissive, p.polroles,
          pg_catalog.pg_get_expr(p.polqual, p.polrelid), pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid))
        FROM pg_catalog.pg_policy p WHERE p.polrelid = c.oid ORDER BY 1)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND c.relpersistence <> 't' AND pg_catalog.left(n.nspname, 3) <> 'pg_'
  AND n.nspname <> 'information_schema'
"""
_NAME = re.compile(r'"((?:[^"]|"")*)"')


@dataclass(frozen=True)
class Given:
    """What came of it: the roles that are gone, and what else the server refused."""

    gone: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()


def told(gone: Iterable[str]) -> tuple[str, ...]:
    """A sentence about roles that are gone, where there are any."""
    names = sorted(set(gone))
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    sentence = f"Roles that the backup gave rights or settings to are gone since, and got none: {', '.join(names[:_SHOWN])}{more}."
    return (sentence,) if names else ()


def give(session: Session, script: str) -> Given:
    """Run pg_restore's script of rights.

    What another grantor had given is left out where that one is gone. Raises RunnerError where the session is lost.
    """
    gone: dict[str, None] = {}
    refused: list[str] = []
    may_speak = True  # in the name of who had given it
    for statement in statements(script):
        if statement.startswith(_AGAIN):
            session.run(_AGAIN)
            may_speak = True
        elif statement.startswith(_AS) or (may_speak and statement.startswith(_OURS)):
            try:
                session.run(statement)
            except StatementRefused as error:
                may_speak = not statement.startswith(_AS)
                if error.code == UNDEFINED_OBJECT:
                    name = _NAME.search(error.message)
                    gone[name[1] if name else error.message] = None
                else:
                    refused.append(error.message)
    return Given(tuple(gone), tuple(refused))


def statements(script: str) -> Iterator[str]:
    """Each without its semicolon; a line may end within a name. Pure."""
    begun: list[str] = []
    for line in script.splitlines():
        if not begun and (not line or line.startswith("--")):
            continue
        begun.append(line)
        text = "\n".join(begun)
        if text.endswith(";") and text.count('"') % 2 == 0:
            yield text[:-1]
            begun = []


def changed(*, before: Session, now: Session) -> tuple[str, ...]:
    """A sentence about tables, views and sequences of both databases whose rights or policies differ."""
    one, other = ({row[0]: row[1:] for row in session.rows(_HELD)} for session in (before, now))
    names = sorted(name for name in one.keys() & other.keys() if one[name] != other[name])
    if not names:
        return ()
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return (
        f"Rights or policies were changed since the backup, and are as they were then: on {', '.join(names[:_SHOWN])}{more}.",
    )
