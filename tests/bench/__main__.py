"""Every benchmark, one after the other: `make bench`. It must not know what they measure."""

from __future__ import annotations

import runpy
import signal
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def main() -> int:
    """Run them in the order of their names, but those on a cluster last: while it is up nothing else is measured."""
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))  # or nothing would be cleaned up
    subprocess.run([HERE.parents[1] / "scripts" / "install-packages", "zstd"], check=True)
    for program in sorted(HERE.glob("bench_*.py"), key=lambda path: (needs_a_cluster(path), path.name)):
        print(f"\n== {program.stem.removeprefix('bench_').replace('_', ' ')}", flush=True)
        sys.argv = [str(program)]
        runpy.run_path(str(program), run_name="__main__")
    return 0


def needs_a_cluster(program: Path) -> bool:
    return "quiet_cluster" in program.read_text(encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
