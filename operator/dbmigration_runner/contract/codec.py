"""Frozen dataclasses to JSON and back, strictly, with the standard library alone.

Reads what may be hostile: every value is checked against its annotation, unknown keys are ignored (a newer writer),
missing keys need a default. It must not know any task, result or reason, and never guesses a type.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import types
import typing
from typing import Any, TypeVar

T = TypeVar("T")


class DecodeError(ValueError):
    """The document does not fit the contract; the message names the place and what was expected there."""


def encode(value: Any) -> Any:
    """Make plain JSON values of a dataclass; a None is left out where a reader takes None for what is missing."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        pairs = ((field, getattr(value, field.name)) for field in dataclasses.fields(value))
        return {field.name: encode(item) for field, item in pairs if item is not None or field.default is not None}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (list, tuple)):
        return [encode(item) for item in value]
    if isinstance(value, dict):
        return {str(encode(key)): encode(item) for key, item in value.items()}
    return value


def decode(kind: type[T], document: Any, place: str = "$") -> T:
    """Make a `kind` of plain JSON values.

    Raises DecodeError where the document does not fit.
    """
    if not isinstance(document, dict):
        raise DecodeError(f"{place}: expected an object, found {type(document).__name__}")
    hints = _hints(kind)  # type: ignore[arg-type]  # a class is hashable
    arguments: dict[str, Any] = {}
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]  # T is a dataclass by contract
        if field.name in document:
            arguments[field.name] = _value(hints[field.name], document[field.name], f"{place}.{field.name}")
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise DecodeError(f"{place}.{field.name}: missing")
    try:
        return kind(**arguments)
    except ValueError as error:
        raise DecodeError(f"{place}: {error}") from error


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _value(hint: Any, value: Any, place: str) -> Any:
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        (inner,) = (argument for argument in typing.get_args(hint) if argument is not type(None))
        return None if value is None else _value(inner, value, place)
    if origin is tuple:
        _expect(list, value, place)
        item_hint = typing.get_args(hint)[0]
        return tuple(_value(item_hint, item, f"{place}[{number}]") for number, item in enumerate(value))
    if origin is dict:
        _expect(dict, value, place)
        key_hint, item_hint = typing.get_args(hint)
        return {_value(key_hint, key, place): _value(item_hint, item, f"{place}.{key}") for key, item in value.items()}
    if dataclasses.is_dataclass(hint):
        return decode(typing.cast("type[Any]", hint), value, place)
    if issubclass(hint, enum.Enum):
        return _member(hint, value, place)
    return _plain(hint, value, place)


def _plain(hint: type, value: Any, place: str) -> Any:
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            raise DecodeError(f"{place}: too large") from None
    if isinstance(value, bool) and hint is not bool:
        raise DecodeError(f"{place}: expected {hint.__name__}, found bool")
    _expect(hint, value, place)
    return value


def _member(hint: type[enum.Enum], value: Any, place: str) -> enum.Enum:
    try:
        return hint(value)
    except ValueError:
        raise DecodeError(f"{place}: not one of {', '.join(str(item.value) for item in hint)}") from None


def _expect(kind: type, value: Any, place: str) -> None:
    if not isinstance(value, kind):
        raise DecodeError(f"{place}: expected {kind.__name__}, found {type(value).__name__}")
