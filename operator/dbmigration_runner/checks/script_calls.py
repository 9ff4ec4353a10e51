"""What a call in a revision does: Alembic's operations, SQLAlchemy's statements and sessions, functions that can be read.

Enters into the ledger what takes something away. A function whose text can be had is read like the revision itself,
wherever it was imported from; of others it is unclear what they do only where name or arguments speak for destruction.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import inspect
import logging
import re
import sys
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from dbmigration_runner.checks.drops import DESTROYS, HOLE
from dbmigration_runner.checks.script_computing import computed, method
from dbmigration_runner.checks.script_objects import LIBRARIES, attribute, function_of, root_of, unwrapped
from dbmigration_runner.checks.script_operations import operate
from dbmigration_runner.checks.script_values import (
    UNKNOWN,
    UNLOADED,
    Flow,
    Frame,
    Function,
    Instance,
    Made,
    Some,
    is_plain,
    items_of,
    kind_of,
    name_of,
    table_of,
    text_of,
)
from dbmigration_runner.checks.sql_text import read_sql

if TYPE_CHECKING:
    from dbmigration_runner.checks.drops import Ledger
    from dbmigration_runner.checks.script_reader import Reader

_OPERATION = re.compile(r"(Drop|Alter|Execute)(?!Index|Constraint|TableComment)\w*Op$")
_EXECUTES = ("execute", "exec_driver_sql", "executemany", "executescript", "exec")
_ASKS = ("scalar", "scalars", "scalar_one", "fetch", "fetchall", "fetchone")
_ACTIVE = ("os", "subprocess", "shutil")
_WRITES = ("add", "add_all", "bulk_insert_mappings", "create", "create_all")


class Calls:
    """What calls mean, for one reader."""

    def __init__(self, reader: Reader, ledger: Ledger) -> None:
        self._reader = reader
        self._ledger = ledger
        self._flow = Flow.ON

    def flow_of(self, node: ast.expr, frame: Frame) -> Flow:
        """An expression that stands for itself: a call that never comes back ends what calls it."""
        self._flow = Flow.ON
        self._reader.value(node, frame)
        return self._ended() if isinstance(node, ast.Call) else Flow.ON

    def _ended(self) -> Flow:
        """How the last call ended, once."""
        flow, self._flow = self._flow, Flow.ON
        return flow

    def value_of(self, node: ast.Call, frame: Frame) -> Any:
        """Do what a call does, and tell what it gives."""
        values, named = self._arguments(node, frame)
        self._flow = Flow.ON
        if isinstance(node.func, ast.Attribute):
            owner = self._reader.value(node.func.value, frame)
            if isinstance(owner, (ModuleType, type, Instance)) and not _is_operations(owner):
                callee = attribute(owner, node.func.attr)
                if callee is UNKNOWN and root_of(owner) in LIBRARIES:  # one that has no text: `Inspector.from_engine`
                    return _make(node.func.attr, values, named) if root_of(owner) == "sqlalchemy" else UNKNOWN
                return self._call(callee, node.func.attr, values, named)
            return self._method(owner, node, values, named, frame)
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        return self._call(self._reader.value(node.func, frame), name, values, named)

    def _arguments(self, node: ast.Call, frame: Frame) -> tuple[list[Any], dict[str, Any]]:
        values: list[Any] = []
        named: dict[str, Any] = {}
        for part in node.args:
            value = self._reader.value(part, frame)
            if isinstance(part, ast.Starred):
                items = items_of(value) if not isinstance(value, Some) else None
                values += items if items is not None else [UNKNOWN]
            else:
                values.append(value)
        for keyword in node.keywords:
            value = self._reader.value(keyword.value, frame)
            if keyword.arg is not None:
                named[keyword.arg] = value
            elif type(value) is dict:
                named.update({str(key): item for key, item in value.items()})
        return values, named

    def _method(self, owner: Any, node: ast.Call, values: list[Any], named: dict[str, Any], frame: Frame) -> Any:
        """`owner.name(…)`."""
        assert isinstance(node.func, ast.Attribute)  # noqa: S101  # told apart above
        name = node.func.attr
        if _is_operations(owner) or (isinstance(owner, Made) and owner.kind == "Batch"):
            return self._operate(owner if isinstance(owner, Made) else None, name, values, named)
        if isinstance(owner, Made) and owner.kind == UNLOADED:
            return self._unloaded(ast.unparse(node.func))
        if is_plain(owner) or isinstance(owner, Some):
            return method(owner, node, values, named, frame)
        if name in _EXECUTES:
            return self._execute(values[0] if values else next(iter(named.values()), UNKNOWN))
        if name in _ASKS:
            if values and values[0] is not UNKNOWN:
                self._execute(values[0])
            return UNKNOWN
        if name in {"drop", "drop_all"}:
            return self._drop(owner, name, values, named)
        return self._statement(owner, node, values, named)

    def _operate(self, batch: Made | None, name: str, values: list[Any], named: dict[str, Any]) -> Any:
        if name == "execute":
            return self._execute(values[0] if values else named.get("sqltext", UNKNOWN))
        if name in {"run_async", "invoke"} and values and isinstance(values[0], (Function, FunctionType)):
            return self._call(values[0], name, [UNKNOWN, *values[1:]], named)
        if name == "invoke":
            kind = values[0].kind if values and isinstance(values[0], Made) else ""
            if not kind or _OPERATION.search(kind):
                self._ledger.say(f"invokes {kind or 'an operation that is only known when it runs'}")
            return UNKNOWN
        return operate(
            self._ledger, batch, name, values, named, surely=not self._reader.unsure, dialect=self._reader.dialect
        )

    def _execute(self, statement: Any) -> Any:
        """Somebody executes it; where nothing is known of it, it may be anything."""
        self._ledger.acts = True
        clause = inspect.getattr_static(statement, "text", None) if kind_of(statement) == "TextClause" else None
        if type(statement) is str:
            read_sql(statement, self._ledger)
        elif isinstance(clause, str):
            read_sql(clause, self._ledger)
        elif type(statement) in (list, tuple):
            for part in statement:
                self._execute(part)
        elif isinstance(statement, Made):
            self._execute_made(statement)
        elif not kind_of(statement):
            self._ledger.say("executes a statement that is only known when it runs")
        return UNKNOWN

    def _execute_made(self, made: Made) -> None:
        match made.kind:
            case "text":
                read_sql(made.name or HOLE, self._ledger)
            case "Delete":
                self._ledger.empty(made.table, every_row=not made.limited)
            case "Update":
                self._ledger.overwrite(made.table, made.columns)
            case "Insert":
                self._ledger.fill(made.table)
            case "DropTable":
                self._ledger.drop(made.table)
            case "DropSchema":
                self._ledger.say("drops a schema")
            case _:
                pass

    def _drop(self, owner: Any, name: str, values: list[Any], named: dict[str, Any]) -> Any:
        """`table.drop(bind)`, `metadata.drop_all(bind)`, and an enum's, which destroys nothing."""
        table = table_of(owner)
        chosen = items_of(named.get("tables", values[1] if len(values) > 1 else None))
        if name == "drop_all" and chosen is not None:
            for item in chosen:
                self._ledger.drop(table_of(item))
        elif name == "drop_all" and kind_of(owner) == "MetaData":
            for item in list(dict.values(owner.tables)):
                self._ledger.drop(table_of(item))
        elif name == "drop_all":
            self._ledger.say("drops every table of its metadata")
        elif table is not None:
            self._ledger.drop(table)
        elif owner is UNKNOWN:
            self._ledger.say("drops an object that is only known when it runs")
        self._ledger.acts = True
        return UNKNOWN

    def _statement(self, owner: Any, node: ast.Call, values: list[Any], named: dict[str, Any]) -> Any:
        """A method of a table, a statement, a session, or of something that is not known."""
        assert isinstance(node.func, ast.Attribute)  # noqa: S101  # told apart above
        name, table = node.func.attr, table_of(owner)
        kind = owner.kind if isinstance(owner, Made) else ""
        match name:
            case "query":
                return Made("Query", table_of(values[0]) if values else None)
            case "delete" | "update" if kind == "Query":
                return self._execute(Made(name.capitalize(), table, columns=_set(values, named), limited=owner.limited))
            case "delete" if values and table is None:
                return self._ledger.say("deletes rows through an ORM session")
            case "delete" | "update" | "insert" if name != "insert" or table is not None:  # a list has that too
                return Made(name.capitalize(), table, columns=_set(values, named))
            case "where" | "filter" | "filter_by" | "whereclause" if kind:
                return dataclasses.replace(owner, limited=True)
            case "values" | "ordered_values" if kind == "Update":
                return dataclasses.replace(owner, columns=_set(values, named))
            case "on_conflict_do_update" | "on_duplicate_key_update":
                return Made("Update", table)
            case "bulk_update_mappings":
                return self._ledger.overwrite(table_of(values[0]) if values else None)
            case "commit" | "flush" | "bulk_save_objects" | "merge":
                self._ledger.saves = self._ledger.acts = True
                self._ledger.sets |= name == "merge"
            case _ if kind:
                self._ledger.acts |= name in _WRITES
                return owner
            case _ if DESTROYS.search(name) and owner is UNKNOWN:
                self._ledger.say(f"calls {ast.unparse(node.func)}(), which could not be read")
            case _:
                self._hand_over([*values, *named.values()])
                self._ledger.acts |= not isinstance(owner, logging.Logger)
        return UNKNOWN

    def _call(self, callee: Any, name: str, values: list[Any], named: dict[str, Any]) -> Any:
        """A function or class, known or not."""
        if type(callee) is functools.partial:
            return self._call(callee.func, name, [*callee.args, *values], {**callee.keywords, **named})
        callee = unwrapped(callee)
        root = root_of(callee) if callee is not UNKNOWN else ""
        told = callee.__name__ if isinstance(callee, (FunctionType, type)) else name
        if isinstance(callee, Function):
            return self._run(callee, values, named)
        if _is_operation(callee, told):
            return self._operate(None, told, values, named)
        if isinstance(callee, Made):
            return self._unloaded(name) if callee.kind == UNLOADED else callee
        if root == "sqlalchemy" or kind_of(callee):
            return _make(told, values, named)
        if root == "alembic":
            return Made(told) if isinstance(callee, type) else UNKNOWN
        if root in sys.stdlib_module_names and isinstance(callee, (FunctionType, BuiltinFunctionType, type)):
            return self._standard(callee, told, values)
        return self._read(callee, name or told, values, named)

    def _unloaded(self, name: str) -> Any:
        self._ledger.say(f"calls {name}() of a module that is loaded only when it runs")
        return UNKNOWN

    def _read(self, callee: Any, name: str, values: list[Any], named: dict[str, Any]) -> Any:
        """Somebody's function: followed where its text can be had."""
        if isinstance(callee, FunctionType) and (function := function_of(callee)) is not None:
            return self._run(function, values, named)
        if isinstance(callee, type):
            begin = inspect.getattr_static(callee, "__init__", None)
            if isinstance(begin, FunctionType) and (function := function_of(begin)) is not None:
                self._run(dataclasses.replace(function, owner=Instance(callee)), values, named)
            return Instance(callee)
        self._hand_over([*values, *named.values()])
        handed = any(_is_operations(value) or _is_connection(value) for value in (*values, *named.values()))
        is_unreadable = isinstance(callee, FunctionType) and root_of(callee) not in LIBRARIES  # a lambda of a module
        if DESTROYS.search(name) or handed or is_unreadable:
            self._ledger.say(f"calls {name}(), which could not be read")
        self._ledger.acts = True
        return UNKNOWN

    def _hand_over(self, values: list[Any]) -> None:
        """A function that is handed to somebody may be called by him, with whatever."""
        for value in values:
            if isinstance(value, (Function, FunctionType)) and root_of(value) not in LIBRARIES:
                self._call(value, "a function", [], {})
            elif isinstance(value, FunctionType) and _is_operation(value, value.__name__):
                self._operate(None, value.__name__, [], {})

    def _run(self, function: Function, values: list[Any], named: dict[str, Any]) -> Any:
        flow, value = self._reader.run(function, values, named)
        self._flow = flow
        return value

    def _standard(self, callee: Any, name: str, values: list[Any]) -> Any:
        """Of Python's own library: what only makes values of values is done."""
        root = root_of(callee)
        if root == "logging":
            return Made("Logger")
        if name == "setattr":
            self._ledger.sets = True
        if root in _ACTIVE:
            self._ledger.acts = True
        if (root, name) in {("sys", "exit"), ("builtins", "exit"), ("_sitebuiltins", "exit")}:
            self._flow = Flow.RAISED
        if name == "map" and len(values) == 2 and (items := items_of(values[1])) is not None:  # noqa: PLR2004
            return [self._call(values[0], "a function", [item], {}) for item in items]
        self._hand_over(values)
        return computed(getattr(callee, "__name__", name), values)


