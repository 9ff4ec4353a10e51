"""Revisions of a test, written to a file and loaded as Alembic loads them."""

from __future__ import annotations

import importlib.util
import itertools
import textwrap
from pathlib import Path

from alembic.script import Script

HEAD = "down_revision = None\nimport logging\nimport sys\nimport sqlalchemy as sa\nfrom alembic import op\nfrom sqlalchemy import orm\n"
_numbers = itertools.count()


def revision(folder: Path, downgrade: str | None, more: str = "", upgrade: str = "op.create_table('t')") -> Script:
    """One with these bodies, and `more` in the module before them."""
    text = HEAD + textwrap.dedent(more) + _function("upgrade", upgrade)
    return loaded(folder, text + (_function("downgrade", downgrade) if downgrade is not None else ""))


def loaded(folder: Path, text: str) -> Script:
    """A module of this text."""
    path = folder / f"revision_{next(_numbers)}.py"
    path.write_text(text, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return Script(module, path.stem, str(path))


def _function(name: str, body: str) -> str:
    return f"\n\ndef {name}():\n" + textwrap.indent(textwrap.dedent(body), "    ")
