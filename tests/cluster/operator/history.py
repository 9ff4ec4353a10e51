"""Small Alembic histories as the data of a ConfigMap: what most scenarios migrate with, made in a second.

Must not know a cluster.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

ENV = """\
from alembic import context
from sqlalchemy import create_engine, pool

engine = create_engine(context.config.get_main_option("sqlalchemy.url"), poolclass=pool.NullPool)
with engine.connect() as connection:
    context.configure(connection=connection, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
"""


@dataclass(frozen=True, slots=True)
class Revision:
    """One revision; `upgrade` and `undo` are the bodies of its functions."""

    id: str
    upgrade: str
    down: str | None = None
    title: str = "a revision"
    undo: str = "pass"

    def text(self) -> str:
        body, undo = (textwrap.indent(text.strip(), "    ") for text in (self.upgrade, self.undo))
        return (
            f'"""{self.title}"""\n\nimport sqlalchemy as sa\nfrom alembic import op\n\n'
            f"revision = {self.id!r}\ndown_revision = {self.down!r}\n\n\ndef upgrade():\n{body}\n\n\ndef downgrade():\n{undo}\n"
        )


def chain(*bodies: str) -> tuple[Revision, ...]:
    """Revisions r1, r2, … behind each other."""
    return tuple(
        Revision(f"r{number}", body, f"r{number - 1}" if number > 1 else None, f"step {number}")
        for number, body in enumerate(bodies, 1)
    )


def project(*revisions: Revision, env: str = ENV) -> dict[str, str]:
    """A ConfigMap's data: slashes of a path are written as two underscores."""
    scripts = {f"migrations__versions__{revision.id}.py": revision.text() for revision in revisions}
    return {"alembic.ini": "[alembic]\nscript_location = %(here)s/migrations\n", "migrations__env.py": env, **scripts}


CREATE_ORDERS = 'op.create_table("orders", sa.Column("id", sa.Integer, primary_key=True), sa.Column("note", sa.Text))'
ADD_TOTAL = 'op.add_column("orders", sa.Column("total", sa.Numeric))'
INDEX_NOTE = 'op.create_index("ix_orders_note", "orders", ["note"])'
FAIL = 'op.execute("SELECT 1 / 0")'
SLOW = CREATE_ORDERS + '\nop.execute("SELECT pg_sleep(8)")'  # long enough to do something meanwhile
GOOD = (CREATE_ORDERS, ADD_TOTAL, INDEX_NOTE)
