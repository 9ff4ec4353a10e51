"""How many of something there are, as people say it: "1 revision", "3 revisions".

Pure. It must not know what is counted.
"""

from __future__ import annotations


def counted(count: int, one: str, several: str = "") -> str:
    """The number with its noun; `several` where that is not the noun with an s."""
    return f"{count} {one if count == 1 else several or f'{one}s'}"
