"""What `make demo` shows is true; it asks the server itself, and ends with 0 only where all was as told. It takes some 50 s on two cores."""

from __future__ import annotations

import subprocess

from tests.integration.local_program import ROOT


def test_the_demo_goes_as_it_tells():
    played = subprocess.run(["scripts/demo"], cwd=ROOT, capture_output=True, text=True, timeout=400, check=False)
    assert played.returncode == 0, played.stdout + played.stderr
    assert "Everything went as told." in played.stdout
