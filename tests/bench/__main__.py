"""Every benchmark, one after the other: `make bench`. It must not know what they measure."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def main() -> int:
    """Run them in the order of their names."""
    subprocess.run([HERE.parents[1] / "scripts" / "install-packages", "zstd"], check=True)
    for program in sorted(HERE.glob("bench_*.py")):
        print(f"\n== {program.stem.removeprefix('bench_').replace('_', ' ')}", flush=True)
        sys.argv = [str(program)]
        runpy.run_path(str(program), run_name="__main__")
    return 0


if __name__ == "__main__":
    sys.exit(main())
