"""How our API objects are made: frozen, strict, camelCase outside and snake_case inside.

The two bases below are all that the rest of the package sees of pydantic. No field is defined here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, TypeVar, dataclass_transform

from pydantic import BaseModel, ConfigDict, PlainSerializer
from pydantic.alias_generators import to_camel

T = TypeVar("T")
Time = Annotated[
    datetime, PlainSerializer(lambda time: time.strftime("%Y-%m-%dT%H:%M:%SZ"), return_type=str, when_used="json")
]

_ALIASES = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore")


class SpecModel(BaseModel):
    """A part of a spec. Unknown fields are refused by the API server already and ignored here (a newer manifest)."""

    model_config = _ALIASES | ConfigDict(frozen=True)


@dataclass_transform(frozen_default=True, kw_only_default=True)
def status_model(cls: type[T]) -> type[T]:
    """Make a part of a status: a frozen dataclass, so that `dataclasses.replace` makes the next one, type-checked.

    Only reading from the API server validates; what we make ourselves is checked by the type checker.
    """
    made = dataclass(frozen=True, slots=True, kw_only=True)(cls)
    made.__pydantic_config__ = _ALIASES  # type: ignore[attr-defined]  # read by pydantic where it meets the class
    return made


def rules(*pairs: tuple[str, str]) -> dict[str, Any]:
    """CEL rules of a schema, each with the message that names the remedy."""
    return {"x-kubernetes-validations": [{"rule": rule, "message": message} for rule, message in pairs]}
