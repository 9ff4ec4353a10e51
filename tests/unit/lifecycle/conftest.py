"""Fixtures of the lifecycle's tests."""

from __future__ import annotations

import pytest

from tests.unit.lifecycle.laboratory import Laboratory


@pytest.fixture
def lab() -> Laboratory:
    return Laboratory()


@pytest.fixture
def migrating(lab: Laboratory) -> Laboratory:
    """A run whose migrate step is at work."""
    lab.turn()
    lab.answer()
    lab.turn()
    lab.answer()
    lab.turn()
    return lab
