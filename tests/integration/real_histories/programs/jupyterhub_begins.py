"""JupyterHub 1.1 makes its tables, stamps them, and fills them with what its own tests of upgrades use."""

import sys

from jupyterhub.tests.populate_db import populate_db

populate_db(sys.argv[1])
