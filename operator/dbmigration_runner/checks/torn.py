"""What is said of a revision that is half applied: which of its statements are committed, and that the others are not.

Where changes of a schema know no transaction (MariaDB, and SQLite by its driver's default) that is the ordinary failure;
a person has to undo those statements, or run the others, or take the backup. Says what the child told and nothing more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbmigration_runner.engines.messages import short

if TYPE_CHECKING:
    from dbmigration_runner.application import Story
    from dbmigration_runner.log import Log

SHOWN, SHOWN_CHARACTERS = 3, 80  # in a sentence that still has to tell why
REPORTED, REPORTED_CHARACTERS = 12, 120  # in a result, which has little room


def ran(story: Story) -> tuple[str, ...]:
    """The statements that stay, in order."""
    return tuple(
        f"{told.statement} ({told.times} times)" if told.times > 1 else told.statement for told in story.stayed
    )


def told(revision: str | None, statements: tuple[str, ...], message: str, *, undone: bool) -> str:
    """The message of a failed revision, with what it left behind before it."""
    if not statements:
        return message
    more = len(statements) - SHOWN
    shown = "; ".join(short(statement, SHOWN_CHARACTERS) for statement in statements[:SHOWN]) + (
        f"; and {more} more" if more > 0 else ""
    )
    are = "are" if len(statements) > 1 else "is"
    return f"Revision {revision} is half {'undone' if undone else 'applied'}: {len(statements)} of its statements ran and {are} committed: {shown}. {message}"


def reported(statements: tuple[str, ...]) -> tuple[str, ...]:
    """The first of them, for a result."""
    return tuple(short(statement, REPORTED_CHARACTERS) for statement in statements[:REPORTED])


def log(say: Log, revision: str | None, statements: tuple[str, ...]) -> None:
    """All of them, one line each: a result has room for a few."""
    for number, statement in enumerate(statements, 1):
        say.say("statement-committed", revision=revision, number=number, of=len(statements), statement=statement)
