"""Alembic's operations, `op.…` and `batch_op.…`: what each of them takes away, makes or renames.

Knows names and keywords of Alembic only, and the types between which no value can be cut.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from dbmigration_runner.checks.drops import HOLE, Drop
from dbmigration_runner.checks.script_values import UNKNOWN, Made, kind_of, name_of, table_of, text_of

if TYPE_CHECKING:
    from dbmigration_runner.checks.drops import Ledger

_IDLE = ("get_bind", "get_context", "f", "inline_literal", "batch_alter_table", "implementation_for")
# Of plugins: drop_geospatial_column and the like. Views, functions, triggers, types … hold no data.
_DESTROYS = re.compile(r"(drop|delete|truncate).*(table|column|schema|row|data)", re.IGNORECASE)
_HARMLESS = re.compile(r"comment|constraint|index|trigger|policy|view", re.IGNORECASE)
_TEXTS = ("string", "varchar", "nvarchar", "unicode", "char", "enum")
_LONG_TEXTS = ("text", "unicodetext", "clob")
_LONGER_TEXTS = ("longtext", "mediumtext", "longblob", "mediumblob")  # MySQL's, whose TEXT holds 64 KiB
_INTEGERS = ("smallint", "smallinteger", "int", "integer", "bigint", "biginteger")


def operate(  # noqa: C901, PLR0912  # one case an operation
    ledger: Ledger,
    batch: Made | None,
    name: str,
    values: list[Any],
    named: dict[str, Any],
    *,
    surely: bool,
    dialect: str | None,
) -> Any:
    """Enter an operation and tell what it gives. In a batch the table is the batch's."""
    if name not in _IDLE:
        ledger.acts = True
    given = [batch.table, *values] if batch is not None else values
    schema = named.get("schema")
    match name:
        case "get_bind" | "get_context":
            return Made("Connection", name=dialect)
        case "f" | "inline_literal":
            return values[0] if values else UNKNOWN
        case "batch_alter_table":
            return Made("Batch", _qualified(_argument(given, named, 0, "table_name"), schema))
        case "drop_table":
            ledger.drop(_qualified(_argument(given, named, 0, "table_name"), schema))
        case "drop_column":
            table = _table(batch, given, named, schema)
            column = name_of(_argument(given, named, 1, "column_name"))
            ledger.drop(table, "" if HOLE in column else column)
        case "alter_column":
            _alter(ledger, _table(batch, given, named, schema), given, named)
        case "rename_table":
            old = _qualified(_argument(given, named, 0, "old_table_name"), schema)
            ledger.rename(Drop(old), Drop(_qualified(_argument(given, named, 1, "new_table_name"), schema)))
        case "create_table":
            ledger.make(_qualified(_argument(given, named, 0, "table_name"), schema), surely=surely)
            return Made("Table", _qualified(_argument(given, named, 0, "table_name"), schema))
        case "add_column":
            column = name_of(_argument(given, named, 1, "column"))
            ledger.make(_table(batch, given, named, schema), column, surely=surely and "if_not_exists" not in named)
        case "bulk_insert":
            ledger.fill(table_of(_argument(given, named, 0, "table")))
        case _ if _DESTROYS.search(name) and not _HARMLESS.search(name):
            ledger.say(f"calls op.{name}(), which is none of Alembic's own operations")
        case _:
            pass
    return UNKNOWN


def _alter(ledger: Ledger, table: str, given: list[Any], named: dict[str, Any]) -> None:
    column = name_of(_argument(given, named, 1, "column_name"))
    if named.get("type_") is not None and not convert_is_safe(named.get("existing_type"), named["type_"]):
        ledger.convert(table, column)
    new = named.get("new_column_name", named.get("name"))
    if new is not None:
        ledger.rename(Drop(table, column), Drop(table, name_of(new)))


def convert_is_safe(old: Any, new: Any) -> bool:
    """Does the new type surely hold every value of the old one?"""
    (old_name, old_arguments), (new_name, new_arguments) = _type(old), _type(new)
    if new_name in _LONG_TEXTS and not new_arguments:
        return old_name not in _LONGER_TEXTS  # true also where the old one is not told
    if not old_name:
        return False
    if old_name in _INTEGERS and new_name in _INTEGERS:
        return _INTEGERS.index(new_name) // 2 >= _INTEGERS.index(old_name) // 2
    if old_name != new_name and not (old_name in _TEXTS[:4] and new_name in _TEXTS[:4]):
        return False
    if old_name == "enum":
        labels = [{item for item in part if type(item) is str} for part in (old_arguments, new_arguments)]
        return bool(labels[0]) and labels[0] <= labels[1]
    lengths = [_length(part) for part in (old_arguments, new_arguments)]
    if lengths[0] is not None and lengths[1] is not None and old_name in _TEXTS:
        return lengths[0] <= lengths[1]
    return old_name == new_name and UNKNOWN not in old_arguments and old_arguments == new_arguments


def _type(value: Any) -> tuple[str, tuple[Any, ...]]:
    if isinstance(value, Made):
        return value.kind.lower(), value.arguments
    if isinstance(value, type):
        return value.__name__.lower(), ()
    return kind_of(value).lower(), (UNKNOWN,)  # an object of the module: how it was made is not told


def _length(arguments: tuple[Any, ...]) -> int | None:
    found = [part[1] if type(part) is tuple and part[:1] == ("length",) else part for part in arguments]
    return found[0] if found and type(found[0]) is int else None


def _argument(given: list[Any], named: dict[str, Any], place: int, name: str) -> Any:
    return named.get(name, given[place] if len(given) > place else UNKNOWN)


def _table(batch: Made | None, given: list[Any], named: dict[str, Any], schema: Any) -> str:
    if batch is not None:
        return batch.table or HOLE
    return _qualified(_argument(given, named, 0, "table_name"), schema)


def _qualified(name: Any, schema: Any) -> str:
    table = name_of(name)
    if schema is None or table == HOLE:
        return table
    return f"{text_of(schema)}.{table}"
