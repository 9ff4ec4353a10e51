"""What a figure should be, and whether it is: said beside it, never enforced, for a figure depends on the machine."""

from __future__ import annotations


def at_most(goal: float, figure: float, unit: str = "") -> str:
    """The goal that a figure is not above."""
    return f"goal <= {goal:g}{unit}: {'holds' if figure <= goal else 'missed'}"


def at_least(goal: float, figure: float) -> str:
    """The goal that a figure is not below."""
    return f"goal >= {goal:g}: {'holds' if figure >= goal else 'missed'}"


def told(figure: float) -> str:
    """A figure that is worth knowing and has no goal."""
    del figure
    return "no goal: told only"
