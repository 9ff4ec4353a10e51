"""`python -m dbmigration`: the same program as `dbmigration`."""

from __future__ import annotations

import sys

from dbmigration.cli import main

if __name__ == "__main__":
    sys.exit(main())
