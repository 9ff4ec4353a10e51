"""What holds for every tier: programs that tests start import this checkout, and a sample of cases can be drawn again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.sampling import SEED

os.environ["PYTHONPATH"] = str(Path(__file__).resolve().parents[1] / "operator")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, exitstatus: int) -> None:
    if exitstatus:
        terminalreporter.line(f"DBMIGRATION_SEED={SEED} plays the same cases again.")
