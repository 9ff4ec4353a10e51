"""Words of unknown origin, made fit for a status: one line, short, and without what looks like a credential.

The runner redacts what it says itself, for it knows the secrets; this is for what was left where its answer should be.
"""

from __future__ import annotations

import re

_IN_URL = re.compile(r"(://[^\s:/@]*:)[^\s@/]+(?=@)")
_ASSIGNED = re.compile(r"((?:password|passwd|pwd|secret|token)\s*[=:]\s*)\S+", re.IGNORECASE)
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")

CHARACTERS = 300


def short(text: str, characters: int = CHARACTERS) -> str:
    """The beginning of a text, as one harmless line."""
    plain = " ".join(_UNPRINTABLE.sub(" ", text[: 8 * characters]).split())
    masked = _ASSIGNED.sub(r"\1***", _IN_URL.sub(r"\1***", plain))
    return masked if len(masked) <= characters else masked[: characters - 1] + "…"
