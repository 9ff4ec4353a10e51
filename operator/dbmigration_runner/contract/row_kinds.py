"""Rows that differ from a backup, named by their kind, for a restore does to each kind something else: it takes, resets or brings back.

Pure. It must not know of which table they are.
"""

from __future__ import annotations

# What became of them since the backup, and what a restore does: to one, to several, and when it is done.
_KINDS = (
    ("inserted", ("it goes", "they go", "gone now")),
    ("changed", ("it goes back to its old values", "they go back to their old values", "back at the old values")),
    ("deleted", ("it comes back", "they come back", "back again")),
)


def by_kind(inserted: int, updated: int, deleted: int) -> str:
    """The counts alone, as of one table of several: "2 inserted, 1 deleted"."""
    return ", ".join(f"{count} {kind}" for count, kind, _ in _there(inserted, updated, deleted))


def explained(inserted: int, updated: int, deleted: int, *, is_done: bool) -> str:
    """The counts with what a restore does to each kind, or has done; "" where there are none."""
    told = [
        f"{count} {kind} since ({done if is_done else one if count == 1 else several})"
        for count, kind, (one, several, done) in _there(inserted, updated, deleted)
    ]
    if not told:
        return ""
    number, space, rest = told[0].partition(" ")
    return ", ".join((f"{number}{space}{'row' if number == '1' else 'rows'} {rest}", *told[1:]))


def _there(inserted: int, updated: int, deleted: int) -> list[tuple[int, str, tuple[str, str, str]]]:
    counts = zip((inserted, updated, deleted), _KINDS, strict=True)
    return [(count, kind, what) for count, (kind, what) in counts if count]
