"""How long and how much, as a manifest writes it: `1h30m`, `10Gi`; and how it is read.

It must not know what they are of.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

from pydantic import Field

_DURATION = r"^([0-9]{1,6}(ms|s|m|h))+$"
_QUANTITY = r"^[0-9]{1,15}(Ki|Mi|Gi|Ti|k|M|G|T)?$"

Duration = Annotated[str, Field(max_length=16, pattern=_DURATION)]
Quantity = Annotated[str, Field(max_length=16, pattern=_QUANTITY)]

# How a value is written, by the pattern that refuses another: a person is not shown the pattern alone.
WORDS = {
    _DURATION: "Durations are written 100ms, 30s, 5m, 168h or 1h30m; there is no d.",
    _QUANTITY: "Sizes are written 5Gi or 500M; without a unit they are bytes.",
}

_DURATION_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_QUANTITY_UNITS = {
    "": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40,
}  # fmt: skip


def duration(text: str) -> timedelta:
    """Read `1h30m`, `90s`, `100ms`; the pattern of the field has refused everything else."""
    parts = re.findall(r"([0-9]+)(ms|s|m|h)", text)
    return timedelta(seconds=sum(int(number) * _DURATION_UNITS[unit] for number, unit in parts))


def quantity(text: str) -> int:
    """Read `10Gi` as bytes; the pattern of the field has refused everything else."""
    digits = text.rstrip("KkMGTi")
    return int(digits) * _QUANTITY_UNITS[text[len(digits) :]]
