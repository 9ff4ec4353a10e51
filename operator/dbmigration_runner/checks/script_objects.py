"""Objects of the modules that a revision loaded: what their attributes are, and where the text of their functions is.

They are looked at and never called: no property, no `__getattr__`, no descriptor runs.
"""

from __future__ import annotations

import ast
import inspect
import sys
import warnings
from enum import Enum
from functools import lru_cache
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from dbmigration_runner.checks.script_values import (
    UNKNOWN,
    UNLOADED,
    Definition,
    Frame,
    Function,
    Instance,
    Made,
    is_plain,
    kind_of,
    table_of,
)

_MOST_WRAPPERS = 20
_WRAPPERS = ("contextlib", "functools")  # whose decorators put a function of theirs before the one that is meant


LIBRARIES = {*sys.stdlib_module_names, "alembic", "sqlalchemy"} - {"__main__"}


def attribute(value: Any, name: str) -> Any:
    """Without running a property or a `__getattr__`."""
    if value is UNKNOWN:
        return UNKNOWN
    if isinstance(value, Made):
        return _of_made(value, name)
    if isinstance(value, Instance):
        found = inspect.getattr_static(value.owner, name, UNKNOWN)
        if isinstance(found, FunctionType):
            return function_of(found, value) or UNKNOWN
        return found if is_plain(found) else _of_class(value.owner, name)
    if isinstance(value, (ModuleType, type)):
        return _of_module(value, name) if isinstance(value, ModuleType) else _of_class(value, name)
    if kind_of(value) == "Table":
        return {"name": inspect.getattr_static(value, "name", UNKNOWN), "fullname": table_of(value)}.get(name, UNKNOWN)
    if isinstance(value, Enum) and name in {"value", "name"}:
        found = value._value_ if name == "value" else value._name_
        return found if is_plain(found) else UNKNOWN
    return UNKNOWN


def _of_made(made: Made, name: str) -> Any:
    if made.kind == UNLOADED:
        return made
    if made.kind == "Connection" and name in {"dialect", "engine", "bind", "connection", "impl"}:
        return made  # they all tell the same name: the database's
    if name == "name":
        return made.name if made.name is not None else UNKNOWN
    return made if name == "__table__" else UNKNOWN


def _of_module(module: ModuleType, name: str) -> Any:
    found = vars(module).get(name, UNKNOWN)
    varies = (
        is_plain(found) and root_of(module) in sys.stdlib_module_names
    )  # sys.argv is another one in another process
    return UNKNOWN if varies else found


def _of_class(owner: type, name: str) -> Any:
    found = inspect.getattr_static(owner, name, UNKNOWN)
    if isinstance(found, classmethod):
        return (function_of(found.__func__, owner) if isinstance(found.__func__, FunctionType) else None) or UNKNOWN
    if isinstance(found, staticmethod):
        found = found.__func__
    known = is_plain(found) or isinstance(found, (FunctionType, type, Enum))
    return found if known or kind_of(found) in {"Table", "MetaData"} else UNKNOWN


def root_of(value: Any) -> str:
    """The top-level package that a function, class, module or object comes from; "" where that is not known."""
    if isinstance(value, ModuleType):
        name: Any = vars(value).get("__name__")
    elif isinstance(value, (FunctionType, BuiltinFunctionType)):
        name = value.__module__
    else:
        owner = value if isinstance(value, type) else type(value)
        name = type.__dict__["__module__"].__get__(owner)
    return name.split(".")[0] if isinstance(name, str) else ""


def function_of(value: FunctionType, owner: Any = None) -> Function | None:
    """The text of a loaded function, bound to `owner`; None where it cannot be had."""
    definition = _definition(value.__code__)
    return Function(definition, value.__globals__, _closure(value), owner) if definition is not None else None


@lru_cache(maxsize=1024)
def _definition(code: CodeType) -> Definition | None:
    tree = tree_of(code.co_filename)
    for node in ast.walk(tree) if tree is not None else ():
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name == code.co_name:
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            if first == code.co_firstlineno:
                return node
    return None


def unwrapped(value: Any) -> Any:
    """What lies behind a bound method, or a decorator of Python's own library."""
    for _ in range(_MOST_WRAPPERS):
        if isinstance(value, MethodType):
            bound = value.__self__ if isinstance(value.__self__, type) else Instance(type(value.__self__))
            found = function_of(value.__func__, bound) if isinstance(value.__func__, FunctionType) else None
            return found if found is not None else UNKNOWN
        own = isinstance(value, FunctionType) and Path(value.__code__.co_filename).stem not in _WRAPPERS
        inner = None if own or isinstance(value, type) else inspect.getattr_static(value, "__wrapped__", None)
        if inner is None:
            return value
        value = inner
    return UNKNOWN


def _closure(value: FunctionType) -> Frame | None:
    names: dict[str, Any] = {}
    for name, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=False):
        try:
            names[name] = cell.cell_contents
        except ValueError:  # not assigned yet
            names[name] = UNKNOWN
    return Frame(names, value.__globals__) if names else None


@lru_cache(maxsize=64)
def tree_of(path: str) -> ast.Module | None:
    """A module's text, parsed; None where there is none, or another language."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the text's style, to be said when it is loaded
            return ast.parse(Path(path).read_bytes())
    except (OSError, ValueError, SyntaxError, RecursionError, MemoryError):
        return None
