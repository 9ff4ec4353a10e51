"""What Python's own functions and methods make of values that are known. Nothing here calls anything of the application's."""

from __future__ import annotations

import ast
from types import ModuleType
from typing import Any

from dbmigration_runner.checks.drops import HOLE
from dbmigration_runner.checks.script_objects import attribute
from dbmigration_runner.checks.script_values import UNKNOWN, Frame, Some, at_most, formatted, items_of, text_of, truth

_SCALARS = ("str", "bool", "getattr", "range")
_GROWS = ("append", "extend", "add", "insert", "update", "pop", "remove", "discard", "clear", "setdefault", "sort")


def computed(name: str, values: list[Any]) -> Any:
    """Of lists, and of lists that are only known at most; then what is made of them is known at most, too."""
    listed = values[1:2] if name == "filter" else values
    if name == "filter" or any(isinstance(value, Some) for value in listed):
        made = computed("list" if name == "filter" else name, [items_of(value) or UNKNOWN for value in listed])
        return at_most(made) if type(made) in (list, tuple) else UNKNOWN
    items = items_of(values[0]) if values else None
    return _scalar(name, values) if items is None or name in _SCALARS else _listed(name, items, values)


def _listed(name: str, items: list[Any], values: list[Any]) -> Any:
    match name:
        case "list" | "sorted" | "set" | "frozenset":
            return items
        case "tuple":
            return tuple(items)
        case "reversed":
            return list(reversed(items))
        case "enumerate":
            return list(enumerate(items))
        case "zip":
            columns = [items_of(value) for value in values]
            known = [column for column in columns if column is not None]
            return list(zip(*known, strict=False)) if len(known) == len(columns) else UNKNOWN
        case "len":
            return len(items)
        case _:
            return UNKNOWN


def _scalar(name: str, values: list[Any]) -> Any:
    match name:
        case "str" if len(values) == 1:
            return text_of(values[0])
        case "bool" if len(values) == 1:
            known_truth = truth(values[0])
            return UNKNOWN if known_truth is None else known_truth
        case "dedent" | "cleandoc" if len(values) == 1:
            return values[0]
        case "range" if values and all(type(value) is int for value in values) and len(values) < 3:  # noqa: PLR2004
            return range(*values)
        case "getattr" if len(values) > 1 and type(values[1]) is str and isinstance(values[0], ModuleType):
            return attribute(values[0], values[1])
        case _:
            return UNKNOWN


def method(owner: Any, node: ast.Call, values: list[Any], named: dict[str, Any], frame: Frame) -> Any:
    """A method of Python's own texts, lists and dictionaries."""
    assert isinstance(node.func, ast.Attribute)  # noqa: S101  # told apart above
    name = node.func.attr
    if type(owner) is str:
        return formatted(owner, values, named) if name == "format" else _text_method(owner, name, values)
    if type(owner) is dict:
        match name:
            case "items" | "keys" | "values":
                return list(getattr(owner, name)())
            case "get" if values and type(values[0]) is str:
                return owner.get(values[0], values[1] if len(values) > 1 else None)
            case _:
                pass
    if name in _GROWS and isinstance(node.func.value, ast.Name) and node.func.value.id in frame.names:
        frame.names[node.func.value.id] = _grown(owner, name, values)
    return UNKNOWN


def _grown(owner: Any, name: str, values: list[Any]) -> Any:
    """A list after `append` or `extend`; after anything else it is not known."""
    new = items_of(values[0]) if name == "extend" and values else values[:1]
    if name not in {"append", "extend"} or not new or not isinstance(owner, (list, Some)):
        return UNKNOWN
    if isinstance(owner, Some) or (isinstance(values[0], Some) and name == "extend"):
        return at_most([*(items_of(owner) or []), *new])
    return [*owner, *new]


def _text_method(owner: str, name: str, values: list[Any]) -> Any:
    known = all(type(value) is str and value for value in values)
    match name:
        case "join" if values and not isinstance(values[0], Some) and (items := items_of(values[0])) is not None:
            return owner.join(map(text_of, items))
        case "lower" | "upper" | "strip" | "title" | "capitalize" if not values:
            return getattr(owner, name)()
        case "startswith" | "endswith" if len(values) == 1 and known and HOLE not in owner + values[0]:
            return owner.startswith(values[0]) if name == "startswith" else owner.endswith(values[0])
        case "split" | "replace" if known and len(values) == {"split": 1, "replace": 2}[name]:
            return getattr(owner, name)(*values)
        case _:
            return UNKNOWN
