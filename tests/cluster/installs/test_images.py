"""What is in the images that are installed, asked inside of the running operator."""

from __future__ import annotations

from tests.cluster.access import Namespace
from tests.cluster.installation import NAME

# All that a start imports.
UNCOMPILED = """
import os, sys
import dbmigration.controller.app
from kubernetes.aio import client, config
client.ApiClient, client.Configuration
cached = {name: getattr(module, "__cached__", None) for name, module in sys.modules.items()}
print(*sorted(name for name, file in cached.items() if file and not os.path.exists(file)))
"""

FOUND = """
import importlib.util
print(*(name for name in ("pip", "setuptools", "sqlalchemy", "alembic", "psycopg") if importlib.util.find_spec(name)))
"""


def asked(operator: Namespace, program: str) -> str:
    return operator.kubectl("exec", f"deployment/{NAME}", "--", "python3", "-c", program).strip()


def test_the_operators_start_compiles_nothing(operator: Namespace):
    assert asked(operator, UNCOMPILED) == ""


def test_the_operator_brings_no_installer_and_nothing_that_reaches_a_database(operator: Namespace):
    assert asked(operator, FOUND) == ""
