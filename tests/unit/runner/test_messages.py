"""What may be said of an exception: never a value of a row."""

from __future__ import annotations

import asyncpg
import pytest
from alembic.util import CommandError
from sqlalchemy.exc import ArgumentError, StatementError

from dbmigration_runner.engines.messages import describe, sql_error


def _as_pg8000(code: str, message: str) -> Exception:
    """As pg8000 raises it: the server's fields, under their letters, in the first argument."""
    kind = type("DatabaseError", (Exception,), {"__module__": "pg8000.exceptions"})
    return kind({"S": "ERROR", "C": code, "M": message, "D": "Key (name)=(Grace Hopper) already exists."})


def test_the_fields_of_pg8000_give_code_and_message_and_no_detail():
    found = sql_error(_as_pg8000("55P03", "canceling statement due to lock timeout"))
    assert found is not None
    assert (found.is_lock_timeout, str(found)) == (True, "55P03 canceling statement due to lock timeout")
    assert "Grace" not in describe(_as_pg8000("23505", 'duplicate key value violates unique constraint "people_name"'))


@pytest.mark.parametrize(
    "error",
    [
        _as_pg8000("22P02", 'invalid input syntax for type integer: "Grace Hopper"'),
        _as_pg8000("22003", 'value "Grace Hopper" is out of range for type integer'),
        _as_pg8000("22007", 'invalid value "Gr" for "YYYY"; also "Hopper" in "Grace Hopper"'),
        _as_pg8000("22P02", 'malformed array literal: "Gr"ace\n"Hopper"'),
        asyncpg.exceptions.DataError("invalid input for query argument $1: 'Grace Hopper' (an integer is required)"),
        ValueError("no such person: Grace Hopper"),
        KeyError("Grace Hopper"),
        RuntimeError("cannot move Grace Hopper"),
        StatementError("(builtins.ValueError) Grace Hopper", "INSERT", {}, ValueError("Grace Hopper")),
    ],
    ids=str,
)
def test_no_value_of_a_row_is_said(error):
    said = describe(error)
    assert said
    assert not any(part in said for part in ("Gr", "Hopper"))


@pytest.mark.parametrize(
    "error",
    [CommandError("No such revision"), ArgumentError("No such option"), ModuleNotFoundError("No such module")],
    ids=lambda error: type(error).__name__,
)
def test_what_the_libraries_say_about_scripts_and_options_is_said(error):
    assert "No such" in describe(error)