def _make(name: str, values: list[Any], named: dict[str, Any]) -> Any:
    """What SQLAlchemy's functions and classes give."""
    first = values[0] if values else UNKNOWN
    match name:
        case "Table" | "table":
            schema = named.get("schema")
            table = name_of(named.get("name", first))
            return Made("Table", f"{schema}.{table}" if type(schema) is str and schema else table)
        case "Column" | "column":
            return Made("Column", name=name_of(named.get("name", first)))
        case "text" | "DDL" | "TextClause":
            return Made("text", name=text_of(first if values else named.get("text", named.get("statement"))))
        case "delete" | "Delete" | "update" | "Update" | "insert" | "Insert":
            return Made(name.capitalize(), table_of(named.get("table", first)))
        case "DropTable" | "DropSchema":
            return Made(name, table_of(first))
        case "quoted_name":
            return first
        case _:
            return Made(name, arguments=(*values, *named.items()))


def _set(values: list[Any], named: dict[str, Any]) -> tuple[str, ...]:
    """The columns that an UPDATE sets; one that is not known is a HOLE."""
    given = values[0] if values else None
    keys = list(given) if type(given) is dict else ([] if given is None else [HOLE])
    mapped = named.get("values")
    keys += list(mapped) if type(mapped) is dict else []
    return tuple(name_of(key) for key in keys) + tuple(
        name for name in named if name not in {"values", "synchronize_session", "whereclause"}
    )


def _is_operations(value: Any) -> bool:
    return isinstance(value, ModuleType) and value.__name__ == "alembic.op"


def _is_connection(value: Any) -> bool:
    return isinstance(value, Made) and value.kind in {"Connection", "Session", "Batch"}


def _is_operation(callee: Any, name: str) -> bool:
    """Imported by name: `from alembic.op import drop_table`."""
    module = sys.modules.get("alembic.op")
    return isinstance(callee, FunctionType) and module is not None and vars(module).get(name) is callee
