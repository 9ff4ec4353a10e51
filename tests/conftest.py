"""What holds for every tier: programs that tests start import this checkout, whoever built the environment."""

from __future__ import annotations

import os
from pathlib import Path

os.environ["PYTHONPATH"] = str(Path(__file__).resolve().parents[1] / "operator")
