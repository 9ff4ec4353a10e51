"""The runner runs in applications' images: Python 3.10, the standard library, SQLAlchemy and Alembic."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

RUNNER = Path(__file__).parents[3] / "operator" / "dbmigration_runner"
FILES = sorted(RUNNER.rglob("*.py"))
ALLOWED = {"sqlalchemy", "alembic", "psutil", "dbmigration_runner"}
# Modules of the backup, which runs in the tools image alone.
TOOLS_ONLY = {"zstandard"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(RUNNER)))
def test_every_module_parses_as_python_3_10(file):
    ast.parse(file.read_text(encoding="utf-8"), feature_version=(3, 10))


def test_the_door_parses_as_the_python_that_it_refuses():
    ast.parse((RUNNER / "__main__.py").read_text(encoding="utf-8"), feature_version=(3, 7))


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(RUNNER)))
def test_every_module_imports_only_what_an_application_has(file):
    imported = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports break when the package is loaded by its place"
            imported.add((node.module or "").split(".")[0])
    assert imported <= sys.stdlib_module_names | ALLOWED | TOOLS_ONLY


def test_there_is_no_package_called_operator():
    assert not (RUNNER.parent / "__init__.py").exists()
